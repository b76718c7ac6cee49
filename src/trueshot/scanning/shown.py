"""Explanations of the photographs that a report shows, made after all photographs are judged."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable

from trueshot.engines.engine import Engine, Reply, Request
from trueshot.engines.pool import WorkerError
from trueshot.scanning.ledger import EXPLAINED, Ledger
from trueshot.scanning.sources import Item
from trueshot.scanning.verdict import EXPLANATION, Verdict
from trueshot.tasks import Task
from trueshot.tasks.recapture import RECAPTURE
from trueshot.tasks.task import FAILED, UNDECIDED


def most_telling(verdicts: Iterable[Verdict], most: int, task: Task = RECAPTURE) -> set[int]:
    """Return the indices of the verdicts that a report shows pictures of.

    Args:
        verdicts: Verdicts of a scan, in order.
        most: Maximum number of indices.
        task: Task that defines the words of the verdicts.

    Returns:
        Verdicts other than class 0 come before undecided ones, and these before class 0; within
        each group by falling score, and equal scores in order. Errors are omitted.
    """
    ranks = {UNDECIDED: 1, task.verdict_words[0]: 0}
    keyed = (
        (ranks.get(each.verdict, 2), -math.inf if each.score is None else each.score, -number)
        for number, each in enumerate(verdicts)
        if each.verdict != FAILED
    )
    return {-number for _, _, number in heapq.nlargest(most, keyed)}


def request_of(item: Item, explained: int) -> Request:
    """Return a request for the verdict on an item and what is needed besides, see `Ledger.find`."""
    asked = {"explain": explained == EXPLAINED, "thumbnail": explained > 0}
    return Request(item.request() | asked, {} if item.data is None else {"data": item.data})


def explain_shown(
    engine: Engine,
    found: Iterable[Item],
    ledger: Ledger,
    most: int,
    task: Task = RECAPTURE,
) -> None:
    """Explain the photographs that a report will show, unless they are explained already.

    Verdicts do not change: a file that can no longer be read, or has changed, gets no explanation.

    Args:
        engine: Engine with a detector.
        found: All items of the scan, in order.
        ledger: Ledger with their verdicts.
        most: Number of photographs that are shown.
        task: Task of the detector.
    """
    missing = ledger.unexplained(most_telling(ledger.verdicts(), most, task))

    def ask(_: int, item: Item) -> Request | None:
        return request_of(item, EXPLAINED)

    def done(_: int, item: Item, reply: Reply) -> None:
        if isinstance(reply, WorkerError) or EXPLANATION not in reply.attached:
            return
        said = reply.content.get("verdict")
        sha256 = str(said.get("sha256")) if isinstance(said, dict) else ""
        ledger.explain(item, sha256, reply.attached[EXPLANATION])

    # Selected by identity, because files may have come and gone since positions were counted.
    for _ in engine.map((item for item in found if item.identity in missing), ask, done):
        pass
