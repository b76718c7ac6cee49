"""Two processes train what one trains; one that dies ends the run, which goes on later."""

from __future__ import annotations

import json
import signal
import socket
import sys
from ast import literal_eval
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from processes import Forked
from test_training import small
from torch import nn

from trueshot.bundle import load_bundle, read_safetensors
from trueshot.datasets import Dataset
from trueshot.errors import RunError
from trueshot.files import read_lines
from trueshot.networks import NETWORKS
from trueshot.training import Recipe, parse_recipe, train
from trueshot.training.distributed import Processes
from trueshot.training.steps import new_detector

GRADIENTS = """
import sys, torch
from torch import nn
from trueshot.detector import Detector
from trueshot.networks import LCNN
from trueshot.training import differentiate
from trueshot.training.distributed import processes
from trueshot.training.objective_settings import Fusion, Objective, Penalty

random = torch.Generator().manual_seed(0)
images = torch.randint(0, 256, (10, 3, 32, 32), generator=random).double()
labels, budgets = torch.arange(10) % 2, torch.linspace(1, 5, 4)
found = {}
with processes(torch.device("cpu")) as (together, _):
    for method in ("exact", "difference"):
        for batch_norm in ("running", "batch"):
            torch.manual_seed(1)
            detector = Detector(LCNN(filters=(2, 3, 4, 4, 4))).double().train()
            together.share_statistics(detector)
            objective = Objective(
                penalty=Penalty(weight=50.0, method=method),
                fusion=Fusion(adversarial=4, batch_norm=batch_norm),
            )
            share = together.share(4, 6)
            own = budgets[share[share < 4]]
            parts = differentiate(objective, detector, images[share], labels[share], own, 10)
            parts = together.add_up(list(detector.parameters()), parts)
            state = dict(detector.named_buffers()) | parts
            state |= {name: p.grad for name, p in detector.named_parameters()}
            found[method, batch_norm] = {name: value.tolist() for name, value in state.items()}
    if together.is_first:
        print(found)
"""


LAUNCHER = """
import runpy, sys
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

def started(*arguments):
    sys.argv = ["trueshot", *arguments]
    try:
        runpy.run_module("trueshot", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        assert not end.code

config = LaunchConfig(
    min_nodes=1, max_nodes=1, nproc_per_node=int(sys.argv[1]), max_restarts=0,
    rdzv_backend="c10d", rdzv_endpoint="localhost:0", start_method="fork",
)
elastic_launch(config, started)(*sys.argv[2:])
"""


def launched(count: int, *arguments: object) -> Forked:
    """What `torchrun` does, but for processes that are forked."""
    return Forked(LAUNCHER, count, *arguments, GLOO_SOCKET_IFNAME=loopback())


def forked(count: int, program: str, *arguments: object) -> list[Forked]:
    """So many processes of one run, as a cluster starts them, without a launcher."""
    known = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(count)}
    known["GLOO_SOCKET_IFNAME"] = loopback()
    return [Forked(program, *arguments, **known, RANK=str(rank)) for rank in range(count)]


def loopback() -> str:
    return "lo0" if sys.platform == "darwin" else "lo"


@pytest.fixture(scope="module")
def expected() -> dict[tuple[str, str], dict[str, Any]]:
    """State and gradients of one process alone."""
    alone = Forked(GRADIENTS)
    assert alone.wait() == 0, alone.stderr
    return literal_eval(alone.stdout)  # type: ignore[no-any-return]


@pytest.mark.parametrize("count", [2, 3])
def test_gradients_statistics_and_parts_are_those_of_one_process(
    count: int, expected: dict[tuple[str, str], dict[str, Any]]
) -> None:
    together = forked(count, GRADIENTS)
    for each in together:
        assert each.wait() == 0, each.stderr
    found = literal_eval(together[0].stdout)
    assert expected.keys() == found.keys()
    for key, state in expected.items():
        for name, value in state.items():
            np.testing.assert_allclose(
                found[key][name], value, rtol=1e-9, atol=1e-12, err_msg=f"{key} {name}"
            )


def train_command(recipe: Recipe, dataset: Dataset, out: Path) -> list[str]:
    path = out.with_suffix(".yaml")
    path.write_text(recipe.to_yaml(), "utf-8")
    return ["train", str(dataset.folder), "--recipe", str(path), "--out", str(out)]


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_bundle(out / "detector.safetensors")[0].state_dict()


def by_difference(recipe: Recipe) -> Recipe:
    penalty = recipe.objective.penalty.model_copy(update={"method": "difference"})
    objective = recipe.objective.model_copy(update={"penalty": penalty})
    return recipe.model_copy(update={"objective": objective})


def assert_close_to(out: Path, whole: Path) -> None:
    # Adam divides by the size of a gradient, so rounding of small ones is felt in the weights.
    for name, value in weights(whole).items():
        torch.testing.assert_close(weights(out)[name], value, rtol=0.02, atol=0.002, msg=name)
    found, expected = (read_lines(each / "log.jsonl") for each in (out, whole))
    assert [line["step"] for line in found] == [line["step"] for line in expected]
    for name in ("loss", "cross_entropy_clean", "cross_entropy_adversarial", "gradient_norm"):
        np.testing.assert_allclose(
            [line[name] for line in found], [line[name] for line in expected], rtol=0.01
        )


