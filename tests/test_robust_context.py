"""The network of whole frames that withstands learns from changed ones, and is chosen by them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from trueshot.attacks import PGD
from trueshot.detector import Detector
from trueshot.errors import RunError
from trueshot.networks.resnet import ResNet
from trueshot.training import frame_run, robust_context
from trueshot.training.context_file import context_side
from trueshot.training.frames import Frame
from trueshot.training.robust_context import (
    RobustContextRecipe,
    auc_under,
    train_robust_context,
)

TINY = RobustContextRecipe(
    side=32, width=4, steps=4, batch=8, replays=2, judged=8, validate_every=2, seed=3
)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> list[Frame]:
    """Originals are grey noise; recaptures the same, brighter by 40 levels in the middle."""
    folder, random = tmp_path_factory.mktemp("frames"), np.random.default_rng(0)
    made = []
    for number in range(96):
        pixels = np.kron(random.integers(90, 130, (6, 8, 3)), np.ones((8, 8, 1)))
        if number % 2:
            pixels[12:36, 16:48] += 40
        path = folder / f"{number}.png"
        Image.fromarray(pixels.astype(np.uint8)).save(path)
        part = "validation" if number >= 64 else "train"
        made.append(Frame(path=path, label=number % 2, part=part, scene=f"{number // 2}"))
    return made


def test_it_learns_what_a_few_levels_do_not_take_away(frames: list[Frame], tmp_path: Path) -> None:
    recipe = replace(TINY, steps=30, batch=16, replays=4, learning_rate=5e-3, validate_every=30)
    trained = train_robust_context(frames, tmp_path, recipe)
    assert trained.classes == ("original", "recaptured")
    (line,) = frame_run.read_lines(tmp_path / "log.jsonl")
    assert line["validation_auc"] > 0.9
    assert context_side(tmp_path / "context.safetensors") == 32


def test_a_loss_that_is_not_finite_ends_the_run(frames: list[Frame], tmp_path: Path) -> None:
    recipe = replace(TINY, steps=20, learning_rate=1e30)
    with pytest.raises(RunError, match=r"the loss is not finite at step \d+; lower the learning"):
        train_robust_context(frames, tmp_path, recipe)


def test_a_run_that_was_interrupted_ends_as_one_that_was_not(
    frames: list[Frame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_robust_context(frames, tmp_path / "whole", TINY)
    validate, calls = frame_run._validate, iter([False, True])

    def interrupted(*arguments: object) -> None:
        if next(calls):
            raise KeyboardInterrupt
        validate(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(frame_run, "_validate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_robust_context(frames, tmp_path / "halves", TINY)
    train_robust_context(frames, tmp_path / "halves", TINY)
    whole, halves = (
        (tmp_path / name / "context.safetensors").read_bytes() for name in ("whole", "halves")
    )
    assert whole == halves
    with pytest.raises(RunError, match="other settings"):
        train_robust_context(frames, tmp_path / "halves", replace(TINY, budget=1.0))


def test_each_showing_is_changed_further_within_a_budget_that_rises(
    frames: list[Frame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[torch.Tensor] = []
    losses: list[float] = []
    forward, cross_entropy = Detector.forward, functional.cross_entropy

    def noted(self: Detector, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            shown.append(images.detach().clone())
        return forward(self, images)

    def lossy(*given: torch.Tensor) -> torch.Tensor:
        losses.append(float(cross_entropy(*given).detach()))
        return cross_entropy(*given)

    monkeypatch.setattr(Detector, "forward", noted)
    monkeypatch.setattr(robust_context.functional, "cross_entropy", lossy)
    recipe = replace(TINY, steps=5, replays=3, learning_rate=1e-9, budget=8.0, validate_every=5)
    train_robust_context(frames, tmp_path, recipe)
    apart = [
        max(float((a - b).abs().max()) for a in shown[n : n + 3] for b in shown[n : n + 3])
        for n in range(0, 15, 3)
    ]
    assert apart[0] == 0.0
    assert 0 < apart[1] <= 2 * 8.0 / 1.5 + 1e-3
    assert max(apart) <= 16 + 1e-3
    assert sum(losses[3 * n + 2] for n in range(1, 5)) > sum(losses[3 * n] for n in range(1, 5))


def test_what_is_judged_is_what_is_left_under_attack(frames: list[Frame]) -> None:
    torch.manual_seed(0)
    detector = Detector(ResNet(width=4), offset=127, scale=128).eval()
    levels = torch.rand(40, 3, 32, 32) * 255
    with torch.no_grad():
        logits = detector(levels)
    scores = logits[:, 1] - logits[:, 0]
    labels = (scores > scores.median()).long()
    assert auc_under(PGD(budget=1e-6, steps=1), detector, levels, labels) == 1.0
    assert auc_under(PGD(budget=8.0, steps=5), detector, levels, labels) < 0.9


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="32 px"):
        RobustContextRecipe(side=16)
    with pytest.raises(ValueError, match="validate_every at least 1"):
        RobustContextRecipe(replays=0)


def test_evidence_of_places_is_the_logits() -> None:
    torch.manual_seed(0)
    network = ResNet(width=4, classes=3).eval()
    images = torch.randn(2, 3, 64, 96)
    found = network.explained(images)
    assert found.evidence is not None
    assert found.evidence.shape == (2, 3, 4, 6)
    torch.testing.assert_close(found.evidence.mean((2, 3)), found.logits)
    torch.testing.assert_close(found.logits, network(images))


def test_the_command_trains_as_it_is_told_and_a_wrong_call_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "manifest.csv").write_text("path,label,part,scene\n", "utf-8")
    seen: list[RobustContextRecipe] = []

    def train(frames: object, out: Path, recipe: RobustContextRecipe) -> Detector:
        seen.append(recipe)
        return Detector(ResNet(width=4))

    def called(*settings: str, manifest: str = "manifest.csv") -> int:
        words = [str(tmp_path / manifest), str(tmp_path / "out"), *settings]
        return frame_run.command(train, TINY, words)

    assert called("steps=7", "budget=2.5") == 0
    assert seen == [replace(TINY, steps=7, budget=2.5)]
    for wrong, named in (
        (("budget",), "budget: must be SETTING=VALUE"),
        (("levels=2",), "levels=2: must be SETTING=VALUE"),
        (("steps=many",), "many"),
        (("validate_every=0",), "at least 1"),
    ):
        assert called(*wrong) == 2
        errors = capsys.readouterr().err
        assert errors.startswith("error: ")
        assert named in errors
        assert errors.count("\n") == 1
    assert called(manifest="none.csv") == 2
    assert "none.csv" in capsys.readouterr().err
    assert len(seen) == 1
