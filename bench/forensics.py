"""docs/security-of-forensics.md: forensic detectors of many tasks, clean, attacked, defended.

    python bench/forensics.py table FOLDER --photos PHOTOS [--phones RECAPTURE-DEV RECAPTURE-WHOLE]
        [--only SUBJECT …] [--detectors RECIPE …] [--stages train forensics …] [--seconds 3600]
    python bench/forensics.py page

`table` makes everything in the plan (`forensic/plan.py`) that is missing: data sets, detectors and
results, starting with the results that fill most of the table. It can be stopped, by `--seconds` or
by hand, and then resumes. It copies the results to docs/results/forensics, from which `page` writes
the page.
"""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from entry import enter
from forensic.page import page
from forensic.plan import STAGES, SUBJECTS
from forensic.running import follow, keep_results

DOCS = Path(__file__).resolve().parents[1] / "docs"
RESULTS = DOCS / "results" / "forensics"
PAGE = DOCS / "security-of-forensics.md"


def table(given: argparse.Namespace) -> None:
    """Continue the table, and copy its results."""
    subjects = [each for each in SUBJECTS if not given.only or each.key in given.only]
    steps = [step for subject in subjects for step in subject.steps(given.detectors)]
    chosen = [step for stage in given.stages for step in steps if step.stage == stage]
    places = {"PHOTOS": given.photos}
    if given.phones:
        places |= dict(zip(("RECAPTURE-DEV", "RECAPTURE-WHOLE"), given.phones, strict=True))
    left = follow(chosen, given.folder, places, given.seconds)
    keep_results(given.folder, RESULTS)
    print(f"{len(chosen) - len(left)} of {len(chosen)} steps are done")


def main() -> None:
    """Make the table, or the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    making = commands.add_parser("table")
    making.add_argument("folder", type=Path)
    making.add_argument("--photos", type=Path, required=True, help="that holds cid22")
    making.add_argument("--phones", type=Path, nargs=2, help="real photographs, to measure")
    making.add_argument("--only", nargs="+", choices=[each.key for each in SUBJECTS], default=[])
    making.add_argument("--detectors", nargs="+", default=[], help="by the names of recipes")
    making.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    making.add_argument("--seconds", type=float, default=float("inf"))
    making.set_defaults(run=table)
    writing = commands.add_parser("page")
    writing.set_defaults(run=lambda _: PAGE.write_text(page(RESULTS), "utf-8"))
    given = parser.parse_args()
    # Restore SIGINT, which stops commands at a checkpoint; shells make background jobs ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    given.run(given)


if __name__ == "__main__":
    enter(main)
