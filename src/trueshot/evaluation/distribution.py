"""Evaluation in many processes, here or on a cluster; each loads the detectors it attacks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from trueshot.datasets import Dataset
from trueshot.engines.engine import Engine, Work, open_engine
from trueshot.engines.fork_server import Attached, Handler
from trueshot.engines.pool import MOST_SECONDS
from trueshot.errors import RunError
from trueshot.evaluation.detector_source import DetectorSource, load_detector
from trueshot.evaluation.plan import EvaluationSettings, Plan, plan_of
from trueshot.evaluation.planned_attacks import Effort, planned
from trueshot.evaluation.suites import Suite, suite_named
from trueshot.networks import own

_PLAIN = ("budgets", "part", "crops", "seed", "threats", "doubts", "opinions", "batch")
_PLANNED = ("name", "settings", "on", "far", "wants_gradient", "target")


@contextlib.contextmanager
def engine_for(
    engine: str,
    sources: Sequence[DetectorSource],
    dataset: Dataset,
    settings: EvaluationSettings,
    transfer: Path | None,
    *,
    workers: int | None = None,
    address: str | None = None,
) -> Iterator[Engine | None]:
    """Open the engine whose processes answer requests by `Plan.answer`.

    Yields None if this process is to do all the work.

    Args:
        engine: Name of the engine, see `open_engine`. "local" without `workers` means this process.
        sources: The detectors. Bundles are sent to other machines; all other files must lie under
            the same path there.
        dataset: Data set made by `prepare`, under the same path on all machines.
        settings: The suite and how to run it.
        transfer: Bundle of the detector from which attacks are transferred.
        workers: Number of worker processes on this machine.
        address: Address of the Ray cluster.

    Raises:
        RunError: The engine is unknown, or gets an address and has no use for it, or a suite or
            an attack cannot be loaded by name or file in another process.
    """
    if engine == "local" and workers is None and address is None:
        yield None
        return
    work = work_of(sources, dataset, settings, transfer)
    with open_engine(engine, work, workers=workers, address=address) as opened:
        yield opened


def work_of(
    sources: Sequence[DetectorSource],
    dataset: Dataset,
    settings: EvaluationSettings,
    transfer: Path | None,
) -> Work:
    """Describe what the workers of an engine have to load; for arguments see `engine_for`."""
    suite = settings.suite
    if isinstance(suite, Suite) and suite.file is None:
        raise RunError(
            f"suite {suite.name}: worker processes need a suite from a YAML file; write it to one"
        )
    if unknown := [attack.name for attack in settings.attacks if not attack.spec]:
        raise RunError(
            f"attack {unknown[0]}: worker processes cannot load it; create it with `planned`"
        )
    paths = {f"detector {n}": s.path for n, s in enumerate(sources) if s.contract is None}
    if transfer is not None:
        paths["transfer"] = str(transfer)
    return Work(
        loader="trueshot.evaluation.distribution:load",
        settings={
            "folder": str(Path.cwd()),
            "dataset": str(dataset.folder),
            "sources": [asdict(source) for source in sources],
            "suite": str(suite.file) if isinstance(suite, Suite) else suite,
            "attacks": [
                {"attack": each.spec, **{name: getattr(each, name) for name in _PLANNED}}
                for each in settings.attacks
            ],
            "effort": asdict(settings.effort),
            "networks": own.given(),
            **{name: getattr(settings, name) for name in _PLAIN},
            **paths,
        },
        files=tuple(name for name, path in paths.items() if Path(path).is_file()),
        memory=None,
        seconds=MOST_SECONDS,
    )


def load(settings: Mapping[str, Any]) -> tuple[Handler, dict[str, Any]]:
    """Prepare a process to attack detectors; a loader for `Pool`.

    Args:
        settings: The settings that `work_of` returns.
    """
    with contextlib.suppress(OSError):
        os.chdir(settings["folder"])  # the user's files may be named relative to it
    import_module("torch._dynamo")  # or each worker would import it to load a bundle
    for spec in settings["networks"]:
        own.give(spec)
    dataset = Dataset.open(Path(settings["dataset"]))
    sources = [_source(settings, number) for number in range(len(settings["sources"]))]
    how = _settings_of(settings)

    @cache
    def plan(number: int, side: int) -> Plan:
        asked = how
        if "transfer" in settings:
            other = DetectorSource(path=settings["transfer"], name="transfer")
            asked = replace(how, transfer=load_detector(other, dataset, None))
        return plan_of(load_detector(sources[number], dataset, side), dataset, asked)

    def handle(request: dict[str, Any], _: Attached) -> tuple[dict[str, Any], Attached]:
        answer = plan(request["detector"], request["side"]).answer(request)
        return answer.content, answer.attached

    return handle, {}


def _settings_of(settings: Mapping[str, Any]) -> EvaluationSettings:
    plain = {name: settings[name] for name in _PLAIN}
    tuples = {name: tuple(plain[name]) for name in ("budgets", "threats")}
    return EvaluationSettings(
        **{**plain, **tuples},
        suite=suite_named(settings["suite"]),
        attacks=tuple(planned(**each) for each in settings["attacks"]),
        effort=Effort(**settings["effort"]),
    )


def _source(settings: Mapping[str, Any], number: int) -> DetectorSource:
    content = dict(settings["sources"][number])
    content["path"] = settings.get(f"detector {number}", content["path"])
    return TypeAdapter(DetectorSource).validate_python(content)
