"""`python -m trueshot` is `trueshot`."""

import os
import sys

# A typer.py that lies among the photographs is data: what is in this folder is not imported.
try:
    if not sys.flags.safe_path and sys.path[0] in ("", os.getcwd()):  # noqa: PTH109
        del sys.path[0]
except FileNotFoundError:  # there is no such folder any more, and nothing in it
    pass

from trueshot.cli import main

if __name__ == "__main__":
    main()
