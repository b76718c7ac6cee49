"""Does the paper's collapse under an attack of one level occur, and why? Variants in one table.

    python bench/collapse.py --out FOLDER [--photos DIR] [--variant NAME ...]
    python bench/collapse.py --out FOLDER --table    # with the other options as they were

Each variant is a data set, a plain training run and the paper's attacks, made by the commands in
its row. An interrupted run resumes. Trained detectors are also examined in three ways that need no
training: with a shifted bias (two-class FGSM takes the same step whatever the bias, so one run
gives the accuracy at every bias), with the attacked images saved as JPEG, and with batch
normalisation by batch statistics, in batches of both classes or of one.

Accuracies are measured after rounding to whole levels, in per cent of the test crops of both
classes.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from entry import enter
from torch import Tensor

from trueshot.attacks import FGSM, Attack, LeastLikelyClass, as_filed, perturb, undisturbed
from trueshot.bundle import load_bundle
from trueshot.channels.saving import Jpeg
from trueshot.datasets import Dataset
from trueshot.detector import Detector
from trueshot.files import write_atomically, write_json
from trueshot.training import load_recipe

BUDGETS = (1.0, 2.0, 3.0, 4.0, 5.0)
BATCH = 64
Margins = npt.NDArray[np.float64]  # log odds of recaptured, shape (n,)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A deviation from the honest protocol.

    Args:
        note: Description for the table.
        simulate: Arguments of `trueshot simulate`.
        filters: Numbers of filters of the five convolutions.
        recipe: `yang` or `secure`.
        longer: Factor on the number of iterations.
        data: Name of the variant whose data set is used; by default its own.
    """

    note: str
    simulate: str = "--conditions paper"
    filters: tuple[int, ...] = (8, 16, 32, 64, 128)
    recipe: str = "yang"
    longer: int = 1
    data: str = ""


