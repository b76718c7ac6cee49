"""The last steps of the detector `accurate`: calibrated, measured, put into the package.

    python bench/accurate.py bundle JOINT --calibrate MANIFEST --out accurate.safetensors
    python bench/accurate.py measure accurate.safetensors --test MANIFEST --real MANIFEST…
    python bench/accurate.py install accurate.safetensors

The steps before are in docs/detectors.md. JOINT is what `trueshot.calibrating.joining` wrote. The
validation part calibrates, the test part measures; real photographs only ever measure.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from shipping.bundling import TASK, install_bundle
from shipping.changing import Shown, attacked, changed_by, in_manifest
from shipping.measuring import measurement
from threadpoolctl import threadpool_limits

from trueshot.bundle import load_bundle, read_bundle, write_bundle
from trueshot.calibrating import CalibrationSettings, make_bundle
from trueshot.calibrating.error_rates import Kind
from trueshot.card import Measurement
from trueshot.channels import EVERYDAY
from trueshot.inference import Predictor

APCER, BPCER = 0.05, 0.05
TITLE = "accurate: texture, lattice and context of whole photographs"
LICENCE = (
    "Apache-2.0. Trained on simulated photographs whose content is made by rule, or is photographs "
    "under CC0, the Unsplash License and, 250 of the 300, CC BY-SA 4.0 (the Cloudinary Image "
    "Dataset '22, CID22), and on the ImageNet weights of EfficientNet-Lite0 (Apache-2.0); no "
    "photograph is in the weights or comes along with them."
)
LIMITS = (
    "Trained without one real recapture: on simulated photographs alone.",
    "Thresholds, likelihood ratios and the weights of the kinds of evidence come from simulated "
    "photographs too. On real ones error rates differ from phone to phone: see the real "
    "photographs among the measurements. Method and simulation were chosen with an eye on them.",
    "The rate of missed recaptures is kept for all media together, not for each: 11 to 61 of a "
    "kind are too few for that. Prints and televisions may be missed more often.",
    "A photograph of a room with a lit screen in it is a recapture here, whatever it is for.",
    "Whoever adds noise of a level on purpose turns every verdict: an attack on the texture alone "
    "outweighs lattice and context. Use `robust` where somebody may want to deceive.",
    "Recaptures that fill the frame, and were scaled down until no grid is left, leave little to "
    "see: no border, no lattice.",
)
BUDGETS = (1.0, 2.0)  # levels
FEW = 6  # each so manieth photograph is attacked or changed
ATTACKED = "10 steps in L∞ on the crops that are judged: their network is attacked, nothing else."
REAL = (
    "Real photographs, of which nothing was fitted. Each counts as a source of its own: the "
    "intervals are those of photographs from this phone, not of other phones."
)


def bundle(given: argparse.Namespace) -> None:
    settings = CalibrationSettings(
        apcer=APCER,
        bpcer=BPCER,
        by_kind=False,
        title=TITLE,
        task=TASK,
        licence=LICENCE,
        limits=LIMITS,
    )
    made = make_bundle(
        given.joint,
        given.calibrate,
        given.out,
        settings=settings,
        workers=given.workers,
        command="python bench/accurate.py bundle JOINT --calibrate MANIFEST",
    )
    print(f"{made.path}: {made.sha256}\n{made.card.calibration!r}\n{made.card.decision!r}")


def measure(given: argparse.Namespace) -> None:
    """Attacked, changed, and real photographs; each measurement in a process of its own."""
    few = [
        photo
        for number, photo in enumerate(in_manifest(given.test, "test"))
        if number // 2 % FEW == 0
    ]
    tasks = [("attacked", f"PGD, ε = {budget:g}", few, budget) for budget in BUDGETS]
    tasks += [
        ("everyday", "unchanged" if channel is None else channel.name, few, channel)
        for channel in (None, *EVERYDAY)
    ]
    for manifest in given.real:
        photos = in_manifest(manifest)
        for source in sorted({photo.source for photo in photos}):
            here = [replace(photo, source="") for photo in photos if photo.source == source]
            tasks.append(("real", source, here, None))
    with ProcessPoolExecutor(given.workers, initializer=threadpool_limits, initargs=(1,)) as pool:
        found = list(pool.map(partial(_measured, given.bundle), tasks))
    read = read_bundle(given.bundle)
    clean = [one for one in read.card.measured if one.kind == "clean"]
    card = read.card.model_copy(update={"measured": (*clean, *found)})
    write_bundle(given.bundle, replace(read, card=card))


def _measured(bundle: Path, task: tuple[Kind, str, list[Shown], Any]) -> Measurement:
    kind, name, photos, how = task
    predictor = Predictor.load(bundle)
    command = "python bench/accurate.py measure BUNDLE"
    if kind == "attacked":
        change = partial(attacked, predictor, load_bundle(bundle)[0], how)
        return measurement(predictor, photos, kind, name, command, change, ATTACKED)
    note = REAL if kind == "real" else ""
    return measurement(predictor, photos, kind, name, command, changed_by(how), note)


def install(given: argparse.Namespace) -> None:
    install_bundle("accurate", given.bundle)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("bundle")
    command.add_argument("joint", type=Path)
    command.add_argument("--calibrate", type=Path, required=True)
    command.add_argument("--out", type=Path, required=True)
    command.add_argument("--workers", type=int)
    command.set_defaults(run=bundle)
    command = commands.add_parser("measure")
    command.add_argument("bundle", type=Path)
    command.add_argument("--test", type=Path, required=True)
    command.add_argument("--real", type=Path, nargs="+", default=[])
    command.add_argument("--workers", type=int)
    command.set_defaults(run=measure)
    command = commands.add_parser("install")
    command.add_argument("bundle", type=Path)
    command.set_defaults(run=install)
    given = parser.parse_args()
    given.run(given)


if __name__ == "__main__":
    main()
