"""The choice of photographs of known class to attack, and a complete attack run on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trueshot.adversary.outcomes import PhotographResult, result_of
from trueshot.adversary.suite import PhotographAdversary, PhotographSettings, Target, fingerprint
from trueshot.bundle import bundle_sha256
from trueshot.calibrating.photographs import photographs_of
from trueshot.datasets.listing import manifest_rows, outline_in
from trueshot.errors import DatasetError
from trueshot.files import claim, write_atomically
from trueshot.tasks import Task
from trueshot.tasks.recapture import RECAPTURE


def targets_of(
    dataset: Path, part: str = "test", most: int | None = None, task: Task = RECAPTURE
) -> list[Target]:
    """List the photographs of a manifest, of one folder per class, or of a prepared data set.

    Args:
        dataset: As for `trueshot bundle --calibrate`.
        part: Part to use, where the data set has parts.
        most: Maximum number per class, picked evenly over the list, so that every kind of
            photograph in it is represented; None means all.
        task: The task whose classes the photographs are of, two of them.

    Raises:
        DatasetError: The data set cannot be read, has other classes, or holds crops instead of
            photographs.
    """
    rows = manifest_rows(dataset) if dataset.is_file() else []
    outlines = {row.get("path", ""): outline_in(dataset, row) for row in rows}
    found = []
    for photograph in photographs_of(dataset, part, task):
        if photograph.row is not None:
            raise DatasetError(f"{dataset}: holds crops; give a manifest of whole photographs")
        target = Target(
            name=photograph.name,
            path=photograph.path,
            label=photograph.label,
            source=photograph.source,
            outline=outlines.get(photograph.name, ()),
        )
        found.append(target)
    classes = ([each for each in found if each.label == label] for label in (0, 1))
    return [each for those in classes for each in _evenly(those, most)]


def evaluate_photographs(
    bundle: Path, targets: Sequence[Target], settings: PhotographSettings, out: Path, name: str
) -> PhotographResult:
    """Attack photographs and write `photograph-NAME.json` and a Markdown table.

    An interrupted run continues from its journal, `photograph-NAME.jsonl`. A photograph that cannot
    be read is reported on stderr and left out.

    Raises:
        BundleError: See `PhotographAdversary`.
        DatasetError: None of the photographs can be read.
        RunError: Another run is writing into `out`.
    """
    adversary = PhotographAdversary(str(bundle), settings)
    with claim(out):
        stem = out / f"photograph-{name}"
        unread: list[str] = []
        outcomes = adversary.run(targets, stem.with_name(f"{stem.name}.jsonl"), unread)
        told = {each.name for each in outcomes} | set(unread)
        result = result_of(
            outcomes,
            adversary.predictor.card.words,
            detector=name,
            bundle_sha256=bundle_sha256(bundle),
            data=fingerprint(targets),
            settings=repr(settings),
            unread=tuple(unread),
            unscored=tuple(each.name for each in targets if each.name not in told),
        )
        result.save(stem.with_name(f"{stem.name}.json"))
        write_atomically(stem.with_name(f"{stem.name}.md"), result.table() + "\n")
    return result


def _evenly(targets: Sequence[Target], most: int | None) -> list[Target]:
    if most is None or len(targets) <= most:
        return list(targets)
    return [targets[number * len(targets) // most] for number in range(most)]
