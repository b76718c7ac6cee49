"""A scan over many machines with Ray Data: the same items, verdicts and ledger as on one.

Items go to the machines in small blocks, verdicts come back; the ledger stays here. The bundle is
sent as bytes, photographs are read where they are judged, from a file system that all machines
share. There, too, a file is judged in a process that may hang or die: see `Pool`. Ray restarts
what was lost with a machine.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import itertools
import json
import logging
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from trueshot import errors
from trueshot.bundle import bundle_sha256
from trueshot.detectors import located
from trueshot.errors import RunError, TrueshotError
from trueshot.scanning.archives import Member
from trueshot.scanning.ledger import Ledger
from trueshot.scanning.pool import Pool
from trueshot.scanning.runner import RunOutcome, judge_item, open_pool
from trueshot.scanning.scan_job import ScanJob, Settings, Summary
from trueshot.scanning.sources import Item
from trueshot.scanning.verdict import Verdict

if TYPE_CHECKING:
    import pyarrow as pa

_ROUND = 20_000  # items in hand at once
_BLOCK = 16  # at most so many are lost with a machine, and judged again
_ATTEMPTS = 2  # at a block whose machine or process dies
_FAULT = -1  # stands for a position where a whole block could not be judged

_Numbered = tuple[int, Item]


def scan_with_ray(
    bundle: str | os.PathLike[str],
    paths: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str] | None = None,
    settings: Settings | None = None,
    *,
    ledger: str | os.PathLike[str] | None = None,
    stdin: BinaryIO | None = None,
    finish: Callable[[Ledger, Summary], None] | None = None,
    address: str | None = None,
) -> Iterator[Verdict]:
    """Judge files on all machines of a Ray cluster; otherwise as `scan`, with the same results.

    A photograph that ends every process that judges it is an error, as are those that a machine
    cannot read. `workers` is not heeded: each core that Ray knows of judges one file at a time.

    Args:
        bundle: The detector; the machines need not see this file.
        paths: See `scan`; machines open what is found here under the same, absolute, names.
        out: See `scan`.
        settings: See `scan`.
        ledger: See `scan`; a scan may be begun with one engine and finished with the other.
        stdin: See `scan`.
        finish: See `scan`.
        address: Of the cluster, `host:port`; by default that of RAY_ADDRESS, or of a cluster that
            runs on this machine.

    Yields:
        A verdict for each file, in the order of items.

    Raises:
        RunError: Ray is not installed, there is no cluster, or as `scan`.
        BundleError: The detector cannot be loaded.
    """
    job = ScanJob(
        paths=paths,
        out=None if out is None else Path(out),
        ledger=None if ledger is None else Path(ledger),
        settings=settings or Settings(),
        stdin=stdin,
        finish=finish,
    )
    detector = bundle_sha256(bundle)
    with _connected(address):
        machines = _Machines.prepared(bundle, detector, job.settings)

        def course(found: Iterator[Item], book: Ledger | None) -> Iterator[Verdict]:
            return _verdicts(machines, enumerate(found), book, explain=job.settings.explain)

        yield from job.run(detector, course)


def _verdicts(
    machines: _Machines, found: Iterator[_Numbered], book: Ledger | None, *, explain: bool
) -> Iterator[Verdict]:
    """Verdicts in the order of items; each is in the ledger as soon as it is known."""
    while current := dict(itertools.islice(found, _ROUND)):
        ready: dict[int, Verdict] = {}
        for position, item in current.items():
            known = book and book.find(item, position, explained=explain)
            if known:
                ready[position] = known
        left = {number: item for number, item in current.items() if number not in ready}
        order = iter(current)
        waited_for = next(order, None)
        for position, (verdict, final, pictures) in machines.judge(left):
            if book is not None:
                book.keep(current[position], position, verdict, final=final, explanations=pictures)
            ready[position] = verdict
            while waited_for in ready:
                yield ready.pop(waited_for)
                waited_for = next(order, None)
        yield from (ready[position] for position in sorted(ready))


@dataclass(frozen=True)
class _Machines:
    """All machines of the cluster, and what they must know.

    Args:
        bundle: Reference of the bundle's bytes in Ray's store.
        attempts: Handle of the actor that counts them.
        orders: How to judge, as JSON.
        seconds: That a file may take.
        explain: Whether pictures are wanted.
    """

    bundle: Any
    attempts: Any
    orders: str
    seconds: float
    explain: bool

    @classmethod
    def prepared(
        cls, bundle: str | os.PathLike[str], detector: str, settings: Settings
    ) -> _Machines:
        orders = {
            "detector": detector,
            "name": located(bundle).name,
            "memory": settings.memory,
            "pixel_limit": settings.pixel_limit,
            "loader": settings.loader,
        }
        ray = _ray()
        data = ray.put(located(bundle).read_bytes())
        counted = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Attempts)
        return cls(
            bundle=data,
            attempts=counted.remote(),
            orders=json.dumps(orders, sort_keys=True),
            seconds=settings.seconds,
            explain=settings.explain,
        )

    def judge(self, wanted: Mapping[int, Item]) -> Iterator[tuple[int, RunOutcome]]:
        """Judgements, as they come in; every item gets one.

        Raises:
            TrueshotError: The detector cannot be loaded there.
        """
        left = {number: item for number, item in wanted.items() if item.reason is None}
        for number, item in wanted.items():
            if item.reason is not None:
                yield number, _error(item, item.reason)
        for most in (_BLOCK, 1):  # what a block was lost with is found by taking each by itself
            for number, judgement in self._spread(left, most):
                if left.pop(number, None) is not None:
                    yield number, judgement
        for item_number, item in left.items():
            reason = "ended every process that judged it, on whatever machine"
            yield item_number, _error(item, reason)

    def _spread(self, wanted: Mapping[int, Item], most: int) -> Iterator[tuple[int, RunOutcome]]:
        """Judgements of all blocks that were not lost."""
        if not wanted:
            return
        ray, rows = _ray(), list(wanted.items())
        cores = int(ray.cluster_resources().get("CPU", 1))
        size = max(1, min(most, len(rows) // (4 * cores)))
        blocks = [_block(rows[at : at + size]) for at in range(0, len(rows), size)]
        data = ray.data.from_arrow(blocks)
        data.context.enable_progress_bars = False
        data.context.max_errored_blocks = -1  # those are taken item by item
        data = data.map_batches(
            judge_block,
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=1,
            fn_kwargs={
                "bundle": [self.bundle],  # in a list, as Ray would put the bytes in its place
                "attempts": self.attempts,
                "orders": self.orders,
                "seconds": self.seconds,
                "explain": self.explain,
            },
        )
        for table in data.iter_batches(batch_size=None, batch_format="pyarrow"):
            yield from _judgements(table)


def judge_block(
    block: pa.Table,
    *,
    bundle: list[Any],
    attempts: Any,
    orders: str,
    seconds: float,
    explain: bool,
) -> pa.Table:
    """What a machine does with a block of items.

    Args:
        block: As `_block` writes it.
        bundle: Reference of the bundle's bytes.
        attempts: Handle of the actor that counts them.
        orders: How to judge.
        seconds: That a file may take.
        explain: Whether pictures are wanted.

    Returns:
        A row for each item; none at all if that was tried too often; or one with what kept the
        detector from being loaded.
    """
    import pyarrow as pa

    positions = block["position"].to_pylist()
    if _ray().get(attempts.begin.remote(f"{positions[0]}-{positions[-1]}")) > _ATTEMPTS:
        return _table(pa, [])
    try:
        pool = _pool(bundle[0], orders)
    except TrueshotError as error:
        fault = {"kind": type(error).__name__, "message": str(error)}
        return _table(pa, [(_FAULT, json.dumps(fault), False, {})])
    rows = []
    for row in block.to_pylist():
        content = json.loads(row["item"])
        member = None if content["member"] is None else Member(**content["member"])
        item = Item(**content | {"member": member, "data": row["data"]})
        verdict, final, pictures = judge_item(pool, item, seconds=seconds, explain=explain)
        rows.append((row["position"], json.dumps(verdict.as_record()), final, pictures or {}))
    return _table(pa, rows)


def _ray() -> Any:
    return importlib.import_module("ray")  # an extra, and a second to import


_OPEN: dict[str, Pool] = {}
"""In a process of Ray's: one worker of ours for the detector at hand; it stays for more blocks."""


