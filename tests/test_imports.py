"""Who may import whom, what `import trueshot` must not load, and what may not be a dependency."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "trueshot"
IMPORTER = re.compile(r"\b(import_module|__import__)$")

BASE = {"errors", "files", "images", "memory", "pixels", "plugins", "progress"}
BASE |= {"proportion", "tasks", "versions"}
LEARNING = {"networks", "detector", "bundle", "channels", "attacks", "datasets", "training"}
FILED = {"calibration", "card", "bundle", "detectors", "detector", "graph", "networks", "onnx"}
JUDGING = {"calibration", "card", "detectors", "inference", "evaluation", "reports", "simulation"}
SERVING = {
    "adversary",
    "engines",
    "scanning",
    "web",
    "calibrating",
    "certificates",
    "graph",
    "onnx",
    "parity",
}

# Each room (a module or a package directly inside trueshot) and the rooms, or single modules of
# them, that it may import.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "files": {"errors"},
    "plugins": {"errors", "files"},
    "tasks": {"errors", "plugins", "channels"},
    "proportion": set(),
    "versions": set(),
    "memory": set(),
    "pixels": {"errors"},
    "images": {"errors", "files", "pixels"},
    "progress": {"errors"},
    "networks": BASE,
    "detector": BASE | {"networks"},
    "certificates": BASE | {"networks", "detector", "inference.proof"},
    "calibration": {"errors", "tasks"},
    "card": BASE | {"networks", "detector", "calibration"},
    "graph": {"errors"},
    "parity": BASE | {"detector", "card", "graph"},
    "onnx": BASE | {"networks", "detector", "calibration", "card", "graph", "parity"},
    "detectors": {"errors"},
    "bundle": BASE | {"networks", "detector", "card", "graph", "onnx", "detectors"},
    "inference": BASE | FILED,
    "channels": {"errors", "pixels", "images.jpeg_tables"},
    "attacks": {"errors", "pixels", "detector", "channels"},
    "datasets": BASE,
    "training": BASE
    | {"networks", "detector", "card", "bundle", "attacks", "datasets", "inference"},
    "evaluation": BASE
    | {"networks", "detector", "card", "bundle", "channels", "attacks", "datasets", "plugins"}
    | {"engines", "graph", "certificates", "detectors"},
    "reports": BASE
    | {
        "calibration",
        "card",
        "inference.explanation",
        "evaluation.result",
        "evaluation.tally",
        "evaluation.doubt",
    },
    "simulation": {"engines", "errors", "files", "images", "memory", "progress"},
    "engines": {"errors"},
    "adversary": BASE
    | FILED
    | {"attacks", "channels", "datasets", "inference", "calibrating", "simulation"}
    | {"evaluation.doubt"},
    "scanning": BASE | FILED | {"inference", "engines"},
    "calibrating": BASE
    | FILED
    | {"attacks", "inference", "datasets", "engines", "scanning", "training"},
    "web": BASE | FILED | {"inference", "engines", "scanning", "attacks", "adversary", "reports"},
    "reproduce": BASE | LEARNING | JUDGING | {"simulate"},
    "simulate": BASE | {"datasets", "engines", "simulation"},
    "publish": BASE | FILED | {"inference", "evaluation", "reports"},
    "cli": BASE | LEARNING | JUDGING | SERVING | {"reproduce", "simulate", "publish"},
    "__main__": BASE | LEARNING | JUDGING | SERVING | {"reproduce", "simulate", "publish", "cli"},
    "__init__": {"errors"},  # on first use only
}


@dataclass(frozen=True)
class Import:
    """One imported name in full: `from .pixels import LEVELS` imports `trueshot.pixels.LEVELS`."""

    module: str
    target: str
    line: int
    eager: bool  # carried out as soon as the module is imported


def room_of(name: str) -> str:
    return name.split(".")[1] if "." in name else "__init__"


def modules_in(package: Path) -> dict[str, Path]:
    """Dotted names and files of all modules of a package, which is called trueshot."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = ["trueshot", *path.relative_to(package).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_in(package: Path) -> list[Import]:
    """Every import of ours by ours: at the top, in functions, under TYPE_CHECKING, by name."""
    found = []
    for module, path in modules_in(package).items():
        home = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for node, eager in walk(ast.parse(path.read_text("utf-8"), str(path)), eager=True):
            found += [
                Import(module, target, getattr(node, "lineno", 0), eager)
                for target in targets(node, home)
                if target.split(".")[0] == "trueshot"
            ]
    return found


