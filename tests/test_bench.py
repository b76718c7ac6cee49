"""The benchmarks: what they need is there, and a folder that is missing is told in a line."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import Forked

BENCH = Path(__file__).resolve().parents[1] / "bench"

SCRIPT = """
import runpy, sys
del sys.argv[0]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""

LINES = (
    "ablation.py none --out {out}",
    "certificates.py none --out {out}",
    "certified_photographs.py none none --features {out}/f.npz --out {out}/b",
    "choices.py none --out {out}",
    "collapse.py --photos none --out {out} --variant honest",
    "context_probe.py none {out}/c",
    "evidence.py none --cache {out}",
    "explaining.py none",
    "frames.py none none",
    "fresh.py none none none",
    "penalty.py none --out {out}",
    "run.py --only attacks --quick --detector none --dataset none",
    "runtimes.py none",
    "scanning.py none --workers 1",
    "schedule.py none none none",
    "serving.py --photo none",
    "sim_to_real.py none none",
    "simulated_cameras.py none {out}",
    "simulation.py --photos none",
    "shipped.py photographs --photos none",
    "textures.py lcnn --folder none",
    "tricks.py none --bundle lcnn --out {out}/t.json",
    "verdicts.py lcnn none --cache {out}",
    "whole.py measure none --few none",
)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.split(".")[0])
def test_a_missing_folder_is_told_in_a_line(line: str, tmp_path: Path) -> None:
    name, *arguments = line.format(out=tmp_path).split()
    done = Forked(SCRIPT, BENCH / name, *arguments)
    assert done.wait() != 0
    assert "Traceback" not in done.stderr
    assert "none" in done.stderr


def test_the_lines_are_of_all_that_read_files() -> None:
    others = {"entry.py", "forensics.py", "interval_coverage.py", "kept.py", "tried.py"}
    names = {path.name for path in BENCH.glob("*.py")}
    assert names - others == {line.split()[0] for line in LINES}


def test_kept_results_belong_to_the_content_of_a_photograph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    kept = importlib.import_module("kept").kept
    measured: list[str] = []

    def lengths(paths: list[Path]) -> Iterator[int]:
        for path in paths:
            measured.append(path.read_text())
            yield len(path.read_text())

    def found(folder: str, key: str = "a") -> list[int]:
        photographs = [tmp_path / folder / "set" / name for name in ("0.jpg", "1.jpg")]
        return kept(tmp_path / "kept.jsonl", key, photographs, lengths)

    for folder, second in (("one", "bb"), ("other", "cccc")):
        (tmp_path / folder / "set").mkdir(parents=True)
        (tmp_path / folder / "set" / "0.jpg").write_text("a")
        (tmp_path / folder / "set" / "1.jpg").write_text(second)
    assert found("one") == [1, 2]
    assert found("other") == [1, 4]  # a folder of the same name, with another photograph
    assert measured == ["a", "bb", "cccc"]
    (tmp_path / "one" / "set" / "1.jpg").write_text("ddd")
    assert found("one") == [1, 3]
    measured.clear()
    assert found("one", "b") == [1, 3]
    assert measured == ["a", "ddd"]
