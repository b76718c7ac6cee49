"""Example images for the pages of experiments: clean and attacked test crops, and whole pairs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from trueshot.attacks import BY_NAME, FGSM, Attack, as_filed, perturb
from trueshot.datasets import Dataset, Part
from trueshot.detector import Detector
from trueshot.errors import ImageFileError
from trueshot.evaluation.evaluate import PAPER_ATTACKS
from trueshot.files import read_text, utf8_safe
from trueshot.images import read_image, write_jpeg, write_png
from trueshot.pixels import Bytes, to_bytes, to_levels

FIGURE_2_CROPS = 4
FIGURE_2_BUDGET = 1.0
FIGURE_5_BUDGETS = (0.0, 5.0, 10.0, 15.0)
GALLERY_CROPS = 8
TRIPLE_BUDGET = 1.0
MAGNIFIED = 100.0  # factor that makes noise of one level visible
_COMPARED = 24  # candidate crops of each class for the triples
MOST_PAIRS = 8
_LONGEST = 640  # pixels of the longer edge of a photograph, as shown
_KINDS = ("original", "recaptured")


def make_examples(
    dataset: Dataset,
    side: int,
    detectors: Mapping[str, Detector],
    attacks: Mapping[tuple[str, float], Attack],
    root: Path,
) -> dict[str, Any]:
    """Attack a few test crops for the figures and the page; write files and collect verdicts.

    Args:
        dataset: Data set made by `prepare`.
        side: Size of the crops.
        detectors: Detectors by name, the plain one first; all on one device.
        attacks: Attacks of the experiments by name and budget; those that are not in the paper are
            shown beside FGSM.
        root: Folder of the experiments; file names are relative to it.

    Returns:
        The examples as JSON values: `figure_2`, `figure_5`, `data`, `gallery`, `triples`, and the
        pairs of `copy_pairs`.
    """
    part = dataset.part(side, "test")
    folder = f"{side}px/examples"
    few = FIGURE_2_CROPS // 2
    places = np.concatenate([np.flatnonzero(part.labels == label)[:few] for label in (0, 1)])
    plain = next(iter(detectors.values()))
    images, labels = part.batch(places, _device(plain))
    return {
        "figure_2": [
            _figure_2_row(name, detector, images, labels, root, folder)
            for name, detector in detectors.items()
        ],
        "figure_5": [
            _figure_5_panel(name, budget, plain, images[:1], labels[:1], root, folder)
            for name in PAPER_ATTACKS
            for budget in FIGURE_5_BUDGETS
        ],
        "data": data_facts(dataset, side),
        "gallery": _gallery(part, dataset.task.classes, root, folder),
        "triples": _triples(part, detectors, attacks, root, folder),
        **copy_pairs(dataset.folder, root, folder, side),
    }


def data_facts(dataset: Dataset, side: int) -> dict[str, Any]:
    """Return the facts about a data set that readers of results need."""
    card, labels = dataset.card, dataset.photos["label"].to_pylist()
    return {
        "folder": utf8_safe(str(dataset.folder)),
        "simulated": (dataset.folder / "simulation.json").is_file(),
        "photos": {label: labels.count(label) for label in dataset.task.classes},
        "sources": len({source for source in dataset.photos["source"].to_pylist() if source}),
        "passed_over": len(card["passed_over"]),
        "crops_per_class": card["sides"][str(side)]["crops_per_class"],
        "split_by": card["split_by"],
        "seed": card["seed"],
        "shortcut_audit": card["shortcut_audit"],
    }


def _gallery(part: Part, classes: Sequence[str], root: Path, folder: str) -> list[dict[str, Any]]:
    """Write clean crops of both classes, spread over the test part."""
    places = np.concatenate([_spread(part, label, GALLERY_CROPS // 2) for label in (0, 1)])
    images, labels = part.batch(places)
    files = _write(root, f"{folder}/gallery", images)
    return [
        {"file": file, "true": classes[int(label)]}
        for file, label in zip(files, labels, strict=True)
    ]


def _triples(
    part: Part,
    detectors: Mapping[str, Detector],
    attacks: Mapping[tuple[str, float], Attack],
    root: Path,
    folder: str,
) -> list[dict[str, Any]]:
    """Write clean crop, noise and attacked crop for each detector, attack and class.

    All triples show the same two crops, one of each class.
    """
    judges = list(detectors.values())
    images, labels = part.batch(_clearest(part, judges), _device(judges[0]))
    clean = _write(root, f"{folder}/clean", images)
    shown = {"fgsm": FGSM(budget=TRIPLE_BUDGET)} | {
        name: attack
        for (name, budget), attack in attacks.items()
        if name not in PAPER_ATTACKS and budget == TRIPLE_BUDGET
    }
    triples = []
    for detector_name, detector in detectors.items():
        before = _verdicts(detector, root, clean)
        for name, attack in shown.items():
            stem = f"{folder}/triple-{detector_name}-{name}{TRIPLE_BUDGET:g}"
            filed = as_filed(attack, images, perturb(attack, detector, images, labels))
            after = _verdicts(detector, root, _write(root, stem, filed))
            noise = _write(root, f"{stem}-noise", 128 + MAGNIFIED * (filed - images))
            triples += [
                {
                    "detector": detector_name,
                    "attack": name,
                    "budget": TRIPLE_BUDGET,
                    "true": detector.classes[int(label)],
                    "clean": one,
                    "noise": {"file": file, "magnified": MAGNIFIED},
                    "attacked": other,
                }
                for label, one, file, other in zip(labels, before, noise, after, strict=True)
            ]
    return triples


def _clearest(part: Part, detectors: Sequence[Detector]) -> npt.NDArray[np.int64]:
    """Choose one crop per class that most detectors classify correctly; of equals, by contrast.

    An attack shows nothing on a crop that was misclassified before it.
    """
    chosen = []
    for label in (0, 1):
        places = _spread(part, label, _COMPARED)
        images, labels = part.batch(places, _device(detectors[0]))
        hits = [(d.probabilities(images).argmax(1) == labels).cpu().numpy() for d in detectors]
        contrast = images.mean(1).flatten(1).std(1).cpu().numpy()
        chosen.append(places[np.lexsort((contrast, np.sum(hits, axis=0)))[-1]])
    return np.array(chosen)


def _spread(part: Part, label: int, count: int) -> npt.NDArray[np.int64]:
    """Return the indices of at most `count` crops of a class, evenly spaced."""
    places = np.flatnonzero(part.labels == label)
    steps = np.linspace(0, len(places) - 1, min(count, len(places)))
    return np.asarray(places[steps.astype(np.int64)])


def _figure_2_row(
    name: str, detector: Detector, images: Tensor, labels: Tensor, root: Path, folder: str
) -> dict[str, Any]:
    attacked = perturb(FGSM(budget=FIGURE_2_BUDGET), detector, images, labels)
    files = _write(root, f"{folder}/{name}-fgsm{FIGURE_2_BUDGET:g}", attacked)
    panels = [
        {"file": verdict.pop("file"), "true": detector.classes[int(label)], **verdict}
        for verdict, label in zip(_verdicts(detector, root, files), labels, strict=True)
    ]
    return {"detector": name, "budget": FIGURE_2_BUDGET, "panels": panels}


def _figure_5_panel(
    name: str,
    budget: float,
    detector: Detector,
    image: Tensor,
    label: Tensor,
    root: Path,
    folder: str,
) -> dict[str, Any]:
    attacked = perturb(BY_NAME[name](budget=budget), detector, image, label)
    (file,) = _write(root, f"{folder}/{name}{budget:g}", attacked)
    return {"attack": name, "budget": budget, "file": file}


def _verdicts(detector: Detector, root: Path, files: Sequence[str]) -> list[dict[str, Any]]:
    """Judge files: they are read back, because the written file is what counts."""
    filed = to_levels(np.stack([read_image(root / file).pixels for file in files]))
    return [
        {
            "file": file,
            "predicted": detector.classes[int(row.argmax())],
            "probability": float(row.max()),
        }
        for file, row in zip(
            files, detector.probabilities(filed.to(_device(detector))), strict=True
        )
    ]


def _write(root: Path, stem: str, images: Tensor) -> list[str]:
    names = [f"{stem}-{number}.png" for number in range(len(images))]
    for name, pixels in zip(names, to_bytes(images), strict=True):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_png(root / name, pixels)
    return names


def _device(detector: Detector) -> torch.device:
    return next((parameter.device for parameter in detector.parameters()), torch.device("cpu"))


def copy_pairs(source: Path, root: Path, folder: str, side: int) -> dict[str, Any]:
    """Copy the pairs listed in the `pairs.json` of a data set, reduced for display.

    The file reads `{"pairs": [{"original": PATH, "recaptured": PATH, "note": TEXT}, …]}`; the paths
    are relative to it and must stay inside its folder. At most eight pairs are copied. A pair that
    cannot be shown is skipped and reported, because a gallery should not stop a run.

    Args:
        source: Folder of the data set.
        root: Folder of the experiments; file names are relative to it.
        folder: Folder below `root` to write to.
        side: Side in pixels of the full-resolution detail shown beside each picture.

    Returns:
        `pairs`: for each pair its `note` and, for each picture, its `file` and, if it is large
        enough, its `detail`. `pairs_passed_over`: reasons. Empty if there is no pairs.json.
    """
    listing = source / "pairs.json"
    if not listing.is_file():
        return {}
    pairs: list[dict[str, Any]] = []
    reasons: list[str] = []
    try:
        entries = list(json.loads(read_text(listing))["pairs"])[:MOST_PAIRS]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return {"pairs": [], "pairs_passed_over": [utf8_safe(f"pairs.json: {error}")]}
    for number, entry in enumerate(entries):
        try:
            pairs.append(_pair(source, entry, root, f"{folder}/pair-{number}", side))
        except (ImageFileError, KeyError, TypeError, ValueError) as error:
            reasons.append(utf8_safe(f"pair {number + 1}: {error}"))
    return {"pairs": pairs, "pairs_passed_over": reasons}


def _pair(
    source: Path, entry: Mapping[str, Any], root: Path, stem: str, side: int
) -> dict[str, Any]:
    pixels = {kind: read_image(_inside(source, entry[kind])).pixels for kind in _KINDS}
    shown = {kind: _show(pixels[kind], root, f"{stem}-{kind}", side) for kind in _KINDS}
    return {**shown, "note": str(entry.get("note", ""))}


def _inside(source: Path, name: str) -> Path:
    path = source / name
    if not path.resolve().is_relative_to(source.resolve()):
        raise ValueError(f"{name}: leads out of the folder of the data set")
    return path


def _show(pixels: Bytes, root: Path, stem: str, side: int) -> dict[str, str]:
    files = {"file": f"{stem}.jpg"}
    write_jpeg(root / files["file"], _reduced(pixels), quality=88, subsampling="4:4:4")
    height, width = pixels.shape[:2]
    if min(height, width) >= side:
        y, x = (height - side) // 2, (width - side) // 2
        files["detail"] = f"{stem}-detail.png"
        write_png(root / files["detail"], pixels[y : y + side, x : x + side])
    return files


def _reduced(pixels: Bytes) -> Bytes:
    """Return a reduced picture for display only; detectors never see it."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((_LONGEST, _LONGEST), Image.Resampling.LANCZOS)
    return np.asarray(picture)
