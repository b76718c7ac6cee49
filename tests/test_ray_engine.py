"""The same scan over many machines: a local cluster of two, on loopback, within bounds."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import itertools
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from ray_workers import DEADLY, MARKS, POISON, SLOW

from trueshot.bundle import save_bundle
from trueshot.card import Card, InputContract
from trueshot.datasets import Dataset
from trueshot.engines.engine import Work
from trueshot.engines.ray_cluster import RayEngine
from trueshot.errors import BundleError, RunError
from trueshot.evaluation.detector_source import DetectorSource
from trueshot.evaluation.plan import EvaluationSettings
from trueshot.evaluation.result import EvaluationResult
from trueshot.evaluation.runner import evaluate_detectors
from trueshot.files import Journal
from trueshot.scanning.runner import Settings, scan
from trueshot.scanning.verdict import Verdict
from trueshot.simulate import Simulation, simulate

# Read when ray is imported: off, it stays on loopback, as it does on other systems by default.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

SETTINGS = Settings(loader="ray_workers:load", workers=2, seconds=600)
DIED = "its worker process died (signal 11, SIGSEGV)"
MACHINE: dict[str, Any] = {
    "num_cpus": 1,
    "object_store_memory": 100 * 2**20,
    "node_ip_address": "127.0.0.1",
}

RAY = replace(SETTINGS, engine="ray")
WATCHFUL = {"health_check_period_ms": 500, "health_check_failure_threshold": 20}
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is an extra")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    card = Card(
        network={"name": "lcnn", "filters": [2] * 5}, contract=InputContract(side=32, crops=4)
    )
    path = tmp_path / "detector.safetensors"
    save_bundle(path, card.new_detector().eval(), card)
    return path


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Good files and bad ones."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(6):
        pixels = random.integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    whole = (folder / "00.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[:2000])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_bytes(b"no photograph")
    (folder / "bytes \udcff.png").write_bytes(whole)
    (folder / DEADLY).write_bytes(whole)
    (folder / "broken.zip").write_bytes(b"PK\x03\x04 no archive")
    return folder


@contextmanager
def two_machines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster of two machines with one core and 100 MB of store each, seen by nobody else."""
    import ray
    from ray.cluster_utils import Cluster

    folder = tempfile.TemporaryDirectory(prefix="ts")  # its sockets need short names
    monkeypatch.setenv("RAY_TMPDIR", folder.name)
    head = {**MACHINE, "include_dashboard": False, "_system_config": WATCHFUL}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        cluster.add_node(**MACHINE)
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()  # type: ignore[no-untyped-call]
        folder.cleanup()


def records(verdicts: Iterator[Verdict]) -> list[dict[str, Any]]:
    return [{**asdict(verdict), "seconds": None} for verdict in verdicts]


