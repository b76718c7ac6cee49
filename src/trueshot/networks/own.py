"""Networks defined in the user's own files, built only if the user gave the file.

A recipe names `path/to/file.py:Name`; a bundle keeps the file's name and its SHA-256, never its
code. A bundle is data: loading it runs no code except from files given in the same process.
"""

from __future__ import annotations

from torch import nn

from trueshot.errors import PluginError
from trueshot.plugins import load_plugin, split_spec

_GIVEN: dict[tuple[str, str], type[nn.Module]] = {}
_SPECS: dict[str, None] = {}


def give(spec: str) -> dict[str, str]:
    """Run a file that the user named, and allow its network to be built in this process.

    Args:
        spec: `path/to/file.py:Name`, where Name is a subclass of `nn.Module` that takes `classes`
            and the other arguments that a recipe gives under `network`.

    Returns:
        `name` and `sha256` as recipes and bundles keep them.

    Raises:
        PluginError: The file is missing or fails, or Name is not a subclass of `nn.Module`.
    """
    plugin = load_plugin(spec)
    if not (isinstance(plugin.value, type) and issubclass(plugin.value, nn.Module)):
        raise PluginError(f"{spec}: must be a subclass of nn.Module")
    _GIVEN[plugin.name, plugin.sha256] = plugin.value
    _SPECS[spec] = None
    return {"name": f"{plugin.path.name}:{plugin.name}", "sha256": plugin.sha256}


def given() -> list[str]:
    """Return the specs given so far, so that other processes can give them too."""
    return [*_SPECS]


def is_given(name: str, sha256: str) -> bool:
    """Whether the class of this name was given, from a file with this SHA-256."""
    return (split_spec(name)[1], sha256) in _GIVEN


def in_a_line(error: Exception) -> str:
    """Return the type of an error that user-defined code raised, and its first line."""
    line = (str(error).strip().splitlines() or [""])[0][:300]
    return f"{type(error).__name__}: {line}"


def own_network(name: str, sha256: str) -> type[nn.Module]:
    """Return the class of the network that a recipe or a bundle names.

    Args:
        name: `file.py:Name`.
        sha256: SHA-256 of the file.

    Raises:
        PluginError: The user did not give that file, or gave one with different content.
    """
    if is_given(name, sha256):
        return _GIVEN[split_spec(name)[1], sha256]
    path, attribute = split_spec(name)
    other = any(known == attribute for known, _ in _GIVEN)
    what = "a different file was given" if other else "bundles contain no code"
    raise PluginError(
        f"its network is {attribute} in {path.name} (SHA-256 {sha256[:16]}…): {what}; "
        f"if you have that file and trust it, add --network path/to/{path.name}:{attribute}"
    )
