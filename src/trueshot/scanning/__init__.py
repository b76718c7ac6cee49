"""Scan many files: any source, all cores, hostile input, and a ledger to resume from.

Names are imported on first use, because worker processes need few of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trueshot.scanning.runner import Settings, Summary, scan
    from trueshot.scanning.verdict import Verdict, exit_status

__all__ = [
    "Settings",
    "Summary",
    "Verdict",
    "exit_status",
    "scan",
]

_HOMES = {
    "Settings": "runner",
    "Summary": "runner",
    "Verdict": "verdict",
    "exit_status": "verdict",
    "scan": "runner",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
