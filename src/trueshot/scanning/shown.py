"""Why the photographs that a report shows were judged as they were: found out after all others."""

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
    """Numbers, from 0, of the verdicts that a report shows pictures of.

    Args:
        verdicts: Of a scan, in their order.
        most: So many at most.
        task: In whose words they are.

    Returns:
        What is not of class 0 before what is undecided, and that before class 0; within each the
        highest score first, and of equal ones the earlier. What was not judged is left out.
    """
    ranks = {UNDECIDED: 1, task.verdict_words[0]: 0}
    keyed = (
        (ranks.get(each.verdict, 2), -math.inf if each.score is None else each.score, -number)
        for number, each in enumerate(verdicts)
        if each.verdict != FAILED
    )
    return {-number for _, _, number in heapq.nlargest(most, keyed)}


def request_of(item: Item, explained: int) -> Request:
    """Asks for the verdict on an item, and for what is wanted beside it, see `Ledger.find`."""
    asked = {"explain": explained == EXPLAINED, "thumbnail": explained > 0}
    return Request(item.request() | asked, {} if item.data is None else {"data": item.data})


def explain_shown(
    engine: Engine,
    found: Iterable[Item],
    ledger: Ledger,
    most: int,
    task: Task = RECAPTURE,
) -> None:
    """Have what a report will show explained, as far as it is not.

    The verdicts stay as they are: a file that cannot be read any more, or is another by now, is
    left without an explanation.

    Args:
        engine: Of a detector.
        found: All items of the scan, in their order.
        ledger: Where their verdicts are.
        most: So many are shown.
        task: What the detector decides.
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

    # By what tells items apart: files may have come and gone since their places were counted.
    for _ in engine.map((item for item in found if item.identity in missing), ask, done):
        pass
