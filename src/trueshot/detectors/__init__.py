"""The detectors shipped with trueshot, as files; see docs/detectors.md."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from trueshot.errors import BundleError

NAMES = ("accurate", "robust", "certified", "lcnn")
"""`accurate`: the most accurate, but attackers fool it easily; `robust`: resists small changes of
pixels; `certified`: gives a proven radius for its verdicts; `lcnn`: the paper's LCNN, for crops."""

SUMS = "SHA256SUMS"  # as sha256sum writes and checks it

_FOLDER = Path(__file__).parent


def shipped(name: str) -> Path:
    """Return the path of a shipped detector's bundle, after checking its SHA-256.

    Args:
        name: One of `NAMES`.

    Raises:
        BundleError: No detector has this name, or its file is missing or has changed.
    """
    if name not in NAMES:
        raise BundleError(f"{name}: no such detector; trueshot includes: {', '.join(NAMES)}")
    path = _FOLDER / f"{name}.safetensors"
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        wanted = _sums()[path.name]
    except (OSError, KeyError, ValueError) as error:
        raise BundleError(f"{path}: missing or cannot be read; reinstall trueshot") from error
    if found != wanted:
        raise BundleError(
            f"{path}: differs from the shipped file (SHA-256 {found}, expected {wanted}); "
            "reinstall trueshot"
        )
    return path


def located(bundle: str | os.PathLike[str]) -> Path:
    """Return the path of a bundle, given the name of a shipped detector or the path itself.

    Raises:
        BundleError: As in `shipped`.
    """
    name = os.fspath(bundle)
    return shipped(name) if name in NAMES else Path(name)


def _sums() -> dict[str, str]:
    """Return the SHA-256 sums by file name."""
    lines = (_FOLDER / SUMS).read_text("utf-8").splitlines()
    return {name: wanted for wanted, name in (line.split("  ", 1) for line in lines)}
