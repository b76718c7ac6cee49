"""Where detectors come from that are judged: bundles, and networks from elsewhere."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast, get_args

from trueshot.bundle import bundle_sha256, load_bundle
from trueshot.card import Card
from trueshot.datasets import Dataset
from trueshot.detector import Detector
from trueshot.errors import RunError
from trueshot.evaluation.evaluate import DetectorUnderTest
from trueshot.evaluation.external import InputSpec, fingerprint, load_outside
from trueshot.files import read_lines, utf8_safe
from trueshot.networks.crop_aggregation import Aggregation, CropAggregator


@dataclass(frozen=True, kw_only=True)
class DetectorSource:
    """Where a detector comes from.

    Args:
        path: A bundle; or, with a contract, whatever `load_outside` takes.
        name: For the result and its file; by default the folder in which a bundle lies.
        contract: Of a detector from elsewhere; None for a bundle.
        crop_aggregation: Judge larger images by all crops of the detector's own size, whose logits
            become one like this; None to judge images as they are.
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
    """Where the detectors come from, bundles first; names go to them in this order.

    Raises:
        RunError: No detector at all, more names than detectors, or many crops without bundles.
    """
    if crop_aggregation and outside:
        raise RunError("many crops: only bundles say of what size their own are")
    if crop_aggregation is not None and crop_aggregation not in get_args(Aggregation):
        raise RunError(
            f"many crops: {crop_aggregation!r}: known: {', '.join(get_args(Aggregation))}"
        )
    how = cast("Aggregation | None", crop_aggregation)
    found = [DetectorSource(path=str(path), crop_aggregation=how) for path in bundles]
    found += [DetectorSource(path=path, contract=contract) for path in outside]
    if not found:
        raise RunError("give a bundle, or --detector")
    if len(names) > len(found):
        raise RunError(f"{len(names)} names for {len(found)} detectors")
    given = [*names, *[""] * (len(found) - len(names))]
    return [replace(source, name=name) for source, name in zip(found, given, strict=True)]


def uniquely_named(sources: Sequence[DetectorSource]) -> Iterator[DetectorSource]:
    """Each source once, under a name that no other one has."""
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
    """A name fit for a file: as given, or made of the last parts of the way to the detector."""
    name = source.name or source.path
    if not source.name and (source.contract is None or source.path.endswith(".onnx")):
        path = Path(source.path).resolve()
        path = path.parent if source.contract is None else path.with_suffix("")
        name = "-".join(path.parts[1:][-depth:])
    return re.sub(r"[^\w.+-]+", "-", utf8_safe(name)).strip("-.") or "detector"


def load_detector(source: DetectorSource, dataset: Dataset, side: int | None) -> DetectorUnderTest:
    """The detector of a source, for images of one size of a data set.

    Raises:
        TrueshotError: It cannot be read, or judges other images.
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
        cost=training_cost(path, card.recipe),
    )


def _of_many_crops(
    path: Path, detector: Detector, card: Card, side: int | None, how: Aggregation
) -> Detector:
    """A detector of crops as one of images of many crops."""
    if card.side is None or side is None or side < 2 * card.side:
        raise RunError(
            f"{path}: many crops of {card.side} px want images of twice that or more; "
            f"give --size (got {side})"
        )
    whole = Detector(
        CropAggregator(detector.network, card.side, aggregation=how),
        offset=detector.offset,
        scale=detector.scale,
        classes=detector.classes,
    )
    return whole.eval()


def training_cost(bundle: Path, recipe: Mapping[str, Any] | None) -> dict[str, float]:
    """What a training run took, from the log beside its bundle; empty if there is none.

    Returns:
        `iterations`, `images_per_second` (the mean), and `seconds`.
    """
    lines = read_lines(bundle.parent / "log.jsonl")
    batch = ((recipe or {}).get("schedule") or {}).get("batch")
    try:
        steps = [0, *(int(line["step"]) for line in lines)]
        rates = [float(line["images_per_second"]) for line in lines]
    except (KeyError, TypeError, ValueError):
        return {}
    if not rates or not batch or min(rates) <= 0:
        return {}
    lengths = [after - before for before, after in pairwise(steps)]
    seconds = sum(batch * length / rate for length, rate in zip(lengths, rates, strict=True))
    return {
        "iterations": float(steps[-1]),
        "seconds": round(seconds, 1),
        "images_per_second": round(batch * steps[-1] / seconds, 1),
    }
