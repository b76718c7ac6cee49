"""The command line: `python -m trueshot.simulation.staging --photos DIR --out DIR`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from trueshot.errors import TrueshotError
from trueshot.simulation.staging.production import Staging, stage


def main() -> int:
    """Stage photographs as the arguments say; 0 if all went well."""
    given = _parser().parse_args()
    try:
        staging = Staging(
            per_class=given.per_class,
            side=None if given.native else given.side,
            fractions=tuple(given.fractions),
            megapixels=given.megapixels,
            procedural=given.procedural,
            seed=given.seed,
            per_part=None if given.per_part is None else tuple(given.per_part),
        )
        print(stage(given.photos, given.out, staging, given.workers))
    except TrueshotError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trueshot.simulation.staging", description=__doc__
    )
    say = parser.add_argument
    say("--photos", type=Path, action="append", required=True, help="folder; may be repeated")
    say("--out", type=Path, required=True, help="folder of the files and manifest.csv")
    say("--per-class", type=int, default=1000, help="photographs of each class, over all parts")
    say("--per-part", type=int, nargs=3, help="likewise of train, validation and test, instead")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--side", type=int, default=288, help="frames of about side x side pixels")
    size.add_argument("--native", action="store_true", help="photographs of 1 to 12 megapixels")
    say("--megapixels", type=float, default=12.5, help="of native photographs, at most")
    say("--fractions", type=float, nargs=3, default=(0.8, 0.1, 0.1), help="of the scenes, by part")
    say("--procedural", type=float, default=0.2, help="share of content made by rule")
    say("--seed", type=int, default=0)
    say("--workers", type=int, default=None, help="processes; by default one per processor")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
