"""The light installation: judging, reports and calibration without PyTorch."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

# What only the extras bring. The hook is installed before anything else, in every process: the
# workers of a scan are forked from an interpreter of their own.
HEAVY = [
    *("torch", "sklearn", "skimage", "matplotlib", "pyarrow", "onnx", "yaml", "threadpoolctl"),
    *("ray", "fastapi", "uvicorn", "plutoprint", "foolbox"),
]
HOOK = f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""


@pytest.fixture(scope="module")
def hooked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hook")
    (folder / "sitecustomize.py").write_text(HOOK, "utf-8")
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bright and dark photographs, of two classes, which sources tell apart."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for label, grey in (("original", 90), ("recaptured", 150)):
        for number in range(20):
            pixels = random.normal(grey + number, 25, (140, 140, 3))
            path = folder / label / f"{number}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
    return folder


def run(hooked: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`trueshot` as it runs where nothing heavy is installed."""
    path = os.pathsep.join([str(hooked), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-m", "trueshot", *arguments],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_the_hook_keeps_them_out(hooked: Path) -> None:
    for name in HEAVY:
        script = f"import {name}"
        found = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONPATH": str(hooked)},
            capture_output=True,
            check=False,
        )
        assert b"ModuleNotFoundError" in found.stderr, name


@pytest.mark.parametrize("name", ["accurate", "robust"])
def test_a_folder_is_scanned_and_reported(
    hooked: Path, photos: Path, tmp_path: Path, name: str
) -> None:
    out, report = tmp_path / "results.csv", tmp_path / "report.html"
    made = run(
        hooked,
        *("scan", str(photos / "original"), "--bundle", name),
        *("--out", str(out), "--report", str(report)),
    )
    assert made.returncode in (0, 1, 2), made.stderr
    assert "20 files" in made.stderr
    assert " 0 error" in made.stderr
    assert out.read_text("utf-8").count("\n") == 21
    assert "<html" in report.read_text("utf-8")
    assert "data:image/webp" in report.read_text("utf-8")  # with explanations


def test_a_detector_is_calibrated_and_inspected(hooked: Path, photos: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.safetensors"
    made = run(
        hooked,
        *("bundle", "accurate", "--calibrate", str(photos), "--out", str(mine)),
        *("--apcer", "0.1", "--bpcer", "0.1"),
    )
    assert made.returncode == 0, made.stderr
    told = run(hooked, "inspect", str(mine))
    assert told.returncode == 0, told.stderr
    assert "20" in told.stdout
    one = run(hooked, "scan", str(photos / "original" / "0.png"), "--bundle", str(mine))
    assert one.returncode in (0, 1, 2), one.stderr
    assert not one.stderr


def advised() -> Iterator[list[str]]:
    yield ["train", "DATA", "--out", "OUT"]
    yield ["evaluate", "accurate", "--dataset", "DATA", "--out", "OUT"]
    yield ["attack", "accurate", "PHOTOS", "--out", "OUT"]
    yield ["simulate", "--out", "OUT"]
    yield ["export", "accurate", "--out", "OUT.onnx"]
    yield ["reproduce", "DATA", "--out", "OUT"]
    yield ["recipe"]
    yield ["scan", "PHOTOS", "--out", "OUT.PARQUET"]


@pytest.mark.parametrize("arguments", list(advised()), ids=lambda each: each[0])
def test_what_to_install_is_said_in_one_sentence(
    hooked: Path, tmp_path: Path, arguments: list[str]
) -> None:
    for name in ("DATA", "PHOTOS", "A", "B"):
        (tmp_path / name).mkdir()
    told = run(hooked, *(str(tmp_path / each) if each.isupper() else each for each in arguments))
    assert told.returncode == 2
    assert told.stderr.count("\n") == 1
    assert "pip install 'trueshot[train]'" in told.stderr


def test_three_lines_of_python_need_no_torch_and_say_what_attacks_need(
    hooked: Path, photos: Path
) -> None:
    script = f"""
import sys, trueshot
predictor = trueshot.load("accurate")
prediction = predictor.predict({str(photos / "original" / "0.png")!r})
print(prediction.verdict, prediction.score, len(prediction.regions))
for wanted in ("predictor.detector", "trueshot.FGSM"):
    try:
        eval(wanted)
    except Exception as error:
        print(type(error).__name__, error)
"""
    path = os.pathsep.join([str(hooked), *filter(None, [os.environ.get("PYTHONPATH")])])
    found = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    said, detector, attack = found.stdout.splitlines()
    assert said.split()[0] in ("original", "recaptured", "undecided")
    assert "pip install 'trueshot[train]'" in detector
    assert "trueshot.FGSM needs torch: pip install 'trueshot[train]'" in attack
