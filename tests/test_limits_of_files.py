"""Files that say more than they are: refused at once, by a sentence, before anything is built."""

from __future__ import annotations

import json
import os
import resource
import struct
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from typer.testing import CliRunner

from trueshot.bundle import (
    Bundle,
    load_bundle,
    read_bundle,
    read_card,
    read_safetensors,
    save_bundle,
    write_bundle,
)
from trueshot.card import Card, InputContract
from trueshot.cli import app
from trueshot.datasets.photos import photos_in_manifest
from trueshot.errors import BundleError, RunError, TrueshotError
from trueshot.evaluation.result import load_experiments, load_result
from trueshot.evaluation.suites import load_suite
from trueshot.files import append_line, hold, parse_json, read_file
from trueshot.graph import tensor
from trueshot.inference import Predictor
from trueshot.networks.sizes import sketch
from trueshot.plugins import load_plugin
from trueshot.reports.results import find
from trueshot.training.recipe import load_recipe

SIDE = 32
CARD = Card(
    network={"name": "lcnn", "filters": [2, 2, 2, 2, 2]},
    contract=InputContract(side=SIDE, crops=2),
    side=SIDE,
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("bundle") / "detector.safetensors"
    save_bundle(path, CARD.new_detector().eval(), CARD)
    return path


def said(*command: object) -> str:
    """What a command says that is to refuse its file."""
    answer = CliRunner().invoke(app, [*map(str, command)])
    assert answer.exit_code != 0, answer.output
    assert isinstance(answer.exception, SystemExit | TrueshotError), answer.exception
    return answer.output + str(answer.exception)


def older(path: Path, card: dict[str, Any], weights: dict[str, Any] | None = None) -> Path:
    """A bundle of format 1, which has no graph: its network is built of the card."""
    text = json.dumps({"format": 1, "side": SIDE, **card})
    save_file(weights or {"none": np.zeros(1, np.float32)}, path, metadata={"trueshot": text})
    return path


@pytest.mark.parametrize(
    ("network", "side", "reason"),
    [
        ({"name": "spectral", "window": 8192, "filters": [1]}, SIDE, "window"),
        ({"name": "spectral", "window": 1024, "filters": [1]}, SIDE, "smaller than a window"),
        ({"name": "spectral", "window": 16, "filters": [1] * 10_000}, SIDE, "filters"),
        ({"name": "spectral", "window": 16, "filters": [10**9]}, SIDE, "filters"),
        ({"name": "spectral", "window": 1024, "filters": [2048]}, 1024, "too large"),
        ({"name": "lipschitz", "window": 8192}, SIDE, "window"),
        ({"name": "lipschitz", "window": 1024}, SIDE, "smaller than a window"),
        ({"name": "lipschitz", "window": 32, "rings": 3, "units": [1] * 99}, SIDE, "units"),
        ({"name": "lcnn", "filters": [10**12, 1, 1, 1, 1]}, SIDE, "filters"),
        ({"name": "lcnn", "filters": [1000, 1, 1, 1, 1]}, 1024, "too large"),
        ({"name": "lcnn", "filters": [4096, 4096, 4096, 1, 1]}, SIDE, "too large"),
        ({"name": "efficientnet-lite0", "features": 10**12}, SIDE, "features"),
        ({"name": "efficientnet-lite0", "dropout": [0.1] * 1000}, SIDE, "dropout"),
        ({"name": "alexnet", "layers": 10**9}, SIDE, "unknown"),
    ],
    ids=str,
)
def test_a_card_builds_nothing_that_is_larger_than_a_detector(
    tmp_path: Path, network: dict[str, Any], side: int, reason: str
) -> None:
    path = older(tmp_path / "old.safetensors", {"network": network, "side": side})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BundleError, match=rf"old\.safetensors: .*{reason}"):
        load_bundle(path)
    with pytest.raises(BundleError, match=rf"old\.safetensors: .*{reason}"):
        Predictor.load(path)
    assert reason in said("inspect", path)
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert taken < 256 * 1024  # KiB


@pytest.mark.parametrize("name", ["lcnn", "spectral", "lipschitz", "efficientnet-lite0"])
def test_the_largest_crops_of_each_network_are_within_the_bound(name: str) -> None:
    card = CARD.model_copy(update={"network": {"name": name}})
    assert next(sketch(card.new_detector, 1024).parameters()).is_meta


def with_header(path: Path, out: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """A bundle whose header is another, with a fitting digest."""
    whole = path.read_bytes()
    size = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + size])
    header.pop("__metadata__")
    change(header)
    card = json.dumps(json.loads(CARD.model_dump_json()) | {"format": 1})  # without a digest
    text = json.dumps(header | {"__metadata__": {"trueshot": card}}).encode()
    out.write_bytes(struct.pack("<Q", len(text)) + text + whole[8 + size :])
    return out


def overlapping(header: dict[str, Any]) -> None:
    first, second = list(header)[:2]
    header[second]["data_offsets"] = header[first]["data_offsets"]


def with_a_gap(header: dict[str, Any]) -> None:
    last = max(header.values(), key=lambda each: each["data_offsets"])
    last["data_offsets"] = [place + 8 for place in last["data_offsets"]]


def giant(header: dict[str, Any]) -> None:
    header["network.classifier.weight"]["shape"] = [2**40, 2**40]


def endless(header: dict[str, Any]) -> None:
    header["network.classifier.weight"]["data_offsets"] = [0, 2**62]


def of_another_kind(header: dict[str, Any]) -> None:
    header["network.classifier.weight"]["dtype"] = "I32"


def of_no_kind(header: dict[str, Any]) -> None:
    header["network.classifier.weight"]["dtype"] = "F7"


