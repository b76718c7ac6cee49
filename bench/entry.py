"""How the benchmarks start: an error that a user can act on is one line, without a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

from trueshot.errors import TrueshotError


def enter(main: Callable[[], int | None]) -> None:
    """Run `main` and exit with its status; 1 after an error."""
    try:
        sys.exit(main())
    except (TrueshotError, OSError) as error:
        sys.exit(f"error: {error}")
