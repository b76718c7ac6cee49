"""The last steps of detectors for whole photographs: calibrate, measure, install in the package.

    python bench/whole.py train-photographs MANIFEST… --photos PHOTOS --out FOLDER
    python bench/whole.py bundle accurate JOINT --calibrate MANIFEST --test MANIFEST --out FILE
    python bench/whole.py bundle robust JOINT --calibrate MANIFEST --test MANIFEST --out FILE
    python bench/whole.py bundle certified CERTIFIED --calibrate MANIFEST --test MANIFEST --out FILE
    python bench/whole.py abstain FILE
    python bench/whole.py measure FILE --few MANIFEST --real MANIFEST…
    python bench/whole.py install accurate FILE

docs/detectors.md describes the steps before. JOINT is the output of `trueshot.calibrating.joining`.
`certified` has the weights of `bench/certificates.py --bundles`; `abstain` makes it leave undecided
whatever it does not find. The validation part of one manifest calibrates, the test part of the
other measures; real photographs are only used to measure.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from entry import enter
from shipping.bundling import LICENCE as PAIRS_LICENCE
from shipping.bundling import TASK, install_bundle
from shipping.changing import Shown, attacked, changed_by, in_manifest, pairs_of
from shipping.measuring import measurement
from shipping.withstanding import score_taken, through_all_evidence
from threadpoolctl import threadpool_limits

from trueshot.bundle import load_bundle, read_bundle, write_bundle
from trueshot.calibrating import CalibrationSettings, make_bundle
from trueshot.calibrating.error_rates import Kind
from trueshot.calibration import rate_with_interval
from trueshot.card import Measurement, Rate
from trueshot.channels import EVERYDAY
from trueshot.datasets.listing import manifest_rows
from trueshot.inference import Predictor

TITLE = "accurate: texture, lattice and context of whole photographs"
ROBUST_LICENCE = (
    "Apache-2.0. Trained on simulated photographs whose content is made by rule, or is photographs "
    "under CC0, the Unsplash License and, 250 of the 300, CC BY-SA 4.0 (the Cloudinary Image "
    "Dataset '22, CID22); no photograph is in the weights or comes along with them."
)
LICENCE = ROBUST_LICENCE.replace(
    "; no photograph",
    ", and on the ImageNet weights of EfficientNet-Lite0 (Apache-2.0); no photograph",
)
SIMULATED = (
    "Trained without one real recapture: on simulated photographs alone.",
    "Thresholds and likelihood ratios come from simulated photographs too. On real ones error "
    "rates differ from phone to phone: see the real photographs among the measurements. Method "
    "and simulation were chosen with an eye on them.",
    "The rate of missed recaptures is kept for all media together, not for each.",
)
LIT_SCREEN = (
    "A photograph of a room with a lit screen in it is a recapture here, whatever it is for."
)
LIMITS = (
    *SIMULATED,
    LIT_SCREEN,
    "Whoever adds noise of a level on purpose turns every verdict: an attack on the texture alone "
    "outweighs lattice and context. Use `robust` where somebody may want to deceive.",
    "Recaptures that fill the frame, and were scaled down until no grid is left, leave little to "
    "see: no border, no lattice.",
)
MARGIN_BUDGET = 2.0  # levels
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
        apcer=0.05,
        bpcer=0.05,
        by_kind=False,
        title="robust: the whole frame and strong grids, by networks trained on attacked pictures",
        task=TASK,
        licence=ROBUST_LICENCE,
        limits=(
            *SIMULATED,
            LIT_SCREEN,
            "It sees the frame in small and strong grids alone, and leaves many undecided: a "
            f"photograph is called original only where noise of {MARGIN_BUDGET:g} levels made for "
            "it would not have brought that about, in 19 of 20 simulated recaptures.",
            "A piece of a photograph is called recaptured, for a grid, or nothing.",
            "It is harder to deceive, not impossible; only attacks were tried, and nothing is "
            "proven: see the measurements, and `certified`.",
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
FEW = 3  # one pair in this many is attacked or changed
ATTACKED_ALL = "10 steps of APGD in L∞ through all evidence: crops, and the frame in small."
ATTACKED = "10 steps in L∞ on the crops that are judged: their network is attacked, nothing else."
REAL = (
    "Real photographs, of which nothing was fitted. Each counts as a source of its own: the "
    "intervals are those of photographs from this phone, not of other phones."
)


def train_photographs(given: argparse.Namespace) -> None:
    """Link the photographs shown in the training part of staged data, and no others."""
    scenes = {
        row["scene"].removeprefix("photo:")
        for manifest in given.manifests
        for row in manifest_rows(manifest)
        if row["part"] == "train" and row["scene"].startswith("photo:")
    }
    for scene in sorted(scenes):
        link = given.out / scene
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to((given.photos / scene).resolve())
    print(f"{given.out}: {len(scenes)} photographs")


def bundle(given: argparse.Namespace) -> None:
    settings = SETTINGS[given.name]
    if given.name == "robust":
        photos = in_manifest(given.calibrate, "validation")
        margin = score_taken(given.detector, photos, MARGIN_BUDGET)
        print(f"taken from a recapture at ε = {MARGIN_BUDGET:g}: {margin:.3f}", flush=True)
        settings = replace(settings, margin=margin)
    made = make_bundle(
        given.detector,
        given.calibrate,
        given.out,
        test=given.test,
        settings=settings,
        workers=given.workers,
        command=f"python bench/whole.py bundle {given.name} DETECTOR --calibrate MANIFEST",
    )
    print(f"{made.path}: {made.sha256}\n{made.card.calibration!r}\n{made.card.decision!r}")


def measure(given: argparse.Namespace) -> None:
    """Measure on attacked, changed and real photographs, each in a process of its own."""
    few = pairs_of(in_manifest(given.few, "test"), FEW)
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
    if kind == "attacked" and predictor.card.evidence is not None:
        change = partial(through_all_evidence, bundle, how)
        return measurement(predictor, photos, kind, name, command, change, ATTACKED_ALL)
    if kind == "attacked":
        change = partial(attacked, predictor, load_bundle(bundle)[0], how)
        return measurement(predictor, photos, kind, name, command, change, ATTACKED)
    note = REAL if kind == "real" else ""
    return measurement(predictor, photos, kind, name, command, changed_by(how), note)


# No picture reaches it: flat grey scores -5.7, no picture is more than 128 levels from it, and a
# level changes the score by 1 at most.
NEVER = -140.0


def abstain(given: argparse.Namespace) -> None:
    """Call nothing an original: a grid can be proven, but its absence cannot.

    Existing measurements are kept, with original replaced by undecided; each photograph then counts
    as its own source.
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
    return rate_with_interval(np.arange(total) < count)


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
    enter(main)
