"""The user's own code, named as `path/to/file.py:NAME`: networks, tasks, attacks.

Only files that the user names are run. A bundle, data set or result made with such a file records
its SHA-256, and never runs it by itself.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from trueshot.errors import PluginError
from trueshot.files import read_file, utf8_safe

_PREFIX = "trueshot_plugin_"
_SPEC = re.compile(r"(?P<path>.+\.py):(?P<name>[^\W\d]\w*)")


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """An object from a Python file that the user named.

    Args:
        value: The object.
        path: The file.
        name: The object's name in that file.
        sha256: Hash of the file, 64 hexadecimal digits.
    """

    value: Any
    path: Path
    name: str
    sha256: str


def is_plugin(spec: str) -> bool:
    """Whether a name has the form `path/to/file.py:NAME`."""
    return _SPEC.fullmatch(spec) is not None


def split_spec(spec: str) -> tuple[Path, str]:
    """Split `path/to/file.py:NAME` into the file and the name.

    Raises:
        PluginError: The spec has another form.
    """
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise PluginError(f"{spec}: must have the form path/to/file.py:NAME")
    return Path(match["path"]), match["name"]


def load_plugin(spec: str) -> Plugin:
    """Run a user's file, once per process, and return an object from it.

    Args:
        spec: `path/to/file.py:NAME`.

    Raises:
        PluginError: The file is missing, fails, or does not define the name.
    """
    path, name = split_spec(spec)
    try:
        source = read_file(path)
    except OSError as error:
        raise PluginError(f"{spec}: {path}: {error.strerror or error}") from error
    sha256 = hashlib.sha256(source).hexdigest()
    module = _module(spec, path, source, sha256)
    try:
        return Plugin(value=getattr(module, name), path=path, name=name, sha256=sha256)
    except AttributeError:
        raise PluginError(f"{spec}: {path} does not define {name}") from None


def _module(spec: str, path: Path, source: bytes, sha256: str) -> ModuleType:
    """Load a file as a module with a unique name, so that two files `task.py` do not clash."""
    place = hashlib.sha256(str(path.resolve()).encode("utf-8", "surrogatepass")).hexdigest()[:8]
    name = f"{_PREFIX}{path.stem}_{place}_{sha256[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # dataclasses look up their module while they are created
    try:
        # Run the source that was hashed, even if the file has changed since.
        with _neighbours_of(path):
            exec(compile(source, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:  # foreign code may raise anything, or end itself
        del sys.modules[name]
        line = utf8_safe((str(error).strip().splitlines() or [""])[0][:300])
        raise PluginError(
            f"{spec}: running {path} failed: {type(error).__name__}: {line}"
        ) from error
    return module


@contextmanager
def _neighbours_of(path: Path) -> Iterator[None]:
    """Let imports in the `with` block prefer modules beside the file to others of the same name."""
    folder = path.parent.resolve()
    names = {each.stem for each in folder.glob("*.py")}
    names |= {each.parent.name for each in folder.glob("*/__init__.py")} - {"trueshot"}
    others = {
        name: module
        for name, module in sys.modules.items()
        if name.partition(".")[0] in names and not _lies_in(module, folder)
    }
    for name in others:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    before = set(sys.modules)
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if name.partition(".")[0] in names and _lies_in(sys.modules[name], folder):
                del sys.modules[name]
        sys.modules.update(others)


def _lies_in(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return bool(file) and folder in Path(str(file)).resolve().parents
