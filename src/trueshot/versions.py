"""Versions of the software that a result depends on."""

from __future__ import annotations

import contextlib
import platform
from importlib.metadata import PackageNotFoundError, version


def versions() -> dict[str, str]:
    """Return the versions of trueshot, Python and the libraries that compute."""
    found = {"python": platform.python_version()}
    for name in ("trueshot", "torch", "onnxruntime", "numpy", "pillow"):
        with contextlib.suppress(PackageNotFoundError):  # torch is optional
            found[name] = version(name)
    return found
