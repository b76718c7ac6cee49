"""The last steps of detectors for whole photographs: calibrated, measured, put into the package.

    python bench/whole.py train-photographs MANIFEST… --photos PHOTOS --out FOLDER
    python bench/whole.py bundle accurate JOINT --calibrate MANIFEST --test MANIFEST --out FILE
    python bench/whole.py bundle robust robust --calibrate MANIFEST --test MANIFEST --out FILE
    python bench/whole.py bundle certified CERTIFIED --calibrate MANIFEST --test MANIFEST --out FILE
    python bench/whole.py abstain FILE
    python bench/whole.py measure FILE --few MANIFEST --real MANIFEST…
    python bench/whole.py install accurate FILE

The steps before are in docs/detectors.md. JOINT is what `trueshot.calibrating.joining` wrote;
`robust` keeps the weights that `bench/shipped.py` trained, `certified` has those of
`bench/certificates.py --bundles`, and what it does not find it leaves undecided (`abstain`). The
validation part of one manifest calibrates, the test part of the other measures; real photographs
only ever measure.
"""

from __future__ import annotations

import argparse
import csv
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from shipping.bundling import LICENCE as PAIRS_LICENCE
from shipping.bundling import LIMITS as PAIRS_LIMITS
from shipping.bundling import TASK, TITLES, install_bundle
from shipping.changing import Shown, attacked, changed_by, in_manifest
from shipping.measuring import measurement
from threadpoolctl import threadpool_limits

from trueshot.bundle import load_bundle, read_bundle, write_bundle
from trueshot.calibrating import CalibrationSettings, make_bundle
from trueshot.calibrating.error_rates import Kind
from trueshot.calibration import rate_with_interval
from trueshot.card import Measurement, Rate
from trueshot.channels import EVERYDAY
from trueshot.inference import Predictor

TITLE = "accurate: texture, lattice and context of whole photographs"
LICENCE = (
    "Apache-2.0. Trained on simulated photographs whose content is made by rule, or is photographs "
    "under CC0, the Unsplash License and, 250 of the 300, CC BY-SA 4.0 (the Cloudinary Image "
    "Dataset '22, CID22), and on the ImageNet weights of EfficientNet-Lite0 (Apache-2.0); no "
    "photograph is in the weights or comes along with them."
)
SIMULATED = (
    "Trained without one real recapture: on simulated photographs alone.",
    "Thresholds and likelihood ratios come from simulated photographs too. On real ones error "
    "rates differ from phone to phone: see the real photographs among the measurements. Method "
    "and simulation were chosen with an eye on them.",
    "The rate of missed recaptures is kept for all media together, not for each.",
)
LIMITS = (
    *SIMULATED,
    "A photograph of a room with a lit screen in it is a recapture here, whatever it is for.",
    "Whoever adds noise of a level on purpose turns every verdict: an attack on the texture alone "
    "outweighs lattice and context. Use `robust` where somebody may want to deceive.",
    "Recaptures that fill the frame, and were scaled down until no grid is left, leave little to "
    "see: no border, no lattice.",
)
SETTINGS = {
    "accurate": CalibrationSettings(
        apcer=0.05,
        bpcer=0.05,
        by_kind=False,
        title=TITLE,
        task=TASK,
        licence=LICENCE,
        limits=LIMITS,
    ),
    "robust": CalibrationSettings(
        apcer=0.1,
        bpcer=0.05,
        by_kind=False,
        crops=64,
        aggregation="max",
        title=TITLES["robust"],
        task=TASK,
        licence=PAIRS_LICENCE,
        limits=(
            *SIMULATED,
            "It looks for strong grids alone: of most photographs it says nothing.",
            "It is harder to deceive, not impossible: where grids are faint, noise of two levels "
            "made for it turns what recaptures it would find, see the measurements.",
            PAIRS_LIMITS["both"][4],
        ),
    ),
    "certified": CalibrationSettings(
        apcer=0.1,
        bpcer=0.05,
        by_kind=False,
        crops=128,
        aggregation="max",
        places="grid",
        title="certified: windowed spectra, with a proof beside each verdict",
        task=TASK,
        licence=PAIRS_LICENCE,
        limits=(
            *SIMULATED,
            "A proof says that no change of so many levels turns a verdict, not that it is right. "
            "It knows nothing of another size, turn or crop of the picture.",
            "It looks for strong grids of displays alone: of most photographs, and of all prints, "
            "it says nothing. It calls nothing an original, for a grid may be faint or removed.",
            "It judges whatever it is given, also what is unlike the photographs that it was "
            "calibrated on: fine regular patterns, such as cloth, may look like a display.",
        ),
    ),
}
BUDGETS = (1.0, 2.0)  # levels
FEW = 3  # each so manieth pair is attacked or changed
ATTACKED = "10 steps in L∞ on the crops that are judged: their network is attacked, nothing else."
REAL = (
    "Real photographs, of which nothing was fitted. Each counts as a source of its own: the "
    "intervals are those of photographs from this phone, not of other phones."
)


