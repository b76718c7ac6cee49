"""Memory that is freed and wanted again at once: kept, not handed back and forth."""

from __future__ import annotations

import contextlib
import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # of mallopt(3)
_NEVER = 2**31 - 1
_AT_ONCE = 64 << 20


def keep_freed_memory() -> None:
    """Let this process keep large blocks that it frees, for as long as it lives.

    Work that makes and drops arrays of megabytes, step after step, otherwise asks the system for
    fresh pages each time, and waits for them to be emptied. Has an effect with the GNU C library
    only; a process that needs much memory once, and little afterwards, should not ask for it.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_TRIM_THRESHOLD, _NEVER)
        mallopt(_TOP_PAD, _AT_ONCE)
        mallopt(_MMAP_MAX, 0)
