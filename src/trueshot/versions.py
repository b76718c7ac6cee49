"""Versions that a result depends on."""

from __future__ import annotations

import contextlib
import platform
from importlib.metadata import PackageNotFoundError, version


def versions() -> dict[str, str]:
    """Versions of trueshot, Python and the libraries that compute."""
    found = {"python": platform.python_version()}
    for name in ("trueshot", "torch", "onnxruntime", "numpy", "pillow"):
        with contextlib.suppress(PackageNotFoundError):  # torch may not be there
            found[name] = version(name)
    return found
