"""Turn a trained network into a bundle: contract, calibration, thresholds, domain and texts."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from shipping import RUNS
from shipping.choosing import contract_of
from trueshot.calibrating import CalibrationSettings, make_bundle
from trueshot.detectors import SUMS
from trueshot.files import write_atomically

APCER, BPCER = 0.1, 0.05  # targets, also for unseen scenes; a wrong accusation is the worse error
TITLES = {
    "lcnn": "lcnn: the paper's network, for photographs that nobody has tampered with",
    "robust": "robust: local power spectra above a floor, trained on attacked pictures",
}
TASK = (
    "Tells a photograph that a camera took of a scene from a recapture: a photograph of a screen "
    "or of a print that shows one."
)
LICENCE = (
    "Apache-2.0. Trained on simulated true shots and recaptures of scenes made by rule and of "
    "photographs under CC0 and, 250 of the 273, under CC BY-SA 4.0 (the Cloudinary Image Dataset "
    "'22, CID22); no photograph is in the weights or comes along with them."
)
LIMITS = {
    "both": (
        "Trained without one real recapture: on simulated photographs alone.",
        "Thresholds and likelihood ratios are calibrated on simulated photographs too. On "
        "photographs of another kind their error rates do not hold: see the real photographs among "
        "the measurements, where they differ from phone to phone.",
        "No borders of screens, hands, glare with edges, videos, projectors or e-paper were "
        "simulated; it looks for the traces of a display's grid or of a print's dots alone.",
        "What was scaled down or blurred until no grid is left cannot be told from a true shot.",
        "An original with fine regular patterns, such as cloth, may look like a screen.",
        "Calibrated and tested on 38 scenes and 10 simulated cameras each, all different.",
    ),
    "lcnn": (
        "Whoever adds noise of a level or two on purpose turns every verdict of this detector; "
        "use `robust` where somebody may want to deceive.",
        "Of soft, scaled-down recaptures, such as those of phone4 among the real photographs, it "
        "leaves most undecided and calls most of the others original.",
    ),
    "robust": (
        "It sees less in faint grids than `lcnn` and leaves more originals undecided; soft, "
        "scaled-down recaptures as those of phone4 are lost to it: there it is no better than "
        "chance.",
        "It is harder to deceive, not impossible: under noise of two levels, made for it, it errs "
        "about twice as often; under five levels it calls most originals recaptured.",
    ),
}


def bundle(name: str, chosen: str) -> None:
    """Calibrate NAME@SIDE on photographs of the validation part; measure it on the test part."""
    run, contract = contract_of(chosen)
    settings = CalibrationSettings(
        apcer=APCER,
        bpcer=BPCER,
        side=contract.side,
        crops=contract.crops,
        title=TITLES[name],
        task=TASK,
        licence=LICENCE,
        limits=LIMITS["both"] + LIMITS[name],
    )
    made = make_bundle(
        run,
        RUNS / "whole/validation.csv",
        RUNS / f"{name}.safetensors",
        test=RUNS / "whole/test.csv",
        settings=settings,
        command=f"python bench/shipped.py bundle {name} {chosen}",
    )
    card = made.card
    print(f"{made.path}: {made.sha256}\n{card.calibration!r}\n{card.decision!r}")


def install(chosen: Sequence[str]) -> None:
    """Copy bundles into the package and write the checksums of all bundles there."""
    for name in chosen:
        install_bundle(name, RUNS / f"{name}.safetensors")


def install_bundle(name: str, path: Path) -> None:
    """Copy one bundle into the package as `name`, and write the checksums of all bundles there."""
    folder = Path("src/trueshot/detectors")
    shutil.copyfile(path, folder / f"{name}.safetensors")
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
        for file in sorted(folder.glob("*.safetensors"))
    ]
    write_atomically(folder / SUMS, "".join(lines))
