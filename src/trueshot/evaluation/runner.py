"""Many detectors, one after the other: load, run a suite, write the result; faults end only one."""

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
from trueshot.evaluation.evaluate import DetectorUnderTest, EvaluationSettings, evaluate_suite
from trueshot.evaluation.external import InputSpec, fingerprint, load_outside
from trueshot.evaluation.result import PAPER, EvaluationResult, Tally, save_result
from trueshot.evaluation.suites import SUITES, Suite, load_suite
from trueshot.files import claim, read_lines, remove_leftovers, utf8_safe
from trueshot.networks.crop_aggregation import Aggregation, CropAggregator

RESULT = "result.json"


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


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """What came of one detector at one size.

    Args:
        name: Of the detector.
        side: Of the crops; None if it never came to that.
        path: The file that was written.
        result: What it holds.
        error: Why there is none; empty if there is one.
    """

    name: str
    side: int | None = None
    path: Path | None = None
    result: EvaluationResult | None = None
    error: str = ""

    def lines(self) -> list[str]:
        """What to print of it."""
        if self.result is None:
            return [f"{self.name}: {self.error}"]
        shown = [*_result_lines(self.result), f"clean AUC {self.result.auc:.4f}"]
        return [*shown, f"result: {self.path}"]


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


def suite_named(name: str) -> str | Suite:
    """A suite of ours by its name, or one from a YAML file.

    Raises:
        RunError: No such suite, or the file does not say one.
    """
    if name in SUITES:
        return name
    if not name.endswith((".yaml", ".yml")):
        raise RunError(f"suite {name!r}: unknown; known: {', '.join(SUITES)}, and a YAML file")
    return load_suite(Path(name))


def evaluate_detectors(
    sources: Sequence[DetectorSource],
    dataset: Dataset,
    out: Path,
    settings: EvaluationSettings,
    *,
    sides: Sequence[int] = (),
    transfer: Path | None = None,
) -> Iterator[RunOutcome]:
    """Judge detectors and write a result for each; one that fails does not end the others.

    Args:
        sources: Where the detectors come from.
        dataset: As `prepare` made it.
        out: Folder of the results: SUITE-NAME-SIDEpx.json; of one bundle under the paper's suite,
            result.json.
        settings: Which suite, and how.
        sides: Sizes of crops; by default each detector's own.
        transfer: Detector from which attacks are transferred.

    Yields:
        What came of each detector and size, in order.

    Raises:
        TrueshotError: There is one detector only, and it cannot be judged.
    """
    named = list(_named(sources))
    alone = len(named) == 1 and len(sides) < 2
    # One bundle under the paper's suite: as this command has always written it.
    given = [source for source in sources if source.name or source.contract is not None]
    as_ever = alone and settings.name == PAPER and not given and named[0].crop_aggregation is None
    with claim(out):
        remove_leftovers(out)
        if transfer is not None:
            other = DetectorSource(path=str(transfer))
            found = load_detector(replace(other, name=_name(other)), dataset, None)
            settings = replace(settings, transfer=found)
        for source in named:
            for side in sides or (None,):
                try:
                    tested = load_detector(source, dataset, side)
                    if as_ever:
                        tested = _as_its_recipe(tested, source)
                    name = f"{settings.name}-{tested.name}-{tested.side}px.json"
                    path = out / (RESULT if as_ever else name)
                    result = evaluate_suite(tested, dataset, settings, path.parent, path.stem)
                    save_result(path, result)
                    yield RunOutcome(name=source.name, side=tested.side, path=path, result=result)
                except Exception as error:  # whatever is wrong with one, the others go on
                    if alone:
                        raise
                    yield RunOutcome(name=source.name, side=side, error=_reason(error))


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


def _named(sources: Sequence[DetectorSource]) -> Iterator[DetectorSource]:
    """Each source once, under a name that no other one has."""
    unique = list(dict.fromkeys(sources))
    for depth in range(1, 9):
        named = [replace(source, name=_name(source, depth)) for source in unique]
        counts = Counter(source.name for source in named)
        if max(counts.values(), default=1) == 1:
            break
    taken: Counter[str] = Counter()
    for source in named:
        taken[source.name] += 1
        number = taken[source.name]
        yield source if number == 1 else replace(source, name=f"{source.name}-{number}")


def _name(source: DetectorSource, depth: int = 1) -> str:
    """A name fit for a file: as given, or made of the last parts of the way to the detector."""
    name = source.name or source.path
    if not source.name and (source.contract is None or source.path.endswith(".onnx")):
        path = Path(source.path).resolve()
        path = path.parent if source.contract is None else path.with_suffix("")
        name = "-".join(path.parts[1:][-depth:])
    return re.sub(r"[^\w.+-]+", "-", utf8_safe(name)).strip("-.") or "detector"


def _as_its_recipe(tested: DetectorUnderTest, source: DetectorSource) -> DetectorUnderTest:
    return replace(tested, name=str((tested.recipe or {}).get("name", Path(source.path).stem)))


def _reason(error: Exception) -> str:
    text = utf8_safe(str(error)).strip() or type(error).__name__
    known = type(error).__module__.startswith("trueshot")
    return text if known else f"{type(error).__name__}: {text}"


def _rate(item: Tally) -> str:
    low, high = item.interval
    return f"{100 * item.accuracy:6.2f} % [{100 * low:.2f}, {100 * high:.2f}]"


def _result_lines(result: EvaluationResult) -> list[str]:
    doubts = [f"doubt: {doubt.name}: {doubt.finding}" for doubt in result.doubts]
    if result.suite == PAPER:
        singles = result.singles()
        return [*(f"{s.attack:6} ε = {s.budget:g}  {_rate(s)}" for s in singles), *doubts]
    lines = [f"{result.detector}, {result.side} px, {result.suite} suite"]
    for threat in result.threats:
        unit = result.per_epsilon.get(threat, 1.0)
        cases = result.curve(threat)
        lines += [f"{threat:10} ε = {case.budget / unit:g}  {_rate(case)}" for case in cases]
    lines += [f"{change.name:16} {_rate(change)} AUC {change.auc:.4f}" for change in result.changes]
    for norm, distance in result.boundary.items():
        shown = "not found" if distance is None else f"{distance:.2f} levels"
        lines.append(f"median distance to the boundary, {norm}: {shown}")
    return [*lines, *(f"note: {note}" for note in result.notes), *doubts]