FAULTS = [overlapping, with_a_gap, giant, endless, of_another_kind, of_no_kind]


@pytest.mark.parametrize("change", FAULTS, ids=lambda each: each.__name__)
def test_inspect_refuses_what_a_scan_refuses(
    bundle: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    path = with_header(bundle, tmp_path / "changed.safetensors", change)
    with pytest.raises(BundleError, match=r"changed\.safetensors: "):
        Predictor.load(path)
    assert "changed.safetensors: " in said("inspect", path)
    if change is not of_another_kind:  # which is seen when weights and graph are put together
        with pytest.raises(BundleError, match=r"changed\.safetensors: "):
            read_card(path)


def test_inspect_refuses_weights_that_are_no_numbers(bundle: Path, tmp_path: Path) -> None:
    read = read_bundle(bundle)
    weights = {name: value.copy() for name, value in read.weights.items()}
    weights["network.classifier.bias"][0] = np.nan
    write_bundle(tmp_path / "nan.safetensors", replace(read, weights=weights))
    assert "contains weights that are not finite" in said("inspect", tmp_path / "nan.safetensors")


def test_weights_of_another_kind_than_the_network_has_are_refused(
    bundle: Path, tmp_path: Path
) -> None:
    read = read_bundle(bundle)
    weights = {name: np.asarray(value, np.float64) for name, value in read.weights.items()}
    path = tmp_path / "double.safetensors"
    write_bundle(path, Bundle(card=CARD, weights=weights, graph=None))
    with pytest.raises(BundleError, match="types of the tensors"):
        load_bundle(path)
    assert "types of the tensors" in said("inspect", path)


@pytest.mark.parametrize("place", ["header", "card", "deep"])
def test_a_key_that_is_given_twice_is_refused(bundle: Path, tmp_path: Path, place: str) -> None:
    texts = {
        "header": '{"a": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}, "a": {}}',
        "card": json.dumps({"__metadata__": {"trueshot": '{"format": 1, "format": 1}'}}),
        "deep": json.dumps(
            {"__metadata__": {"trueshot": '{"format": 1, "network": {"name": 1, "name": 2}}'}}
        ),
    }
    text = texts[place].encode()
    path = tmp_path / "twice.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(BundleError, match=r"twice\.safetensors: .*the key .* is given twice"):
        read_card(path)
    assert "is given twice" in said("inspect", path)


def test_a_key_is_looked_for_twice_in_a_moment() -> None:
    names = ", ".join(f'"{number}": 0' for number in range(100_000))
    with pytest.raises(ValueError, match="'99999' is given twice"):
        parse_json(f'{{{names}, "99999": 1}}')


def expanding(read: Bundle) -> Bundle:
    """A graph that fills 128 GiB from two numbers."""
    assert read.graph is not None
    graph = read.graph["graph"]
    (output,) = [each for each in graph["output"] if each["name"] == "scores"]
    zero = {"name": "value", "type": 4, "t": tensor("zero", np.zeros(1))}
    flat = {"name": "keepdims", "type": 2, "i": 0}
    fill = {"input": ["size"], "output": ["much"], "op_type": "ConstantOfShape"}
    nodes = [
        {**fill, "attribute": [zero]},
        {
            "input": ["much", "axes"],
            "output": ["little"],
            "op_type": "ReduceSum",
            "attribute": [flat],
        },
        {"input": ["old", "little"], "output": ["scores"], "op_type": "Add"},
    ]
    for node in graph["node"]:
        for key in ("input", "output"):
            node[key] = ["old" if name == "scores" else name for name in node.get(key, [])]
    constants = [
        tensor("size", np.array([2**17, 2**17])),
        tensor("axes", np.array([0, 1])),
    ]
    changed = {
        **graph,
        "node": [*graph["node"], *nodes],
        "initializer": [*graph.get("initializer", []), *constants],
        "output": [output],
    }
    return replace(read, graph={**read.graph, "graph": changed})


def test_a_graph_that_fills_the_memory_is_refused_and_the_memory_is_not_filled(
    bundle: Path, tmp_path: Path
) -> None:
    path = tmp_path / "expanding.safetensors"
    write_bundle(path, expanding(read_bundle(bundle)))
    assert "allocate" in (told := said("inspect", path)), told
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"")
    assert "expanding.safetensors: " in said("scan", photo, "--bundle", path)


READERS: dict[str, Callable[[Path], object]] = {
    "file": read_file,
    "bundle": read_bundle,
    "card": read_card,
    "weights": read_safetensors,
    "predictor": Predictor.load,
    "recipe": load_recipe,
    "suite": load_suite,
    "plugin": lambda path: load_plugin(f"{path}:NAME"),
    "manifest": photos_in_manifest,
    "result": load_result,
    "experiments": load_experiments,
    "results": lambda path: find([path]),
}


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, reader: str, kind: str) -> None:
    path = tmp_path / "thing.py"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    outcome: list[BaseException] = []

    def read() -> None:
        try:
            READERS[reader](path)
        except (OSError, TrueshotError) as error:
            outcome.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(600)  # a hang would never end; no machine is so slow
    assert outcome, "it waits, or read something"


def test_a_file_is_read_up_to_the_bound_and_no_further(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_file(tmp_path / "a", 5) == b"12345"
    with pytest.raises(OSError, match="larger than the limit of 4 bytes"):
        read_file(tmp_path / "a", 4)


def test_a_journal_that_cannot_be_written_is_named() -> None:
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        append_line(Path("/dev/full"), {"step": 1})


def test_a_folder_whose_settings_are_nested_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("[" * 100_000)
    with pytest.raises(RunError, match=r"run\.json: damaged"):
        hold(tmp_path / "run.json", {}, "run", RunError)
