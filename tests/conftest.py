"""Photographs made in a moment, and a data set of them."""

from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from PIL import Image
from processes import ForkedServer
from torch import Tensor, nn

from trueshot.calibrating import error_rates
from trueshot.datasets import Dataset, Photo, Settings, prepare, shortcuts
from trueshot.detector import Detector
from trueshot.engines import fork_server
from trueshot.evaluation.result import EvaluationResult
from trueshot.evaluation.tally import Trial, WorstCase

SIDE = 32
HANGS = 600.0  # seconds after which something hangs: no machine is so busy

# That examples are drawn slowly says that the machine is busy, and nothing of what is tested.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# A shell that starts the tests in the background has them ignore Ctrl-C, and all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The tensors of the tests are small: a second thread, here and in processes that are started, would
# only wait, and waits busily. Who sets the variable has the tests run with as many as it says.
torch.set_num_threads(int(os.environ.setdefault("OMP_NUM_THREADS", "1")))

# Most of what workers cost is that what they are forked from starts and imports.
BEGUN, fork_server._begun = fork_server._begun, ForkedServer  # type: ignore[assignment]


@pytest.fixture
def workers_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have workers come from an interpreter that is started for them, as outside of tests."""
    monkeypatch.setattr(fork_server, "_begun", BEGUN)


# Every data set is audited, and few tests are about that: they grow the whole forest.
TREES, shortcuts.TREES = shortcuts.TREES, 8


# The rates of every bundle have intervals, which tests of `trueshot.calibration` draw as often as
# is wanted of them.
error_rates._DRAWS = 100


def pytest_collection_finish() -> None:
    """Have what was imported stay: to look through it for garbage takes most of a second."""
    gc.freeze()


@contextmanager
def all_trees() -> Iterator[None]:
    """Have audits for shortcuts made as they are outside of tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shortcuts, "TREES", TREES)
        yield


def wait_until(true: Callable[[], object]) -> None:
    """Wait for what will come about, however busy the machine is."""
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < HANGS, "it never came about"
        time.sleep(0.01)


Cell = tuple[str, float, tuple[int, int], tuple[int, int]]
"""An attack, its budget, and how many of how many images of each class it leaves right."""


def one_by_one(clean: Cell, *attacked: Cell, **more: Any) -> EvaluationResult:
    """A result of the paper's suite with these figures."""
    _, _, right, total = clean
    worst = WorstCase(threat="linf", budget=0.0, right=right, right_before_file=right, total=total)
    trials = tuple(
        Trial(
            attack=attack, threat="linf", budget=budget, tried=tried, broken=b, broken_before_file=b
        )
        for attack, budget, left, tried in attacked
        for b in [(tried[0] - left[0], tried[1] - left[1])]
    )
    given: dict[str, Any] = {
        "suite": "paper",
        "classes": ("original", "recaptured"),
        "bundle_sha256": "f" * 64,
        "side": 64,
        "part": "test",
        "data": "d" * 64,
        "split_by": "photo",
        "auc": 0.75,
        "per_epsilon": {"linf": 1.0},
    }
    return EvaluationResult(worst=(worst,), trials=trials, **given | more)


class Linear(nn.Module):
    """A network whose logits are linear in the levels: attacks on it have closed forms."""

    def __init__(self, side: int = 4, classes: int = 2, seed: int = 0, scale: float = 0.01) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        values = 3 * side * side
        self.weight = nn.Parameter(scale * torch.randn(classes, values, generator=random))
        self.bias = nn.Parameter(scale * torch.randn(classes, generator=random))

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weight.T + self.bias


def linear_detector(classes: int = 2, **settings: float) -> Detector:
    names = tuple(f"class {number}" for number in range(classes))
    return Detector(Linear(classes=classes, **settings), classes=names)  # type: ignore[arg-type]


def levels(count: int, side: int, seed: int = 0) -> Tensor:
    """Whole levels at random, shape (count, 3, side, side)."""
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), generator=random).float()


def photo_pixels(seed: int, recaptured: bool, side: int = 4 * SIDE) -> np.ndarray:
    """A soft picture with noise; a recapture has the grid of a screen, too."""
    random = np.random.default_rng([seed, recaptured])
    coarse = random.integers(40, 215, (side // 16, side // 16, 3)).astype(np.uint8)
    soft = np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))
    pixels = soft + random.normal(0, 2, soft.shape)
    if recaptured:
        pixels = pixels + 6.0 * (np.indices((side, side)).sum(0) % 3 == 0)[..., None]
    return np.clip(pixels, 0, 255).astype(np.uint8)


def write_photos(folder: Path, count: int, side: int = 4 * SIDE) -> list[Photo]:
    """So many photographs of each class, as PNG."""
    photos = []
    for label in ("original", "recaptured"):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            path = folder / label / f"{number:03}.png"
            Image.fromarray(photo_pixels(number, label == "recaptured", side)).save(path)
            photos.append(Photo(name=f"{label}/{path.name}", path=path, label=label))
    return photos


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Photo]:
    return write_photos(tmp_path_factory.mktemp("photos"), 12)


@pytest.fixture(scope="session")
def dataset(photos: list[Photo], tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    out = tmp_path_factory.mktemp("prepared") / "dataset"
    return prepare(photos, out, Settings(sides=(SIDE,), per_class=100))
