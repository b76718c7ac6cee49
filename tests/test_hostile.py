"""A thousand damaged and malicious files: each has its line and its reason, and does no harm."""

from __future__ import annotations

import collections
import csv
import json
import os
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hostile import SUFFIXES, make

from trueshot.scanning.sources import items
from trueshot.scanning.verdict import sanitize, words_of
from trueshot.tasks.recapture import RECAPTURE

HERE = Path(__file__).parent
MEMORY = 2**30
PIXELS = 50_000_000
BASE = 250e6  # what a process has before it reads anything, with room to spare

PROGRAM = f"""
import json, pathlib, resource, sys
from trueshot.scanning import Settings, scan
settings = Settings(
    loader="scanning_workers:load", workers=2, seconds=600, memory={MEMORY}, pixel_limit={PIXELS}
)
for out in sys.argv[2:]:
    for verdict in scan("quick", [sys.argv[1]], out, settings, ledger=sys.argv[2] + ".ledger"):
        pass
status = pathlib.Path("/proc/self/status")  # getrusage counts what this was forked from, too
own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if status.exists():
    own = int(status.read_text().partition("VmHWM:")[2].split()[0])
print(json.dumps([own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]))
"""

WORDS = words_of(RECAPTURE)


@dataclass(frozen=True)
class Scanned:
    """What came of it."""

    corpus: Path
    lines: list[dict[str, Any]]
    csv: Path
    before: dict[str, object]
    after: dict[str, object]
    peaks: list[int]  # bytes: the main process, and the largest of the others
    said: str


def tree(folder: Path) -> dict[str, object]:
    """Everything below a folder, with what would betray a change."""
    found: dict[str, object] = {}
    for place, folders, files in os.walk(folder):
        for name in folders + files:
            path = Path(place, name)
            status = path.lstat()
            found[str(path)] = (status.st_mode, status.st_size, status.st_mtime_ns, status.st_nlink)
    return found


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Scanned:
    top = tmp_path_factory.mktemp("hostile")
    corpus, here, out = top / "corpus", top / "here", top / "out"
    for folder in (here, out):
        folder.mkdir()
    make(corpus)
    for module in ("json", "torch", "numpy", "PIL", "sitecustomize"):
        (here / f"{module}.py").write_text("open('evil', 'w'); raise SystemExit(66)")
    (here / "program").write_text(PROGRAM)
    known = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME"), str(here))
    before = tree(corpus) | tree(here)
    outputs = [str(out / "results.jsonl"), str(out / "results.csv")]
    run = subprocess.run(
        [sys.executable, "-P", "program", str(corpus), *outputs],
        cwd=here,
        env=os.environ | known | {"PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    unit = 1 if sys.platform == "darwin" else 1024
    return Scanned(
        corpus=corpus,
        lines=[json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()],
        csv=out / "results.csv",
        before=before,
        after=tree(corpus) | tree(here),
        peaks=[peak * unit for peak in json.loads(run.stdout)],
        said=run.stderr,
    )


def test_there_are_a_thousand_files_and_each_has_one_line(scanned: Scanned) -> None:
    assert len(scanned.before) > 1000
    found = [item.name for item in items([scanned.corpus])]
    assert [line["file"] for line in scanned.lines] == found
    assert len(set(found)) == len(found)
    told = {name.partition("!/")[0] for name in found}
    for name, (mode, *_) in scanned.before.items():  # type: ignore[misc]
        if Path(name).suffix in (*SUFFIXES, ".zip") and not stat.S_ISDIR(mode):
            hidden = Path(name).name.startswith(".")
            assert (sanitize(name) in told) != hidden, name


def test_each_line_has_a_verdict_or_a_reason(scanned: Scanned) -> None:
    for line in scanned.lines:
        assert line["verdict"] in WORDS
        if line["verdict"] in ("error", "undecided"):
            assert line["reason"], line["file"]
            assert sanitize(line["reason"]) == line["reason"]
            assert len(line["reason"]) < 500
        else:
            assert line["sha256"]
            assert line["score"] is not None


def test_no_decoder_died_hung_or_failed_in_an_unforeseen_way(scanned: Scanned) -> None:
    bad = ("could not be judged", "its worker process", "took longer", "more memory")
    said = [line for line in scanned.lines if str(line["reason"]).startswith(bad)]
    assert said == []


def test_whole_files_among_them_are_judged(scanned: Scanned) -> None:
    whole = [line for line in scanned.lines if "/damaged/whole-" in line["file"]]
    assert len(whole) == 12
    assert {line["verdict"] for line in whole} <= {*WORDS[:3]}
    words = collections.Counter(line["verdict"] for line in scanned.lines)
    assert words["error"] > 700, "and most of the others are not"


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("/bombs/size-65535.jpg", "declares 65535×65535 pixels"),
        ("/bombs/scans.jpg", "more than 500 scans"),
        ("/bombs/text.png", "Decompressed data too large"),
        ("/archives/bomb.zip!/bomb.png", "like a zip bomb"),
        ("/archives/flat-bomb.zip", "like a zip bomb"),
        ("/archives/overlapping.zip", "overlap"),
        ("/archives/many.zip", "more than the limit of 100,000"),
        ("/archives/nested.zip!/inner.zip", "archive inside an archive"),
        ("/archives/encrypted.zip!/a.png", "encrypted"),
        ("/archives/link.zip!/link.png", "is a link"),
        ("/nonsense/pickle.jpg", "is no image; convert it"),
        ("/nonsense/empty.jpg", "is empty"),
        ("/specials/passwd.jpg", "link to outside the folder"),
        ("/specials/zero.jpg", "link to outside the folder"),
        ("/specials/self.jpg", "cannot be read"),
        ("/specials/pipe.jpg", "pipe or a device"),
        ("/specials/pipe.zip", "pipe or a device"),
        ("/specials/vast.jpg", "8,796,093,022,208 bytes"),
    ],
)
def test_the_reason_is_the_right_one(scanned: Scanned, end: str, reason: str) -> None:
    (line,) = [line for line in scanned.lines if line["file"].endswith(end)]
    assert line["verdict"] == "error"
    assert reason in line["reason"]


def test_nothing_is_written_outside_of_the_output_folder(scanned: Scanned) -> None:
    assert scanned.after == scanned.before
    assert sorted(entry.name for entry in scanned.csv.parent.iterdir()) == [
        "results.csv",
        "results.jsonl",
        "results.jsonl.ledger",
    ]
    for place in ("/tmp/evil.png", "/tmp/evil", scanned.corpus.parent / "evil.png"):
        assert not Path(place).exists()


def test_memory_is_bounded(scanned: Scanned) -> None:
    main, largest = scanned.peaks
    assert main < BASE
    assert largest < BASE + MEMORY


def test_nothing_is_printed(scanned: Scanned) -> None:
    assert scanned.said == ""


def test_results_are_printable_and_no_cell_is_a_formula(scanned: Scanned) -> None:
    with scanned.csv.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(scanned.lines)
    for row in rows:
        for name in ("file", "reason", "notes"):
            assert sanitize(row[name]) == row[name]
            assert not row[name].startswith(("=", "+", "-", "@"))