def test_a_run_on_two_processes_is_that_of_one_and_goes_on_with_another_number(
    dataset: Dataset, tmp_path: Path
) -> None:
    recipe = by_difference(small())
    train(recipe, dataset, tmp_path / "one")
    arguments = train_command(recipe, dataset, tmp_path / "two")
    done = launched(2, *arguments)
    assert done.wait() == 0, done.stderr
    assert done.stdout.count("detector: ") == 1  # one process speaks
    assert_close_to(tmp_path / "two", tmp_path / "one")
    # Of a run that two processes began, the rest on one: the checkpoint is at its end already.
    (tmp_path / "two" / "detector.safetensors").unlink()
    train(recipe, dataset, tmp_path / "two")
    assert_close_to(tmp_path / "two", tmp_path / "one")
    for process in forked(2, "trueshot", *arguments):
        assert process.wait() == 0, process.stderr


def test_what_the_first_process_refuses_it_alone_says(dataset: Dataset, tmp_path: Path) -> None:
    train(small(2), dataset, tmp_path / "run")
    arguments = train_command(small(3), dataset, tmp_path / "run")
    started = forked(2, "trueshot", *arguments)
    assert [process.wait() for process in started] == [2, 0]
    said = "".join(process.stderr for process in started)
    assert said.count("holds a run of another recipe") == 1
    assert "another process of this run has died" not in said


TRAIN = """
import sys
from trueshot.datasets import Dataset
from trueshot.training import load_recipe, train
train(load_recipe(sys.argv[1]), Dataset.open(sys.argv[2]), sys.argv[3], checkpoint_seconds=0)
"""
DIES = (
    """
import os, signal
from trueshot.training import steps
mixed, left = steps.mixed, 5

def then_dies(*arguments):
    global left
    left -= 1
    if os.environ["RANK"] == "1" and not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return mixed(*arguments)

steps.mixed = then_dies
"""
    + TRAIN
)


def test_a_process_that_dies_ends_the_run_with_an_error_and_another_number_goes_on(
    dataset: Dataset, tmp_path: Path
) -> None:
    recipe, out = small(iterations=20), tmp_path / "run"
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.to_yaml(), "utf-8")
    first, second = forked(2, DIES, path, dataset.folder, out)
    assert second.wait() == -signal.SIGKILL
    assert first.wait() != 0
    assert "another process of this run has died" in first.stderr
    _, header = read_safetensors(out / "checkpoint.safetensors")
    assert 0 < json.loads(header["trueshot-checkpoint"])["step"] < 20
    train(recipe, dataset, out)  # goes on, on one process
    train(recipe, dataset, tmp_path / "whole")
    assert_close_to(out, tmp_path / "whole")


def test_a_process_with_another_recipe_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    for rank in range(2):
        recipe = small(iterations=50 + rank)
        (tmp_path / f"{rank}.yaml").write_text(recipe.to_yaml(), "utf-8")
    program = TRAIN.replace("sys.argv[1]", "sys.argv[1] + os.environ['RANK'] + '.yaml'")
    program = program.replace("import sys", "import os, sys")
    started = forked(2, program, f"{tmp_path}/", dataset.folder, tmp_path / "r")
    assert all(process.wait() != 0 for process in started)
    assert "differ from those of the run's first process" in started[1].stderr


def test_a_process_without_the_others_says_so(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RunError, match="torchrun"):
        train(small(2), dataset, tmp_path / "run")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_batch_normalisation_that_cannot_share_its_statistics_is_refused_by_name() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    Processes().share_statistics(plain)
    with pytest.raises(RunError, match="1 is a BatchNorm2d"):
        Processes(count=2).share_statistics(plain)


@pytest.mark.parametrize("name", sorted(NETWORKS.keys() - {"lcnn-ensemble", "lipschitz"}))
def test_every_network_of_a_recipe_shares_its_statistics(name: str) -> None:
    processes = Processes(count=2)
    detector = new_detector(parse_recipe(f"name: a\nnetwork: {name}", "a"))
    processes.share_statistics(detector)
    layers = [
        each for each in detector.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)
    ]
    assert all(each.total == processes.total for each in layers)


def test_a_minibatch_is_shared_without_gaps_and_each_has_some_of_both_kinds() -> None:
    shares = [Processes(rank=rank, count=3).share(4, 6) for rank in range(3)]
    assert sorted(np.concatenate(shares).tolist()) == list(range(10))
    for share in shares:
        assert (share < 4).any()
        assert (share >= 4).any()
        assert (np.diff(share) > 0).all()
    assert Processes().share(4, 6).tolist() == list(range(10))


@pytest.mark.parametrize(("attacked", "clean"), [(2, 6), (4, 2)])
def test_more_processes_than_images_of_a_kind_are_refused(attacked: int, clean: int) -> None:
    with pytest.raises(RunError, match="start fewer"):
        Processes(rank=0, count=3).share(attacked, clean)
    assert len(Processes(rank=0, count=3).share(0, 6)) == 2