def walk(node: ast.AST, eager: bool) -> Iterator[tuple[ast.AST, bool]]:
    """All nodes below this one, each with whether importing the module carries it out."""
    yield node, eager
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        eager = False
    only_for_types = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from walk(child, eager and not (only_for_types and field == "body"))


def targets(node: ast.AST, home: str) -> list[str]:
    """The full dotted names that a node of a module in the package `home` imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        above = home.split(".")[: 1 - node.level or None] if node.level else []
        return [".".join([*above, *filter(None, [node.module]), a.name]) for a in node.names]
    if isinstance(node, ast.Call) and IMPORTER.search(ast.unparse(node.func)):
        return [str(name.value) for name in node.args[:1] if isinstance(name, ast.Constant)]
    return []


def faults(package: Path) -> list[str]:
    """One sentence for each unknown room and for each import that the table does not allow."""
    unknown = {room_of(module) for module in modules_in(package)} - MAY_IMPORT.keys()
    found = [f"new room {room!r}: say in MAY_IMPORT what it may import" for room in sorted(unknown)]
    for each in imports_in(package):
        room, target = room_of(each.module), room_of(each.target)
        place = f"{each.module}, line {each.line}, imports {each.target}"
        if room in unknown or target in {room, *unknown} or each.target == "trueshot.__version__":
            continue
        if target not in MAY_IMPORT or target == "__init__":
            found.append(f"{place}: {target} is no room; import a name from its own room")
        elif not any(f"{each.target}.".startswith(f"trueshot.{may}.") for may in MAY_IMPORT[room]):
            found.append(f"{place}: {room} may not import {target}")
        elif room == "__init__" and each.eager:
            found.append(f"{place}: trueshot itself imports on first use only")
    return found


def circle(package: Path) -> list[str]:
    """The modules of one import cycle, or none. Imports that are not eager do not count."""
    modules = modules_in(package)
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for each in imports_in(package):
        if each.eager:
            graph[each.module] |= run_by(each, modules)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def run_by(each: Import, modules: dict[str, Path]) -> set[str]:
    """The module that an import names, and the packages on the way that it is the first to run."""
    parts = each.target.split(".")
    names = [".".join(parts[: end + 1]) for end in range(len(parts))]
    *on_the_way, last = [name for name in names if name in modules]
    return {last, *(name for name in on_the_way if not f"{each.module}.".startswith(f"{name}."))}


def plant(folder: Path, files: dict[str, str]) -> Path:
    """Write a package with these modules."""
    package = folder / "trueshot"
    for name, text in {"errors": "", "__init__": "", **files}.items():
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return package


def test_every_import_goes_the_way_the_table_says() -> None:
    assert faults(PACKAGE) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle(PACKAGE) == []


def test_the_table_itself_goes_one_way() -> None:
    rooms = {room: {may.split(".")[0] for may in row} for room, row in MAY_IMPORT.items()}
    TopologicalSorter(rooms).prepare()
    assert set().union(*rooms.values()) <= rooms.keys()


def test_the_package_is_where_this_file_looks_for_it() -> None:
    assert {"trueshot", "trueshot.errors", "trueshot.pixels"} <= modules_in(PACKAGE).keys()


@pytest.mark.parametrize(
    "text",
    [
        "from trueshot.training import train",
        "import trueshot.training",
        "import numpy, trueshot.training.loop as loop",
        "from trueshot import training",
        "from ..training import train",
        "from ..training.loop import train",
        "from .. import training",
        "def late():\n    from trueshot.training import train",
        "class Late:\n    async def call(self):\n        from ..training import train",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..training import train",
        "import typing\nif typing.TYPE_CHECKING:\n    pass\nelse:\n    import trueshot.training",
        "try:\n    import trueshot.training\nexcept ImportError:\n    pass",
        "from importlib import import_module\nimport_module('trueshot.training')",
        "import importlib\nlate = lambda: importlib.import_module('trueshot.training')",
    ],
)
def test_a_forbidden_import_is_found_however_it_is_written(tmp_path: Path, text: str) -> None:
    line = next(at for at, line in enumerate(text.splitlines(), 1) if "training" in line)
    (found,) = faults(plant(tmp_path, {"attacks/gradient": text}))
    assert found.startswith(f"trueshot.attacks.gradient, line {line}, imports trueshot.training")
    assert found.endswith(": attacks may not import training")


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("errors", "from trueshot.pixels import LEVELS"),
        ("pixels", "from .images import read_image"),
        ("images", "from trueshot import networks"),
        ("attacks/__init__", "from ..datasets import Dataset"),
        ("datasets/crops", "from ..detector import Detector"),
        ("evaluation/evaluate", "from trueshot.training import Recipe"),
        ("reports/table", "from trueshot.attacks import FGSM"),
        ("reports/table", "from trueshot.evaluation import evaluate"),
        ("simulation/camera", "from ..detector import Detector"),
        ("scanning/runner", "from ..attacks import FGSM"),
        ("reproduce", "from trueshot import cli"),
        ("cli", "from trueshot.__main__ import main"),
        ("attacks/base", "from trueshot import train"),  # no way round by the public names
        ("networks/lcnn", "import trueshot"),
        ("__init__", "def late():\n    from trueshot.pixels import LEVELS"),
        ("__init__", "from trueshot.errors import TrueshotError"),  # allowed, but not at once
        ("attic/boxes", "from trueshot.errors import TrueshotError"),  # no such room
    ],
)
def test_each_room_is_kept_from_what_is_not_its_own(tmp_path: Path, module: str, text: str) -> None:
    assert len(faults(plant(tmp_path, {module: text}))) == 1


def test_imports_that_the_table_allows_are_let_through(tmp_path: Path) -> None:
    files = {
        "__init__": "def __getattr__(name):\n    from trueshot.errors import TrueshotError",
        "attacks/__init__": "from .base import Attack",
        "attacks/base": "from trueshot import __version__, pixels\nimport trueshot_plugins",
        "attacks/gradient": "from . import base\nfrom ..detector import Detector\nimport numpy.fft",
        "reports/table": "from trueshot.evaluation.tally import Tally",
        "training/loop": "from trueshot.attacks import FGSM\nfrom .recipe import Recipe",
    }
    assert faults(plant(tmp_path, files)) == []


@pytest.mark.parametrize(
    "files",
    [
        {"a": "import trueshot.b", "b": "from .a import name"},
        {"a": "from . import b", "b": "from trueshot import c", "c": "import trueshot.a"},
        {"a/__init__": "from .b import name", "a/b": "from trueshot.a import name"},
        {"a/__init__": "import trueshot.c", "a/b": "", "c": "from .a.b import name"},
    ],
)
def test_a_circle_is_found(tmp_path: Path, files: dict[str, str]) -> None:
    assert len(circle(plant(tmp_path, files))) >= 3


@pytest.mark.parametrize(
    "files",
    [
        {"a": "import trueshot.b", "b": "def late():\n    from .a import name"},
        {"a": "import trueshot.b", "b": "if TYPE_CHECKING:\n    from .a import name"},
        {"a/__init__": "from .b import name", "a/b": "from . import c", "a/c": ""},
    ],
)
def test_what_is_no_circle_is_not_called_one(tmp_path: Path, files: dict[str, str]) -> None:
    assert circle(plant(tmp_path, files)) == []


LAZY = ("trueshot", *(f"trueshot.{path.parent.name}" for path in PACKAGE.glob("*/__init__.pyi")))


@pytest.mark.parametrize("name", sorted(LAZY))
def test_a_public_name_stays_what_it_is_once_all_submodules_are_imported(name: str) -> None:
    """A submodule that has the name of a function, as reproduce, would hide it."""
    package = importlib.import_module(name)
    before = {public: getattr(package, public) for public in package.__all__}
    for module in pkgutil.iter_modules(package.__path__):
        if module.name != "__main__":
            importlib.import_module(f"{name}.{module.name}")
    for public, value in before.items():
        assert not inspect.ismodule(value), public
        assert getattr(package, public) is value, public


@pytest.mark.parametrize("name", sorted(LAZY))
def test_type_checkers_and_the_reference_know_the_names_that_python_knows(name: str) -> None:
    package = importlib.import_module(name)
    stub = ast.parse(Path(str(package.__file__)).with_suffix(".pyi").read_text("utf-8"))
    (said,) = (node.value for node in stub.body if isinstance(node, ast.Assign))
    assert sorted(ast.literal_eval(said)) == sorted(package.__all__)


def loaded_by(*arguments: str) -> set[str]:
    """The names of all modules that a Python started with these arguments imports."""
    run = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert run.returncode == 0, run.stderr[-1000:]
    return set(re.findall(r"^import time:.*\|\s*(\S+)$", run.stderr, flags=re.MULTILINE))


def test_importing_trueshot_does_not_import_torch() -> None:
    loaded = loaded_by("-c", "import trueshot, sys; assert 'torch' not in sys.modules")
    assert "trueshot" in loaded
    assert "torch" not in loaded


def test_asking_for_help_does_not_import_torch() -> None:
    loaded = loaded_by("-m", "trueshot", "--help")
    assert "trueshot.cli" in loaded
    assert "torch" not in loaded


def test_an_import_made_late_is_still_seen() -> None:
    assert "wave" in loaded_by("-c", "def late():\n    import wave\nlate()")


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
CONSTRAINTS = (ROOT / "constraints.txt").read_text("utf-8")


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def wanted(*extras: str) -> list[Requirement]:
    """What the project needs to run, and with these extras."""
    optional = PROJECT["project"]["optional-dependencies"]
    groups = [PROJECT["project"]["dependencies"], *(optional[extra] for extra in extras)]
    found = [Requirement(line) for group in groups for line in group]
    own = [wanted(*each.extras) for each in found if each.name == "trueshot"]
    return [*(each for each in found if each.name != "trueshot"), *itertools.chain(*own)]


def pins() -> dict[str, Requirement]:
    lines = [line for line in CONSTRAINTS.splitlines() if line and not line.startswith("#")]
    return {plain(Requirement(line).name): Requirement(line) for line in lines}


@pytest.mark.parametrize("name", ["torchvision", "torchaudio"])
def test_no_dependency_is_a_companion_of_torch(name: str) -> None:
    """They have no CPU build for the pinned torch, and break its import."""
    everything = wanted(*PROJECT["project"]["optional-dependencies"])
    assert name not in {plain(each.name) for each in everything} | pins().keys()
    assert name not in str(PROJECT["build-system"]["requires"])


def test_every_constraint_is_one_exact_version_of_any_build() -> None:
    assert [
        str(p) for p in pins().values() if not re.fullmatch("==[^*+,]+", str(p.specifier))
    ] == []


def test_what_tests_and_checks_need_is_pinned_to_a_version_that_fits() -> None:
    for each in wanted("test", "check"):
        (pin,) = pins()[plain(each.name)].specifier
        assert each.specifier.contains(pin.version), f"{each} is pinned to {pin.version}"


@pytest.mark.parametrize(
    ("command", "result"),
    [("report", "paper-secure-64px.json"), ("compare", "strong/strong-secure-64px.json")],
)
def test_reading_results_does_not_import_torch(tmp_path: Path, command: str, result: str) -> None:
    file = ROOT / "docs" / "results" / "close" / result
    loaded = loaded_by("-m", "trueshot", command, str(file), "--out", str(tmp_path))
    assert "trueshot.evaluation.result" in loaded
    assert "torch" not in loaded
