"""The demo, small: from nothing to a page."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.skipif(not (ROOT / ".venv").is_dir(), reason="it would install all anew")
def test_the_demo_makes_a_page_from_nothing_and_goes_on_where_it_was(tmp_path: Path) -> None:
    settings = {"TRUESHOT_DEMO_ITERATIONS": "2", "TRUESHOT_DEMO_CROPS": "16"}
    out = tmp_path / "new" / "out"
    line = [str(ROOT / "scripts" / "demo"), str(out)]
    runs = [
        subprocess.run(
            line, env={**os.environ, **settings}, capture_output=True, text=True, check=False
        )
        for _ in range(2)
    ]
    for run in runs:
        assert run.returncode == 0, run.stderr
        assert str(out / "run" / "page.html") in run.stdout
    assert "yang 64 px: 2/2" in runs[0].stderr
    assert "yang 64 px: 1/2" not in runs[1].stderr
    page = (out / "run" / "page.html").read_text("utf-8")
    assert "simulated" in page
    assert "PGD" in page
    results = json.loads((out / "run" / "results.json").read_text("utf-8"))["results"]
    assert [r["detector"] for r in results] == ["yang", "secure"]