VARIANTS = {
    "honest": Variant(
        note="`close`: devices apart, grids as they are", simulate="--conditions close"
    ),
    "shared": Variant(
        note="three devices for all parts, else `close`",
        simulate="--conditions close --shared-devices 3",
    ),
    "shared-everyday": Variant(
        note="three devices for all parts, everyday views",
        simulate="--conditions everyday --shared-devices 3",
    ),
    "shared-faint": Variant(
        note="three devices for all parts, grids of 0.1, else `close`",
        simulate="--conditions close --shared-devices 3 --grid 0.1",
    ),
    "apart-faint": Variant(
        note="devices apart, grids of 0.1, else `close`", simulate="--conditions close --grid 0.1"
    ),
    "apart-stands": Variant(
        note="devices apart, on stands, grids of 0.1, else `paper`",
        simulate="--conditions paper --shared-devices 0",
    ),
    "stands": Variant(note="`paper`, grids as they are", simulate="--conditions paper --grid 1"),
    "faint-30": Variant(note="`paper`, grids of 0.3", simulate="--conditions paper --grid 0.3"),
    "faint-10": Variant(note="`paper`: grids of 0.1"),
    "faint-03": Variant(note="`paper`, grids of 0.03", simulate="--conditions paper --grid 0.03"),
    "none": Variant(note="`paper`, no grids", simulate="--conditions paper --grid 0"),
    "wide": Variant(
        note="as faint-10, twice the filters", filters=(16, 32, 64, 128, 256), data="faint-10"
    ),
    "narrow": Variant(
        note="as faint-10, half the filters", filters=(4, 8, 16, 32, 64), data="faint-10"
    ),
    "long": Variant(note="as faint-10, four times the iterations", longer=4, data="faint-10"),
    "secure": Variant(note="as faint-10, secure", recipe="secure", data="faint-10"),
}


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a detector is attacked and judged.

    Args:
        note: Description for the table.
        batch_statistics: Use batch statistics for batch normalisation, in attack and verdict.
        one_class: Make batches of one class only.
        jpeg: Quality at which attacked images are saved before they are judged.
    """

    note: str
    batch_statistics: bool = False
    one_class: bool = False
    jpeg: int | None = None


LOOKS = {
    "as-it-is": Look(note=""),
    "batch": Look(note="batch statistics, both classes in a batch", batch_statistics=True),
    "batch-of-one": Look(
        note="batch statistics, batches of one class", batch_statistics=True, one_class=True
    ),
    "jpeg-95": Look(note="attacked images saved as JPEG 95", jpeg=95),
    "jpeg-75": Look(note="attacked images saved as JPEG 75", jpeg=75),
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """Where variants are made, and at what size.

    Args:
        root: Output folder.
        photos: Folder of photographs used as scenes; None uses the embedded ones.
        per_class: Crops per class.
        iterations: Training iterations.
        crops: Test crops of each class that are attacked.
    """

    root: Path
    photos: Path | None
    per_class: int
    iterations: int
    crops: int

    def commands(self, name: str) -> list[list[str]]:
        """Return the commands that make a variant's data set and detector."""
        variant = VARIANTS[name]
        scenes = ["--embedded"] if self.photos is None else ["--photos", str(self.photos)]
        data, run = self.dataset(name), self.root / name
        simulate = ["simulate", *scenes, *VARIANTS[variant.data or name].simulate.split()]
        simulate += ["--size", "64", "--per-class", str(self.per_class)]
        simulate += ["--crops-per-photo", "16", "--workers", "1", "--out", str(data)]
        train = ["train", str(data), "--recipe", self._recipe(name), "--out", str(run)]
        train += ["--iterations", str(variant.longer * self.iterations)]
        return [simulate, train]

    def dataset(self, name: str) -> Path:
        """Return the folder of a variant's data set."""
        return self.root / "data" / (VARIANTS[name].data or name)

    def _recipe(self, name: str) -> str:
        variant = VARIANTS[name]
        recipe = load_recipe(variant.recipe)
        network = recipe.network.model_copy(update={"filters": variant.filters})
        if network == recipe.network:
            return variant.recipe
        path = self.root / f"{name}.yaml"
        changed = recipe.model_copy(update={"name": f"{recipe.name}-{name}", "network": network})
        write_atomically(path, changed.to_yaml().encode())
        return str(path)

    def make(self, name: str) -> Path:
        """Return the path of a variant's detector, after making it if needed."""
        self.root.mkdir(parents=True, exist_ok=True)
        for command in self.commands(name):
            print("trueshot", shlex.join(command), flush=True)
            if status := subprocess.call([sys.executable, "-m", "trueshot", *command]):
                sys.exit(status)
        return self.root / name / "detector.safetensors"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--variant", choices=VARIANTS, nargs="*", default=list(VARIANTS))
    parser.add_argument("--look", choices=LOOKS, nargs="*", default=["as-it-is"])
    parser.add_argument("--per-class", type=int, default=8000)
    parser.add_argument("--iterations", type=int, default=2000)
    parser.add_argument("--crops", type=int, default=500)
    parser.add_argument("--table", action="store_true", help="only print what is there")
    arguments = parser.parse_args()
    run = Run(
        root=arguments.out,
        photos=arguments.photos,
        per_class=arguments.per_class,
        iterations=arguments.iterations,
        crops=arguments.crops,
    )
    for name in () if arguments.table else arguments.variant:
        bundle = run.make(name)
        for look in arguments.look:
            path = run.root / f"{name}-{look}.json"
            if not path.is_file():
                detector = load_bundle(bundle)[0].eval()
                found = attacked(detector, Dataset.open(run.dataset(name)), run.crops, LOOKS[look])
                write_json(path, found)
            print("\n".join(rows(run, name, look)), flush=True)
    print("\n".join(table(run)))


