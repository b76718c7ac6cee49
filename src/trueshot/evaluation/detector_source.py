"""Sources of the detectors to evaluate: bundles, and networks from outside trueshot."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast, get_args

from trueshot.bundle import bundle_sha256, load_bundle
from trueshot.card import Card
from trueshot.datasets import Dataset
from trueshot.detector import Detector
from trueshot.detectors import located
from trueshot.errors import RunError
from trueshot.evaluation.external import InputSpec, fingerprint, load_outside
from trueshot.evaluation.plan import DetectorUnderTest
from trueshot.files import read_lines, utf8_safe
from trueshot.networks.crop_aggregation import Aggregation, CropAggregator


@dataclass(frozen=True, kw_only=True)
class DetectorSource:
    """Where to load a detector from.

    Args:
        path: A bundle file; with a contract, any source that `load_outside` accepts.
        name: Name for the result and its file; by default the name of the bundle's folder.
        contract: Input specification of an outside detector; None for a bundle.
        crop_aggregation: How to combine the logits of all crops of the detector's own size, to
            judge larger images; None to judge images as they are.
    """

    path: str
    name: str = ""
    contract: InputSpec | None = None
    crop_aggregation: Aggregation | None = None


def sources_of(
    bundles: Sequence[Path],
    outside: Sequence[str],
    names: Sequence[str],
    contract: InputSpec,
    crop_aggregation: str | None = None,
) -> list[DetectorSource]:
    """Build the list of detector sources, bundles first; names are assigned in this order.

    Raises:
        RunError: There is no detector, there are more names than detectors, the crop aggregation
            is unknown, or it is set for outside detectors.
    """
    if crop_aggregation and outside:
        raise RunError(
            "many crops: outside detectors do not state their crop size; give only bundles"
        )
    if crop_aggregation is not None and crop_aggregation not in get_args(Aggregation):
        raise RunError(
            f"unknown crop aggregation {crop_aggregation!r}; choose from "
            f"{', '.join(get_args(Aggregation))}"
        )
    how = cast("Aggregation | None", crop_aggregation)
    found = [DetectorSource(path=str(path), crop_aggregation=how) for path in bundles]
    found += [DetectorSource(path=path, contract=contract) for path in outside]
    if not found:
        raise RunError("no detector given; give a bundle, or --detector")
    given = names_for(len(found), names)
    return [replace(source, name=name) for source, name in zip(found, given, strict=True)]


def names_for(detectors: int, names: Sequence[str]) -> list[str]:
    """Return a name for each of so many detectors, in order; empty where none was given.

    Raises:
        RunError: There are more names than detectors.
    """
    if len(names) > detectors:
        raise RunError(f"more names than detectors: {len(names)} names for {detectors} detectors")
    return [*names, *[""] * (detectors - len(names))]


def uniquely_named(sources: Sequence[DetectorSource]) -> Iterator[DetectorSource]:
    """Yield each source once, with a unique name."""
    unique = list(dict.fromkeys(sources))
    for depth in range(1, 9):
        named = [replace(source, name=name_of(source, depth)) for source in unique]
        counts = Counter(source.name for source in named)
        if max(counts.values(), default=1) == 1:
            break
    taken: Counter[str] = Counter()
    for source in named:
        taken[source.name] += 1
        number = taken[source.name]
        yield source if number == 1 else replace(source, name=f"{source.name}-{number}")


def name_of(source: DetectorSource, depth: int = 1) -> str:
    """Return a name that is safe in file names: the given one, or one made from the path."""
    name = source.name or source.path
    is_file = Path(source.path).exists()  # a shipped detector is given by its name
    if is_file and not source.name and (source.contract is None or source.path.endswith(".onnx")):
        path = Path(source.path).resolve()
        path = path.parent if source.contract is None else path.with_suffix("")
        name = "-".join(path.parts[1:][-depth:])
    return safe_name(name)


def safe_name(name: str) -> str:
    """Return a name with only the characters that are safe in the names of files."""
    return re.sub(r"[^\w.+-]+", "-", utf8_safe(name)).strip("-.") or "detector"


def load_detector(source: DetectorSource, dataset: Dataset, side: int | None) -> DetectorUnderTest:
    """Load the detector of a source, for images of one size of a data set.

    Raises:
        TrueshotError: The detector cannot be read, tells other classes apart than the data set has,
            or does not suit images of this size.
    """
    if source.contract is not None:
        side = side or dataset.only_side()
        detector, differentiable = load_outside(source.path, source.contract, side)
        sha256 = fingerprint(detector, source.path, source.contract)
        return DetectorUnderTest(
            detector=detector,
            name=source.name,
            side=side,
            bundle_sha256=sha256,
            differentiable=differentiable,
        )
    path = Path(source.path)
    detector, card = load_bundle(path)
    if card.classes != dataset.task.classes:
        raise RunError(
            f"{path}: has the classes {', '.join(card.classes)}, but {dataset.folder} has "
            f"{', '.join(dataset.task.classes)}"
        )
    name = source.name
    if source.crop_aggregation is not None:
        detector = _of_many_crops(path, detector, card, side, source.crop_aggregation)
        name = f"{name}-{source.crop_aggregation}-of-{card.side}px"
    return DetectorUnderTest(
        detector=detector,
        name=name,
        side=side or card.side or dataset.only_side(),
        bundle_sha256=bundle_sha256(path),
        recipe=card.recipe,
        crop_side=card.side if source.crop_aggregation else None,
        cost=training_cost(located(path), card.recipe),
    )


def _of_many_crops(
    path: Path, detector: Detector, card: Card, side: int | None, how: Aggregation
) -> Detector:
    """Turn a detector of crops into one of larger images, judged by all their crops."""
    if card.side is None or side is None or side < 2 * card.side:
        raise RunError(
            f"{path}: many crops of {card.side} px need images of at least twice that size; "
            f"set --size (got {side})"
        )
    whole = Detector(
        CropAggregator(detector.network, card.side, aggregation=how),
        offset=detector.offset,
        scale=detector.scale,
        classes=detector.classes,
    )
    return whole.eval()


def training_cost(bundle: Path, recipe: Mapping[str, Any] | None) -> dict[str, float]:
    """Read the cost of a training run from the log beside its bundle.

    Returns:
        `iterations`, and `images_per_second` and `seconds` of all of them, as the last line of the
        log states them; empty without a usable log.
    """
    lines = read_lines(bundle.parent / "log.jsonl")
    batch = ((recipe or {}).get("schedule") or {}).get("batch")
    try:
        steps, rate = int(lines[-1]["step"]), float(lines[-1]["images_per_second"])
    except (IndexError, KeyError, TypeError, ValueError):
        return {}
    if not batch or rate <= 0:
        return {}
    return {
        "iterations": float(steps),
        "seconds": round(batch * steps / rate, 1),
        "images_per_second": rate,
    }
