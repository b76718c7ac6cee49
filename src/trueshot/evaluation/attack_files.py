"""Attacks on photograph files: attack, write a PNG, read it back and judge the file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from pydantic import TypeAdapter

from trueshot.attacks import Attack, as_filed, perturb
from trueshot.detector import Detector
from trueshot.errors import ImageFileError, TrueshotError
from trueshot.files import Journal, claim, remove_leftovers, utf8_safe
from trueshot.images import DEFAULT_PIXEL_LIMIT, ImageFile, find_images, read_image, write_png
from trueshot.networks.crop_aggregation import CropAggregator
from trueshot.pixels import linf, psnr, share_changed, ssim, to_bytes, to_levels

JOURNAL = "attacks.jsonl"
_OF_PROFILED = ("RGB", "RGBA", "RGBX", "P", "PA")  # Pillow modes whose ICC profile is for RGB


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The class that a detector assigns to an image, and its probability."""

    label: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class AttackedFile:
    """One photograph before and after an attack.

    Args:
        path: Path of the photograph.
        sha256: SHA-256 of its bytes.
        error: Why it could not be attacked; empty if it could. All fields below are then empty.
        out: Path of the PNG that was written.
        before: Verdict on the photograph.
        in_memory: Verdict on the attacked image before rounding and writing.
        after_file: Verdict on the file, read back.
        largest_change: Largest change between photograph and file, in levels.
        share_changed: Share of the pixels that differ between photograph and file.
        psnr: PSNR between photograph and file, in dB; None if they are equal.
        ssim: SSIM between photograph and file.
        notes: Metadata of the photograph that the file lacks or stores differently.
    """

    path: str
    sha256: str = ""
    error: str = ""
    out: str | None = None
    before: Verdict | None = None
    in_memory: Verdict | None = None
    after_file: Verdict | None = None
    largest_change: float | None = None
    share_changed: float | None = None
    psnr: float | None = None
    ssim: float | None = None
    notes: tuple[str, ...] = ()


def attack_files(
    detector: Detector,
    side: int | None,
    attack: Attack,
    paths: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    name: str,
    label: int | None = None,
    device: str | torch.device = "cpu",
    pixel_limit: int = DEFAULT_PIXEL_LIMIT,
) -> Iterator[AttackedFile]:
    """Attack each photograph as a whole and judge it again from its file.

    With `side`, a photograph is judged by the mean logits of all its crops (`CropAggregator`), and
    the attack works on this mean. A file that cannot be processed yields an error and the run
    continues. Photographs that an earlier run with the same `out` and `name` has finished are not
    attacked again; their records come from the journal.

    Args:
        detector: Detector of crops, or of whole photographs.
        side: Height and width of the crops; None if the detector takes whole photographs.
        attack: Attack to run.
        paths: Files, and folders to search.
        out: Folder for the PNGs and the journal `attacks.jsonl`.
        name: Name of detector, attack and budget together, used in file names and the journal.
        label: True class of all photographs; None means the class predicted before the attack.
        device: Device to compute on.
        pixel_limit: Photographs with more pixels are refused.

    Yields:
        One record per photograph, in order.
    """
    folder = Path(out)
    whole = detector
    if side is not None:
        whole = Detector(
            CropAggregator(detector.network, side),
            offset=detector.offset,
            scale=detector.scale,
            classes=detector.classes,
        )
    whole.to(device).eval()
    with claim(folder):
        remove_leftovers(folder)
        journal = Journal(folder / JOURNAL, {"attack": name})
        done = {(record["path"], record["sha256"]): record for record in journal.records}
        for path in _files(paths, folder):
            if isinstance(path, ImageFileError):
                yield AttackedFile(path=utf8_safe(path.path), error=path.reason)
                continue
            try:
                image = read_image(path, pixel_limit=pixel_limit)
                record = _done_before(done.get((utf8_safe(str(path)), image.facts.sha256)))
                if record is None:
                    file = f"{utf8_safe(path.stem)}-{image.facts.sha256[:8]}-{name}.png"
                    record = _attack_file(whole, attack, image, folder / file, label, device)
                    journal.append(asdict(record))
            except ImageFileError as error:
                record = AttackedFile(path=utf8_safe(str(path)), error=error.reason)
            except (TrueshotError, ValueError, OSError, MemoryError, RuntimeError) as error:
                # The attack broke its promise, too small for a crop, too large for memory, disk
                # full: continue with the others.
                record = AttackedFile(path=utf8_safe(str(path)), error=utf8_safe(str(error)))
            yield record


def _files(paths: Iterable[str | os.PathLike[str]], out: Path) -> Iterator[Path | ImageFileError]:
    """Yield the files and the images in folders, except files in the output folder."""
    for path in map(Path, paths):
        if not path.is_dir():
            yield path
            continue
        others: list[Path] = []
        try:
            found = find_images(path, others)
        except ImageFileError as error:
            yield error
            continue
        yield from (file for file in found if out.resolve() not in file.resolve().parents)
        others = [file for file in others if out.resolve() not in file.resolve().parents]
        if others:
            names = ", ".join(utf8_safe(str(file)) for file in others[:3])
            more = ", …" if len(others) > 3 else ""
            yield ImageFileError(
                path, f"files skipped because they are not images ({len(others)}): {names}{more}"
            )


def _done_before(line: dict[str, object] | None) -> AttackedFile | None:
    if line is None or not Path(str(line["out"])).is_file():
        return None
    return TypeAdapter(AttackedFile).validate_python(line)


def _attack_file(
    detector: Detector,
    attack: Attack,
    image: ImageFile,
    out: Path,
    label: int | None,
    device: str | torch.device,
) -> AttackedFile:
    levels = to_levels(image.pixels).to(device)
    before = detector.probabilities(levels)
    truth = before.argmax(1) if label is None else torch.tensor([label], device=device)
    attacked = perturb(attack, detector, levels, truth)
    icc_profile = image.icc_profile if image.facts.mode in _OF_PROFILED else b""
    write_png(out, to_bytes(as_filed(attack, levels, attacked))[0], icc_profile)
    filed = to_levels(read_image(out, pixel_limit=levels[0, 0].numel()).pixels).to(device)
    quality = float(psnr(levels, filed))
    return AttackedFile(
        path=utf8_safe(image.path),
        sha256=image.facts.sha256,
        out=str(out),
        before=_verdict(detector.classes, before),
        in_memory=_verdict(detector.classes, detector.probabilities(attacked)),
        after_file=_verdict(detector.classes, detector.probabilities(filed)),
        largest_change=float(linf(levels, filed)),
        share_changed=float(share_changed(levels, filed)),
        psnr=None if quality == float("inf") else quality,
        ssim=float(ssim(levels, filed)),
        notes=_lost(image, icc_profile),
    )


def _lost(image: ImageFile, kept: bytes) -> tuple[str, ...]:
    """List what the PNG loses; it holds the pixels and the `kept` colour profile only."""
    told = []
    if image.facts.orientation > 1:
        turned = f"EXIF orientation {image.facts.orientation} was applied"
        told.append(f"{turned}: the pixels are upright, and the PNG has no orientation tag")
    if image.icc_profile and not kept:
        told.append(f"the colour profile was not copied: it is for {image.facts.mode}, not RGB")
    if image.facts.exif_tags:
        told.append("EXIF data was not copied")
    return tuple(told)


def _verdict(classes: Sequence[str], probabilities: torch.Tensor) -> Verdict:
    index = int(probabilities[0].argmax())
    return Verdict(label=classes[index], probability=float(probabilities[0, index]))