def attacked(
    detector: Detector, dataset: Dataset, crops: int, look: Look
) -> dict[str, list[float]]:
    """Compute margins of the test crops, clean and under each attack, and their labels."""
    part = dataset.part(64, "test").drawn(crops)
    random = np.random.default_rng(0)
    labels = part.labels
    order = [np.flatnonzero(labels == label) for label in (0, 1)] if look.one_class else [None]
    batches: list[npt.NDArray[np.int64]] = []
    for places in order:
        shuffled = random.permutation(len(labels) if places is None else places)
        batches += np.array_split(shuffled, max(1, len(shuffled) // BATCH))
    found: dict[str, list[float]] = {"labels": [float(labels[i]) for b in batches for i in b]}
    for name, attack in _attacks(look.batch_statistics):
        margins = [_judged(detector, part.batch(places), attack, look) for places in batches]
        found[name] = torch.cat(margins).tolist()
    return found


def _attacks(batch_statistics: bool) -> Iterator[tuple[str, Attack | None]]:
    yield "clean", None
    for kind, name in ((FGSM, "fgsm"), (LeastLikelyClass, "llcm")):
        for budget in BUDGETS:
            yield f"{name} {budget:g}", kind(budget=budget, batch_statistics=batch_statistics)


def _judged(
    detector: Detector, batch: tuple[Tensor, Tensor], attack: Attack | None, look: Look
) -> Tensor:
    images, labels = batch
    filed = images
    if attack is not None:
        filed = as_filed(attack, images, perturb(attack, detector, images, labels))
    if look.jpeg is not None:
        filed = Jpeg(look.jpeg)(filed)
    with torch.no_grad(), undisturbed(detector, training=look.batch_statistics) as judge:
        logits: Tensor = judge(filed)
    return (logits[:, 1] - logits[:, 0]).double()


def right(found: dict[str, list[float]], name: str, threshold: float = 0.0) -> Margins:
    """Return the accuracy in per cent: the mean of both classes, originals, recaptures."""
    labels, margins = np.array(found["labels"]), np.array(found[name])
    correct = (margins > threshold) == (labels == 1)
    shares = [correct[labels == label].mean() for label in (0, 1)]
    return 100 * np.array([np.mean(shares), *shares])


def lowest_by_bias(found: dict[str, list[float]]) -> tuple[float, float, float]:
    """Return the bias of lowest accuracy under FGSM at 1 level, that accuracy and the clean one."""
    margins = np.unique(np.concatenate([found["fgsm 1"], found["clean"]]))
    margins = np.quantile(margins, np.linspace(0, 1, 401))
    best = min(margins, key=lambda threshold: right(found, "fgsm 1", threshold)[0])
    return float(best), right(found, "fgsm 1", best)[0], right(found, "clean", best)[0]


def rows(run: Run, name: str, look: str) -> list[str]:
    """Return the row of a variant and look; for the plain look also the row of its worst bias."""
    found = json.loads((run.root / f"{name}-{look}.json").read_text())
    title = " / ".join(filter(None, [VARIANTS[name].note, LOOKS[look].note]))
    by_class = " / ".join(f"{share:.0f}" for share in right(found, "fgsm 1")[1:])
    cells = [f"{right(found, 'clean')[0]:.1f}", by_class]
    for attack in ("fgsm", "llcm"):
        shares = [right(found, f"{attack} {budget:g}")[0] for budget in BUDGETS]
        cells.append(" / ".join(f"{share:.1f}" for share in shares))
    lines = [f"| {name}, {look} | {title} | {' | '.join(cells)} |"]
    if look == "as-it-is":
        bias, least, clean = lowest_by_bias(found)
        note = f"the bias that leaves least ({bias:+.1f})"
        lines.append(f"| {name}, bias | {note} | {clean:.1f} | | {least:.1f} | |")
    return lines


def table(run: Run) -> Iterator[str]:
    """Yield all available rows, then the commands of each variant."""
    yield "| row | what | clean | FGSM 1: originals / recaptures | FGSM 1 … 5 | LLCM 1 … 5 |"
    yield "|---|---|---|---|---|---|"
    done = [(n, k) for n in VARIANTS for k in LOOKS if (run.root / f"{n}-{k}.json").is_file()]
    for name, look in done:
        yield from rows(run, name, look)
    yield ""
    for name in dict.fromkeys(name for name, _ in done):
        looks = " ".join(look for other, look in done if other == name)
        line = f"python bench/collapse.py --out FOLDER --variant {name} --look {looks}"
        line += f" --per-class {run.per_class} --iterations {run.iterations} --crops {run.crops}"
        yield f"{name}: {line}"
        for command in run.commands(name):
            yield f"    trueshot {shlex.join(command)}"


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    enter(main)