def _pool(reference: Any, orders: str) -> Pool:
    if orders not in _OPEN:
        while _OPEN:
            _OPEN.popitem()[1].close()
        wanted = json.loads(orders)
        folder = tempfile.TemporaryDirectory(prefix="trueshot-")
        atexit.register(folder.cleanup)
        path = Path(folder.name) / wanted["name"]
        path.write_bytes(_ray().get(reference))
        settings = Settings(
            workers=1,
            memory=wanted["memory"],
            pixel_limit=wanted["pixel_limit"],
            loader=wanted["loader"],
        )
        pool = open_pool(path, settings)
        atexit.register(pool.close)
        try:
            _ = pool.facts  # waits until it is loaded
        except BaseException:
            pool.close()
            raise
        _OPEN[orders] = pool
    return _OPEN[orders]


class _Attempts:
    """An actor of Ray's that counts how often each block was begun.

    Ray itself begins a block again without end when the process that judges it dies, so one file
    could hold up all others for ever.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def begin(self, block: str) -> int:
        """How often this block was begun, this time included."""
        self._counts[block] += 1
        return self._counts[block]


def _block(rows: Sequence[_Numbered]) -> pa.Table:
    """Items as a table: machines open absolute paths, names stay as they are."""
    import pyarrow as pa

    contents, data = [], []
    for _, item in rows:
        path = item.path if item.data is not None else os.path.abspath(item.path)  # noqa: PTH100
        contents.append(json.dumps(asdict(replace(item, path=path, data=None))))
        data.append(item.data)
    return pa.table(
        {
            "position": pa.array([number for number, _ in rows], pa.int64()),
            "item": pa.array(contents, pa.string()),
            "data": pa.array(data, pa.large_binary()),
        }
    )


def _table(pa: Any, rows: Sequence[tuple[int, str, bool, Mapping[str, bytes]]]) -> pa.Table:
    return pa.table(
        {
            "position": pa.array([row[0] for row in rows], pa.int64()),
            "record": pa.array([row[1] for row in rows], pa.string()),
            "final": pa.array([row[2] for row in rows], pa.bool_()),
            "names": pa.array([list(row[3]) for row in rows], pa.list_(pa.string())),
            "blobs": pa.array([list(row[3].values()) for row in rows], pa.list_(pa.large_binary())),
        }
    )


def _judgements(table: pa.Table) -> Iterator[tuple[int, RunOutcome]]:
    for row in table.to_pylist():
        record = json.loads(row["record"])
        if row["position"] == _FAULT:
            raise getattr(errors, record["kind"], RunError)(record["message"])
        pictures = dict(zip(row["names"], row["blobs"], strict=True))
        yield row["position"], (Verdict.from_record(record), row["final"], pictures or None)


def _error(item: Item, reason: str) -> RunOutcome:
    return Verdict(file=item.name, verdict="error", reason=reason), False, None


@contextlib.contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """Within a cluster: the one that this process is in already, or another until the end."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told of this scan
    try:
        ray = _ray()
        importlib.import_module("ray.data")
    except ImportError as error:
        advice = "pip install 'trueshot[ray]'"
        raise RunError(f"a scan over many machines needs Ray: {advice}") from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if ray.is_initialized():
        yield
        return
    where = address or os.environ.get("RAY_ADDRESS") or "auto"
    try:
        ray.init(address=where, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise RunError(
            f"no Ray cluster at {where}: start one with 'ray start --head', and give its address "
            f"in RAY_ADDRESS ({str(error).strip().splitlines()[0][:200]})"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
