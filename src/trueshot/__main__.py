"""Run the command line: `python -m trueshot` is the same as `trueshot`."""

import os
import sys

# A typer.py among the user's photographs is data: never import modules from the current folder.
try:
    if not sys.flags.safe_path and sys.path[0] in ("", os.getcwd()):  # noqa: PTH109
        del sys.path[0]
except FileNotFoundError:  # the current folder was deleted, so nothing can be imported from it
    pass

from trueshot.cli import main

if __name__ == "__main__":
    main()
