"""The detectors that come with trueshot, as files: docs/detectors.md."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from trueshot.errors import BundleError

NAMES = ("accurate", "robust", "certified", "lcnn")
"""`accurate`: the most accurate one, which an attacker fools easily; `robust`: the one that resists
small changes of pixels; `certified`: the one whose verdicts come with a proof that they do."""

SUMS = "SHA256SUMS"  # as sha256sum writes and checks it

_FOLDER = Path(__file__).parent


def shipped(name: str) -> Path:
    """The bundle of a detector that comes with trueshot, if its file is as it was shipped.

    Args:
        name: One of `NAMES`.

    Raises:
        BundleError: No detector of that name, or its file is missing or has changed.
    """
    if name not in NAMES:
        raise BundleError(f"{name}: no such detector; those that come along: {', '.join(NAMES)}")
    path = _FOLDER / f"{name}.safetensors"
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        wanted = _sums()[path.name]
    except (OSError, KeyError, ValueError) as error:
        raise BundleError(f"{path}: missing from this installation; install it again") from error
    if found != wanted:
        raise BundleError(
            f"{path}: not as it was shipped (SHA-256 {found}, not {wanted}); install it again"
        )
    return path


def located(bundle: str | os.PathLike[str]) -> Path:
    """The file of a bundle: that of its name, if it comes along, or the file itself.

    Raises:
        BundleError: As `shipped`.
    """
    name = os.fspath(bundle)
    return shipped(name) if name in NAMES else Path(name)


def _sums() -> dict[str, str]:
    """File names to sums."""
    lines = (_FOLDER / SUMS).read_text("utf-8").splitlines()
    return {name: wanted for wanted, name in (line.split("  ", 1) for line in lines)}