@needs_ray
def test_a_scan_over_two_machines_ends_as_one_on_this_machine(
    tmp_path: Path,
    bundle: Path,
    photographs: Path,
    dataset: Dataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In one test, as a cluster takes seconds to start; the last part loses half of it."""
    marks = tmp_path / "marks"
    marks.mkdir()
    monkeypatch.setenv(MARKS, str(marks))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.chdir(tmp_path)
    given = [photographs.name, "none.jpg"]  # names that mean something here only
    wanted = records(scan(bundle, given, tmp_path / "local.jsonl", SETTINGS))
    assert {each["verdict"] for each in wanted} > {"error"}
    import ray

    with two_machines(monkeypatch) as cluster:
        out = tmp_path / "ray.jsonl"
        assert records(scan(bundle, given, out, RAY)) == wanted
        assert len(out.read_text("utf-8").splitlines()) == len(wanted)
        machines = {each.name for each in marks.iterdir()} - {"here"}
        assert len(machines) == 2

        ray.init(address=cluster.address, log_to_driver=False)  # once for what follows
        left_off_and_taken_up_again(tmp_path, bundle, given, wanted)
        without_a_file(bundle)
        simulated_as_here(tmp_path)
        evaluated_as_here(tmp_path, bundle, dataset)
        poisoned(tmp_path, bundle, photographs)
        bereft_of_a_machine(cluster, tmp_path, bundle, photographs)


def left_off_and_taken_up_again(
    folder: Path, bundle: Path, given: list[str], wanted: list[dict[str, Any]]
) -> None:
    """What was told before a scan was left is not judged again, by whichever engine."""
    out = folder / "left.jsonl"
    begun = scan(bundle, given, out, RAY)
    first = records(itertools.islice(begun, 4))
    begun.close()  # type: ignore[attr-defined]
    assert not out.exists()
    prediction = marked(folder)
    assert records(scan(bundle, given, out, RAY)) == wanted
    assert wanted[:4] == first
    again = marked(folder) - prediction
    finished = {Path(each["file"]).name for each in first if each["reason"] != DIED}
    assert not finished & again.keys()
    before = marked(folder)
    assert records(scan(bundle, given, out, SETTINGS)) == wanted
    assert (marked(folder) - before).keys() <= {DEADLY}


def without_a_file(bundle: Path) -> None:
    """Standard input goes along; a bundle that no machine can judge with is refused."""
    image = io.BytesIO()
    Image.new("RGB", (40, 40), (255, 0, 0)).save(image, "PNG")
    (verdict,) = scan(bundle, ["-"], settings=RAY, stdin=io.BytesIO(image.getvalue()))
    assert (verdict.file, verdict.format) == ("-", "PNG")
    assert verdict.sha256 == hashlib.sha256(image.getvalue()).hexdigest()
    damaged = bundle.with_name("damaged.safetensors")
    damaged.write_bytes(bundle.read_bytes()[:-1])
    with pytest.raises(BundleError, match=r"damaged\.safetensors: "):
        list(scan(damaged, ["-"], settings=RAY, stdin=io.BytesIO(b"none")))


def simulated_as_here(folder: Path) -> None:
    """Pairs are made on the machines, and the data set is the same, byte by byte."""
    few = Simulation(sides=(64,), per_class=10, procedural=0.9, seed=3)
    made = [
        simulate(None, folder / engine, few, workers=1, engine=engine)
        for engine in ("local", "ray")
    ]
    local, ray = (
        {path.relative_to(one.folder): path.read_bytes() for path in one.folder.rglob("*.jpg")}
        for one in made
    )
    assert local == ray
    assert local
    assert made[0].fingerprint(64) == made[1].fingerprint(64)


def evaluated_as_here(folder: Path, bundle: Path, dataset: Dataset) -> None:
    """Groups of images are attacked on the machines; what was stopped there goes on here."""
    how = EvaluationSettings(suite="paper", budgets=(1.0, 4.0), crops=6, batch=3, doubts=False)

    def result(name: str, engine: str) -> EvaluationResult | None:
        source = DetectorSource(path=str(bundle))
        (found,) = evaluate_detectors([source], dataset, folder / name, how, engine=engine)
        return found.result

    wanted = result("evaluated here", "local")
    assert wanted is not None
    assert result("evaluated there", "ray") == wanted
    append = Journal.append

    def stopped(journal: Journal, record: dict[str, Any]) -> None:
        append(journal, record)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "append", stopped)
        with pytest.raises(KeyboardInterrupt):
            result("stopped", "ray")
    (journal,) = (folder / "stopped").glob("*.jsonl")
    before = journal.read_text("utf-8")
    assert result("stopped", "ray") == wanted
    assert journal.read_text("utf-8").startswith(before)


def poisoned(folder: Path, bundle: Path, photographs: Path) -> None:
    """A file that ends Ray's own processes is an error, and no other file suffers."""
    whole = (photographs / "00.png").read_bytes()
    (photographs / POISON).write_bytes(whole)
    found = records(scan(bundle, [photographs.name], None, RAY))
    clean = records(scan(bundle, [photographs.name], None, SETTINGS))
    by_file = {each["file"]: each for each in clean}
    for each in found:
        if each["file"].endswith(POISON):
            assert each["verdict"] == "error"
            assert each["reason"].startswith("crashed every worker process that judged it")
        else:
            assert each == by_file[each["file"]]
    assert len(found) == len(clean)
    (photographs / POISON).unlink()


def bereft_of_a_machine(cluster: Any, folder: Path, bundle: Path, photographs: Path) -> None:
    """What a machine was judging when it died is judged by the other."""
    whole = (photographs / "00.png").read_bytes()
    for number in range(8):
        (photographs / f"{number:02}{SLOW}").write_bytes(whole)
    wanted = records(scan(bundle, [photographs.name], None, SETTINGS))
    other = next(iter(cluster.worker_nodes))
    running = scan(bundle, [photographs.name], None, RAY)
    found = [next(running)]
    cluster.remove_node(other, allow_graceful=False)
    found += running
    assert records(iter(found)) == wanted


def marked(folder: Path) -> Counter[str]:
    """How often each file was judged, wherever."""
    return Counter(
        name for each in (folder / "marks").iterdir() for name in each.read_text().splitlines()
    )


def test_the_main_process_loads_neither_torch_nor_ray() -> None:
    engine = "trueshot.engines.ray_cluster"
    script = f"import sys, trueshot.scanning.runner, {engine}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    loaded = set(done.stdout.split())
    assert engine in loaded
    assert not {"torch", "ray", "pyarrow", "pandas"} & loaded


def test_without_ray_it_is_said_what_to_install(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RunError, match=r"pip install 'trueshot\[ray\]'"):
        next(scan(bundle, ["none.jpg"], settings=RAY))


def test_a_cluster_without_cpus_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [{"NodeID": "1", "Alive": True, "Resources": {}}]
    ended: list[str] = []
    ray = SimpleNamespace(
        is_initialized=lambda: False,
        init=lambda **_: None,
        put=lambda content: content,
        remote=lambda **_: lambda kind: kind,
        nodes=lambda: nodes,
        shutdown=lambda: ended.append("shutdown"),
    )
    places = SimpleNamespace(NodeAffinitySchedulingStrategy=lambda *_, **__: None)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.util.scheduling_strategies", places)
    with pytest.raises(RunError, match="the Ray cluster has no CPUs"):
        RayEngine(Work(loader="none:load", settings={}))
    assert ended == ["shutdown"]


@needs_ray
def test_without_a_cluster_it_is_said_how_to_start_one(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    def refuse(**settings: Any) -> None:
        raise ConnectionError(f"nobody at {settings['address']}")

    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.setenv("RAY_ADDRESS", "elsewhere:6379")
    with pytest.raises(RunError, match=r"no Ray cluster at elsewhere:6379: .*ray start --head"):
        next(scan(bundle, ["none.jpg"], settings=RAY))
