"""Allocator settings for work that frees and reallocates large arrays all the time."""

from __future__ import annotations

import contextlib
import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # options of mallopt(3)
_NEVER = 2**31 - 1
_AT_ONCE = 64 << 20


def keep_freed_memory() -> None:
    """Let this process keep the large blocks that it frees, for the rest of its life.

    Otherwise, work that allocates and drops arrays of megabytes at every step requests fresh pages
    each time and waits until the system has zeroed them. Works with the GNU C library only. Do not
    use it in a process that needs much memory once and little afterwards.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_TRIM_THRESHOLD, _NEVER)
        mallopt(_TOP_PAD, _AT_ONCE)
        mallopt(_MMAP_MAX, 0)