def train_photographs(given: argparse.Namespace) -> None:
    """Links to the photographs that the training part of stagings shows, and no others."""
    scenes = {
        row["scene"].removeprefix("photo:")
        for manifest in given.manifests
        for row in csv.DictReader(manifest.open(encoding="utf-8", newline=""))
        if row["part"] == "train" and row["scene"].startswith("photo:")
    }
    for scene in sorted(scenes):
        link = given.out / scene
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to((given.photos / scene).resolve())
    print(f"{given.out}: {len(scenes)} photographs")


def bundle(given: argparse.Namespace) -> None:
    made = make_bundle(
        given.detector,
        given.calibrate,
        given.out,
        test=given.test,
        settings=SETTINGS[given.name],
        workers=given.workers,
        command=f"python bench/whole.py bundle {given.name} DETECTOR --calibrate MANIFEST",
    )
    print(f"{made.path}: {made.sha256}\n{made.card.calibration!r}\n{made.card.decision!r}")


def measure(given: argparse.Namespace) -> None:
    """Attacked, changed, and real photographs; each measurement in a process of its own."""
    few = [
        photo
        for number, photo in enumerate(in_manifest(given.few, "test"))
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
    command = "python bench/whole.py measure BUNDLE"
    if kind == "attacked":
        change = partial(attacked, predictor, load_bundle(bundle)[0], how)
        return measurement(predictor, photos, kind, name, command, change, ATTACKED)
    note = REAL if kind == "real" else ""
    return measurement(predictor, photos, kind, name, command, changed_by(how), note)


NEVER = -20.0  # a score that no photograph has; of flat ones it is -5.7, and -9 was the lowest seen


def abstain(given: argparse.Namespace) -> None:
    """Call nothing an original: a grid may be proven, and that there is none may not.

    What was measured stays so, with undecided in the place of original; each photograph counts by
    itself.
    """
    read = read_bundle(given.bundle)
    assert read.card.decision is not None
    decision = read.card.decision.model_copy(update={"original_to": NEVER, "apcer": 0.0})
    measured = tuple(_abstained(each) for each in read.card.measured)
    card = read.card.model_copy(update={"decision": decision, "measured": measured})
    write_bundle(given.bundle, replace(read, card=card))


def _abstained(one: Measurement) -> Measurement:
    kinds = one.apcer_by_kind or {"": one.apcer}
    missed = sum(rate.count for rate in kinds.values() if rate)
    undecided, originals = one.undecided_recaptures, one.bpcer
    assert undecided is not None
    assert originals is not None
    return one.model_copy(
        update={
            "apcer": _rate(0, undecided.total),
            "apcer_by_kind": {},
            "undecided_recaptures": _rate(undecided.count + missed, undecided.total),
            "undecided_originals": _rate(originals.total - originals.count, originals.total),
        }
    )


def _rate(count: int, total: int) -> Rate:
    found = rate_with_interval(np.arange(total) < count, list(map(str, range(total))))
    return Rate(
        value=found.value, low=found.low, high=found.high, count=found.count, total=found.total
    )


def install(given: argparse.Namespace) -> None:
    install_bundle(given.name, given.bundle)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("train-photographs")
    command.add_argument("manifests", type=Path, nargs="+")
    command.add_argument("--photos", type=Path, required=True)
    command.add_argument("--out", type=Path, required=True)
    command.set_defaults(run=train_photographs)
    command = commands.add_parser("bundle")
    command.add_argument("name", choices=SETTINGS)
    command.add_argument("detector", type=Path)
    command.add_argument("--calibrate", type=Path, required=True)
    command.add_argument("--test", type=Path, required=True)
    command.add_argument("--out", type=Path, required=True)
    command.add_argument("--workers", type=int)
    command.set_defaults(run=bundle)
    command = commands.add_parser("abstain")
    command.add_argument("bundle", type=Path)
    command.set_defaults(run=abstain)
    command = commands.add_parser("measure")
    command.add_argument("bundle", type=Path)
    command.add_argument("--few", type=Path, required=True, help="of whose test part a third")
    command.add_argument("--real", type=Path, nargs="+", default=[])
    command.add_argument("--workers", type=int)
    command.set_defaults(run=measure)
    command = commands.add_parser("install")
    command.add_argument("name", choices=SETTINGS)
    command.add_argument("bundle", type=Path)
    command.set_defaults(run=install)
    given = parser.parse_args()
    given.run(given)


if __name__ == "__main__":
    main()
