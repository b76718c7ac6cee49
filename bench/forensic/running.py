"""Follows a plan: commands one after another, each once, as far as the time goes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from forensic.plan import Step
from trueshot.evaluation.result import load_result
from trueshot.files import write_json

_GRACE = 60.0  # seconds in which a command that is told to stop writes its checkpoint


def follow(
    steps: Sequence[Step], folder: Path, places: Mapping[str, Path], seconds: float
) -> list[Step]:
    """Run what is not done yet. A command that is cut short goes on where it was, next time.

    Args:
        steps: In order; one whose needs are not there is passed over.
        folder: Of data sets, runs and results.
        places: What words such as PHOTOS stand for.
        seconds: After so many a command is interrupted, and no other begins.

    Returns:
        The steps that are still to be done.
    """
    end = time.monotonic() + seconds
    folder.mkdir(parents=True, exist_ok=True)
    for step in steps:
        ready = all((folder / each).exists() for each in step.needs)
        if (folder / step.makes).exists() or not ready or time.monotonic() >= end:
            continue
        print(step.line, flush=True)
        status = _run(_command(step, places), folder, end - time.monotonic())
        if status and time.monotonic() < end:
            print(f"status {status}: {step.line}", file=sys.stderr, flush=True)
    return [step for step in steps if not (folder / step.makes).exists()]


def _command(step: Step, places: Mapping[str, Path]) -> list[str]:
    """The words, with places put in, behind this interpreter."""
    words = [_placed(word, places) for word in step.words]
    return [sys.executable, *([] if words[0].endswith(".py") else ["-m", "trueshot"]), *words]


def _placed(word: str, places: Mapping[str, Path]) -> str:
    first, *rest = word.split("/")
    return str(places[first].resolve().joinpath(*rest)) if first in places else word


def _run(command: list[str], folder: Path, seconds: float) -> int:
    process = subprocess.Popen(command, cwd=folder)
    try:
        return process.wait(seconds)
    except (subprocess.TimeoutExpired, KeyboardInterrupt) as error:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
        if isinstance(error, KeyboardInterrupt):
            raise
        return 1


def keep_results(folder: Path, kept: Path) -> None:
    """Copy results, without the pictures that they show, to where the page is made of them."""
    for path in sorted((folder / "results").glob("*.json")):
        content = load_result(path).to_json() | {"examples": []}
        target = kept / path.name
        if not target.exists() or json.loads(target.read_text("utf-8")) != content:
            write_json(target, content)
