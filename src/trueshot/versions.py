"""Versions that a result depends on."""

from __future__ import annotations

import platform
from importlib.metadata import version


def versions() -> dict[str, str]:
    """Versions of trueshot, Python and the libraries that compute."""
    libraries = {name: version(name) for name in ("trueshot", "torch", "numpy", "pillow")}
    return {"python": platform.python_version(), **libraries}
