"""Run a plan's commands one after another, each once, within a time limit."""

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

_GRACE = 60.0  # seconds for an interrupted command to write its checkpoint


def follow(
    steps: Sequence[Step], folder: Path, places: Mapping[str, Path], seconds: float
) -> list[Step]:
    """Run the steps that are not done yet; an interrupted command resumes next time.

    Args:
        steps: The steps in order; one whose needs are missing is skipped.
        folder: Folder of data sets, runs and results.
        places: Paths that stand for words such as PHOTOS.
        seconds: Time limit; the running command is then interrupted and no other starts.

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
    """Return the command line for this interpreter, with places replaced by paths."""
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
    """Copy results, without their example images, to the folder that the page is made from."""
    for path in sorted((folder / "results").glob("*.json")):
        content = load_result(path).to_json() | {"examples": []}
        target = kept / path.name
        if not target.exists() or json.loads(target.read_text("utf-8")) != content:
            write_json(target, content)
