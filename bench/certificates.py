"""Certified accuracy: compare detectors whose verdicts are proven.

    trueshot simulate --photos PHOTOS --conditions close --size 64 --size 128 --size 256 \\
        --per-class 3000 --fractions 0.3 0.3 0.4 --out DATASET
    python bench/certificates.py DATASET --out FOLDER

Heads are trained on the train part, one threshold each is chosen on the validation part, and the
test part is judged once. Results are kept in FOLDER, so an interrupted run resumes.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from functools import partial
from itertools import product
from pathlib import Path
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import scipy.fft
import torch
from entry import enter
from scipy.stats import binomtest
from torch import Tensor, nn

from trueshot.bundle import load_bundle, save_bundle
from trueshot.card import Card, InputContract
from trueshot.certificates.amplitude import linf_constants, taper
from trueshot.certificates.bounds import Bounds
from trueshot.datasets import Dataset
from trueshot.detector import Detector
from trueshot.images import read_image
from trueshot.images.jpeg_tables import LUMA_WEIGHTS
from trueshot.networks import LipschitzNetwork
from trueshot.pixels import to_levels

Floats = npt.NDArray[np.float64]
BUDGETS = (0.0, 1.0, 2.0, 3.0, 5.0)
CHOSEN_AT = (2.0, 5.0)  # thresholds maximise the mean certified accuracy at these budgets
MARGINS = (1.0, 2.0, 5.0)  # margins, in levels, that training demands of every score
DRAWS = 1000  # of the bootstrap
LOWEST = 0.154  # cycles per pixel: periods of at most 6.5 px
BATCH = 64
WINDOWS = (32, 64, 128, 256)


@dataclass(frozen=True, kw_only=True)
class Crops:
    """Images as bytes (n, side, side, 3), labels, scenes, and whether an image shows a print."""

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    groups: npt.NDArray[np.str_]
    prints: npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Bounds of each image's statistic at each budget, shape (budgets, n)."""

    lower: Floats
    upper: Floats


def certified(scores: Scores, labels: npt.NDArray[np.int64], threshold: float) -> npt.NDArray:
    """Return whether each image is proven right at each budget, shape (budgets, n)."""
    return np.where(labels == 1, scores.lower >= threshold, scores.upper < threshold)


def balanced(right: npt.NDArray, labels: npt.NDArray[np.int64]) -> Floats:
    """Return the mean of both classes' shares at each budget."""
    return (right[:, labels == 0].mean(1) + right[:, labels == 1].mean(1)) / 2


def best_threshold(scores: Scores, labels: npt.NDArray[np.int64]) -> float:
    """Return the threshold with the highest mean certified accuracy at `CHOSEN_AT`."""
    at = [BUDGETS.index(budget) for budget in CHOSEN_AT]
    ends = np.concatenate([scores.lower[at].ravel(), scores.upper[at].ravel() + 1e-9])
    tried = np.unique(np.quantile(ends, np.linspace(0, 1, 800)))
    found = [balanced(certified(scores, labels, t), labels)[at].mean() for t in tried]
    return float(tried[int(np.argmax(found))])


def interval(right: npt.NDArray, crops: Crops, seed: int = 0) -> list[tuple[float, float]]:
    """Compute the 95 % interval at each budget, with a bootstrap over scenes."""
    random = np.random.default_rng(seed)
    names, group = np.unique(crops.groups, return_inverse=True)
    hits = np.zeros((2, len(right), len(names)))
    totals = np.zeros((2, len(names)))
    for label in (0, 1):
        chosen = crops.labels == label
        totals[label] = np.bincount(group[chosen], minlength=len(names))
        for number, row in enumerate(right):
            hits[label, number] = np.bincount(group[chosen], row[chosen], minlength=len(names))
    drawn = random.integers(0, len(names), (DRAWS, len(names)))
    shares = hits[:, :, drawn].sum(3) / totals[:, None, drawn].sum(3).clip(1)
    low, high = np.quantile(shares.mean(0), [0.025, 0.975], axis=1)
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]


# ---- Statistics without training: amplitudes of one plane or three, with exact constants.


def amplitudes(pixels: npt.NDArray[np.uint8], name: str, side: int, planes: Floats) -> Floats:
    """Compute mean amplitudes over windows, (n, planes, f), scaled to move at most 1 per level."""
    weights = taper(name, side)
    frequencies = np.hypot(np.fft.fftfreq(side)[:, None], np.arange(side // 2 + 1) / side)
    band = (frequencies >= LOWEST) & (frequencies < 0.5)
    constants = linf_constants(weights)[band]
    hop = side if name == "box" else side // 2
    starts = range(0, pixels.shape[1] - side + 1, hop)
    found = np.zeros((len(pixels), len(planes), int(band.sum())))
    window = np.outer(weights, weights).astype(np.float32)
    for first in range(0, len(pixels), BATCH):
        mixed = np.einsum("nhwc,pc->nphw", pixels[first : first + BATCH].astype(np.float32), planes)
        mixed = mixed.astype(np.float32) - mixed.mean((2, 3), keepdims=True).astype(np.float32)
        for y in starts:
            for x in starts:
                tile = mixed[:, :, y : y + side, x : x + side] * window
                found[first : first + BATCH] += np.abs(scipy.fft.rfft2(tile))[:, :, band]
    reach = np.abs(planes).sum(1)
    return found / len(starts) ** 2 / constants / reach[:, None]


def highest(values: Floats) -> Scores:
    """Return the highest amplitude, which moves by at most one level per level."""
    return shifted(values.max((1, 2)))


def mean_of_planes(values: Floats) -> Scores:
    """Return the highest mean over planes, each of which has a budget of its own."""
    return shifted(values.mean(1).max(1))


def above_background(values: Floats) -> Scores:
    """Return the log of the highest amplitude minus that of the mean, both above a floor.

    The highest and the mean over all frequencies each move by at most one level per level.
    """
    floor = 4.0
    top, mean = values.max((1, 2)), values.mean((1, 2))
    scores = [
        (
            np.log(floor + np.maximum(top - b, 0)) - np.log(floor + mean + b),
            np.log(floor + top + b) - np.log(floor + np.maximum(mean - b, 0)),
        )
        for b in BUDGETS
    ]
    return Scores(lower=np.stack([s[0] for s in scores]), upper=np.stack([s[1] for s in scores]))


def mean_of_highest(count: int) -> Callable[[Floats], Scores]:
    """Return the mean of the `count` highest; sorted values move no farther than the values."""

    def statistic(values: Floats) -> Scores:
        flat = values.reshape(len(values), -1)
        return shifted(np.sort(flat, 1)[:, -count:].mean(1))

    return statistic


def shifted(values: Floats) -> Scores:
    """Return bounds of values that move by at most one level per level."""
    budgets = np.array(BUDGETS)[:, None]
    return Scores(lower=values - budgets, upper=values + budgets)


LUMA = np.array([LUMA_WEIGHTS])
EACH = np.eye(3)
DIFFERENCES = np.array([LUMA_WEIGHTS, [0.5, -0.5, 0.0], [-0.25, -0.25, 0.5]])
PLAIN: dict[str, tuple[Floats, Callable[[Floats], Scores]]] = {
    "highest, luma": (LUMA, highest),
    "highest, luma and differences": (DIFFERENCES, highest),
    "highest, mean of red, green, blue": (EACH, mean_of_planes),
    "mean of 4 highest, luma": (LUMA, mean_of_highest(4)),
    "log above background, luma": (LUMA, above_background),
}


# ---- Trained heads.


class Bounded(nn.Module):
    """A small head on log amplitudes above a floor, trained on bounds of its score."""

    def __init__(self, features: int, units: int = 32, floor: float = 4.0) -> None:
        super().__init__()
        self.floor = floor
        self.first, self.last = nn.Linear(features, units), nn.Linear(units, 1)

    def bounds(self, features: Tensor, budget: float) -> Bounds:
        """Compute bounds of the score for amplitudes (n, features) known to within `budget`."""
        known = Bounds.around(features, budget, least=0.0)
        known = known.monotone(lambda a: (a / self.floor).square().log1p())
        hidden = known.linear(self.first.weight, self.first.bias).monotone(torch.relu)
        return hidden.linear(self.last.weight, self.last.bias).monotone(lambda s: s[:, 0])


def fit_bounded(features: Tensor, labels: Tensor, steps: int = 600, seed: int = 0) -> Bounded:
    """Train on the worst-case bound, at growing budgets (interval bound propagation)."""
    torch.manual_seed(seed)
    head = Bounded(features.shape[1])
    optimizer = torch.optim.Adam(head.parameters(), lr=0.005)
    for step in range(steps):
        rows = torch.randint(len(features), (256,))
        bounds = head.bounds(features[rows], 3.0 * min(1.0, 2 * step / steps))
        worst = torch.where(labels[rows] == 1, bounds.lower, -bounds.upper)
        loss = nn.functional.softplus(-worst).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return head.eval()


def fit_lipschitz(
    network: LipschitzNetwork, features: Tensor, labels: Tensor, epochs: int, seed: int = 0
) -> None:
    """Train layers, last weights and threshold for scores beyond `MARGINS` on the right side."""
    torch.manual_seed(seed)
    learned = [p for p in network.parameters() if p.requires_grad]
    steps = epochs * (len(features) // 256)
    optimizer = torch.optim.Adam(learned, lr=0.03)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.03, total_steps=steps)
    for _ in range(epochs):
        order = torch.randperm(len(features))
        for rows in order[: len(features) // 256 * 256].split(256):
            margin = (2 * labels[rows] - 1) * network.score(features[rows])
            missed = [torch.sigmoid((wanted - margin) / 1.5).mean() for wanted in MARGINS]
            hinge = (1 - margin / 6).relu().mean()
            loss = torch.stack(missed).mean() + 0.5 * hinge
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


# ---- Data, cached in files.


def crops_of(dataset: Dataset, side: int, part: str, most: int) -> Crops:
    """Return the crops of a part, at most `most` of each class."""
    chosen = dataset.part(side, part).drawn(most)
    rows = dataset.crops[side].take(chosen.rows.tolist()).to_pylist()
    origins = {row["path"]: json.loads(row["origins"]) for row in dataset.photos.to_pylist()}
    known = [origins[row["path"]] for row in rows]
    groups = np.array([each["scene"] for each in known])
    prints = np.array([each.get("medium", "").startswith("print") for each in known])
    return Crops(
        pixels=chosen.crops(slice(None)), labels=chosen.labels, groups=groups, prints=prints
    )


def unseen(crops: Crops, learnt: Dataset) -> Crops:
    """Return the crops of scenes that are not in a data set's train or validation part."""
    known = scenes_learnt(learnt)
    kept = np.array([scene_name(group) not in known for group in crops.groups])
    return Crops(**{each.name: getattr(crops, each.name)[kept] for each in fields(Crops)})


def scenes_learnt(dataset: Dataset) -> set[str]:
    """Return the names of the scenes in the train and validation parts."""
    return {
        scene_name(json.loads(row["origins"])["scene"])
        for row in dataset.photos.to_pylist()
        if row["part"] in ("train", "validation")
    }


def scene_name(scene: str) -> str:
    """Return a scene's name; a photograph is named by its file, whatever its folder."""
    return scene.split("/")[-1].removeprefix("photo:")


def training_crops(
    dataset: Dataset, side: int, each: int, seed: int = 0
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Cut `each` random crops from every photograph of the train part; return them with labels."""
    random = np.random.default_rng([seed, side])
    pixels, labels = [], []
    for row in dataset.photos.to_pylist():
        if row["part"] != "train":
            continue
        photo = np.asarray(read_image(dataset.folder / row["path"]).pixels)
        for _ in range(each):
            y, x = (int(random.integers(0, size - side + 1)) for size in photo.shape[:2])
            pixels.append(photo[y : y + side, x : x + side])
            labels.append(int(row["label"] == "recaptured"))
    return np.stack(pixels), np.array(labels)


def maps(network: LipschitzNetwork, crops: npt.NDArray[np.uint8], file: Path) -> Tensor:
    """Compute amplitudes of crops in half precision, cached in a file; only for training."""
    if not file.exists():
        found = [
            network.amplitudes(to_levels(crops[first : first + BATCH])).half()
            for first in range(0, len(crops), BATCH)
        ]
        np.save(file, torch.cat(found).numpy())
    return torch.from_numpy(np.load(file))


@dataclass(frozen=True, kw_only=True)
class Learned:
    """Settings of a Lipschitz network to be trained, and the side of its training crops."""

    side: int
    window: int
    rings: int
    highest: int
    units: tuple[int, ...]
    each: int = 4
    epochs: int = 30

    @property
    def name(self) -> str:
        units = "-".join(map(str, self.units)) or "none"
        return f"lipschitz-{self.window}px-{self.rings}x{self.highest}-{units}-of-{self.side}px"

    def network(self) -> LipschitzNetwork:
        torch.manual_seed(0)
        return LipschitzNetwork(self.window, 0.1, self.rings, self.highest, self.units)


LEARNED = {
    64: (
        Learned(side=64, window=32, rings=6, highest=2, units=(32,)),
        Learned(side=64, window=64, rings=10, highest=2, units=(64, 64)),
    ),
    128: (
        Learned(side=128, window=64, rings=10, highest=2, units=()),
        Learned(side=128, window=64, rings=10, highest=2, units=(32,)),
        Learned(side=128, window=64, rings=10, highest=2, units=(64, 64)),
        Learned(side=128, window=128, rings=12, highest=3, units=(64, 64)),
    ),
    256: (
        Learned(side=128, window=64, rings=10, highest=2, units=(64, 64)),
        Learned(side=128, window=128, rings=12, highest=3, units=(64, 64)),
        Learned(side=256, window=64, rings=10, highest=2, units=(64, 64), each=1, epochs=80),
    ),
}


@torch.no_grad()
def learned_features(network: LipschitzNetwork, amplitudes: Tensor) -> Tensor:
    return torch.cat([network.groups(each.float()) for each in amplitudes.split(512)])


def trained(learned: Learned, dataset: Dataset, out: Path) -> LipschitzNetwork:
    """Return the trained network, from its file if it exists."""
    network, file = learned.network(), out / f"{learned.name}.npz"
    if not file.exists():
        crops, labels = training_crops(dataset, learned.side, learned.each)
        kept = out / f"train-{learned.side}px-{learned.window}px.npy"
        with torch.no_grad():
            features = learned_features(network, maps(network, crops, kept))
        fit_lipschitz(network, features, torch.from_numpy(labels), learned.epochs)
        np.savez(file, **{name: value.numpy() for name, value in network.state_dict().items()})
    with np.load(file) as stored:
        network.load_state_dict({name: torch.from_numpy(stored[name]) for name in stored.files})
    return network.eval()


BUNDLED = (64, (64, 64))
"""Window and units of the network that becomes the bundle of each size."""

MEANS = {
    128: (LEARNED[128][2], LEARNED[128][3]),
    256: (LEARNED[256][0], LEARNED[256][1]),
}
"""Networks whose mean score is a further entry: it moves by at most as much as each of them."""


def scored(
    learned: Learned, side: int, parts: tuple[Crops, Crops], dataset: Dataset, out: Path
) -> list[Scores]:
    """Return a network's scores on the validation and test parts, cached in a file."""
    file = out / f"scores-{side}px-{counts_of(parts)}-{learned.name}.npz"
    if not file.exists():
        network = trained(learned, dataset, out)
        found = [learned_scores(network, part).lower[0] for part in parts]
        np.savez(file, validation=found[0], test=found[1])
    with np.load(file) as stored:
        return [shifted(stored["validation"]), shifted(stored["test"])]


def counts_of(parts: tuple[Crops, Crops]) -> str:
    """Return the numbers of crops, for the names of files: others have other results."""
    return "-".join(str(len(part.labels)) for part in parts)


def mean_of(side: int, parts: tuple[Crops, Crops], dataset: Dataset, out: Path) -> list[Scores]:
    """Return the mean score of the networks in `MEANS`."""
    each = [scored(learned, side, parts, dataset, out) for learned in MEANS[side]]
    return [shifted(np.mean([s[part].lower[0] for s in each], 0)) for part in (0, 1)]


@torch.no_grad()
def learned_scores(network: LipschitzNetwork, crops: Crops) -> Scores:
    """Compute scores with their bounds; they move by at most one level per level."""
    found = [
        network(to_levels(crops.pixels[first : first + BATCH]))[:, 1]
        for first in range(0, len(crops.pixels), BATCH)
    ]
    return shifted(torch.cat(found).double().numpy())


# ---- Randomised smoothing of a detector, as a reference.


def smoothed(detector: Detector, crops: Crops, deviation: float, draws: int) -> Scores:
    """Compute the class a detector predicts most often under noise, and its certified radius.

    After `draws` // 10 other draws have chosen the class, its share is bounded from below by
    Clopper and Pearson at 99.9 %. A radius r in L2 proves one of r / √(3·side²) in L∞. Scores are
    radii in levels in L∞, negative for class 0; without a proof the score is NaN, which counts
    as wrong at every budget.

    Source: Cohen et al. 2019, arXiv:1902.02918, algorithm 1.
    """
    random = torch.Generator().manual_seed(0)
    radii = []
    for pixels in crops.pixels:
        image = to_levels(pixels[None])
        votes = []
        for count in (draws // 10, draws):
            noise = torch.randn(count, *image.shape[1:], generator=random) * deviation
            with torch.no_grad():
                votes.append(torch.cat([detector(e).argmax(1) for e in (image + noise).split(100)]))
        leading = int(votes[0].double().mean() > 0.5)
        count = int((votes[1] == leading).sum())
        share = binomtest(count, draws).proportion_ci(0.998).low  # exact; one end of it: 99.9 %
        radius = deviation * NormalDist().inv_cdf(share) if share > 0.5 else math.nan
        radii.append((2 * leading - 1) * radius / math.sqrt(image[0].numel()))
    return shifted(np.array(radii))


# ---- The table.


@dataclass(frozen=True, kw_only=True)
class Row:
    """One entry at one size: certified balanced accuracy at each budget, with its interval.

    `displays` is the same without prints.
    """

    side: int
    entry: str
    crops: int
    scenes: int
    threshold: float
    accuracy: list[float]
    low: list[float]
    high: list[float]
    validation: list[float]
    displays: list[float]


def row(entry: str, side: int, crops: Crops, scores: Scores, chosen: tuple[Crops, Scores]) -> Row:
    """Choose the threshold on the validation part and judge the test part."""
    known, of_known = chosen
    threshold = best_threshold(of_known, known.labels)
    before = balanced(certified(of_known, known.labels, threshold), known.labels)
    return row_at(entry, side, crops, scores, threshold, before)


def row_at(
    entry: str, side: int, crops: Crops, scores: Scores, threshold: float, validation: Floats
) -> Row:
    """Judge the test part at a given threshold."""
    right = certified(scores, crops.labels, threshold)
    ends = interval(right, crops)
    return Row(
        side=side,
        entry=entry,
        crops=len(crops.labels),
        scenes=len(np.unique(crops.groups)),
        threshold=threshold,
        accuracy=balanced(right, crops.labels).tolist(),
        low=[low for low, _ in ends],
        high=[high for _, high in ends],
        validation=validation.tolist(),
        displays=balanced(right[:, ~crops.prints], crops.labels[~crops.prints]).tolist(),
    )


def entries(
    side: int, parts: tuple[Crops, Crops], dataset: Dataset, out: Path
) -> Iterator[tuple[str, Callable[[], list[Scores]]]]:
    """Yield every entry at a size, with the function that scores validation and test part."""
    for learned in LEARNED[side]:
        yield learned.name, partial(scored, learned, side, parts, dataset, out)
    if len(MEANS.get(side, ())) > 1:
        yield (
            "lipschitz, mean of the best of both windows",
            partial(mean_of, side, parts, dataset, out),
        )
    for window in (each for each in WINDOWS if each <= side):
        for name, (planes, statistic) in PLAIN.items():
            for kind in ("hann", "box") if name == "highest, luma" else ("hann",):

                def plain(
                    window: int = window,
                    kind: str = kind,
                    planes: Floats = planes,
                    statistic: Callable[[Floats], Scores] = statistic,
                ) -> list[Scores]:
                    return [statistic(amplitudes(p.pixels, kind, window, planes)) for p in parts]

                yield f"{name}, {kind} {window} px", plain
    if side == 128:
        yield "bounds-trained head, hann 64 px", lambda: by_bounds(side, parts, dataset)


def by_bounds(side: int, parts: tuple[Crops, Crops], dataset: Dataset) -> list[Scores]:
    """Score with a head trained on bounds, from the highest amplitude in each frequency band."""
    crops, labels = training_crops(dataset, side, 1)
    groups = [band_maxima(each) for each in (crops, *(part.pixels for part in parts))]
    head = fit_bounded(groups[0], torch.from_numpy(labels))
    with torch.no_grad():
        found = [[head.bounds(each, budget) for budget in BUDGETS] for each in groups[1:]]
    return [
        Scores(
            lower=torch.stack([b.lower for b in bounds]).double().numpy(),
            upper=torch.stack([b.upper for b in bounds]).double().numpy(),
        )
        for bounds in found
    ]


def band_maxima(pixels: npt.NDArray[np.uint8], window: int = 64, bands: int = 24) -> Tensor:
    """Compute the highest amplitude in each frequency band, of luma and two differences."""
    values = amplitudes(pixels, "hann", window, DIFFERENCES)
    down, across = np.fft.fftfreq(window)[:, None], np.arange(window // 2 + 1) / window
    frequencies = np.hypot(down, across)
    frequencies = frequencies[(frequencies >= LOWEST) & (frequencies < 0.5)]
    edges = np.quantile(frequencies, np.linspace(0, 1, bands + 1)[1:-1])
    band = np.digitize(frequencies, edges)
    maxima = [values[:, :, band == number].max(2) for number in range(bands)]
    return torch.from_numpy(np.concatenate(maxima, 1)).float()


def kept(file: Path, make: Callable[[], Row]) -> Row:
    """Return a row of the table, from its file if it exists."""
    if not file.exists():
        file.write_text(json.dumps(asdict(make()), indent=1) + "\n", "utf-8")
    return Row(**json.loads(file.read_text("utf-8")))


def shown(found: Row) -> str:
    """Format a row of a Markdown table."""
    cells = [
        f"{value:.3f} ({low:.2f}–{high:.2f})"
        for value, low, high in zip(found.accuracy, found.low, found.high, strict=True)
    ]
    displays = " / ".join(f"{found.displays[BUDGETS.index(b)]:.3f}" for b in CHOSEN_AT)
    return " | ".join([f"| {found.side}", found.entry, *cells, f"{displays} |"])


def bundled(
    learned: Learned, side: int, threshold: float, dataset: Dataset, file: Path, out: Path
) -> None:
    """Save a network with the chosen threshold as a bundle."""
    network = trained(learned, dataset, out)
    with torch.no_grad():
        network.threshold += threshold
    settings = {"name": "lipschitz", "window": learned.window, "rings": learned.rings}
    card = Card(
        network={**settings, "highest": learned.highest, "units": list(learned.units)},
        side=side,
        data=dataset.fingerprint(learned.side),
        contract=InputContract(side=side),
        title="Certified lattice detector",
        task="Original or recaptured, with a radius that no change of levels can cross.",
        licence="For research; trained on simulated recaptures.",
        limits=("Knows displays close by, in focus, and no prints.",),
    )
    save_bundle(file, Detector(network).eval(), card)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, nargs="*", default=[64, 128, 256], choices=LEARNED)
    parser.add_argument("--entry", default="", help="Only those whose name has this in it.")
    parser.add_argument("--crops", type=int, default=600, help="Of each class, of the test part.")
    parser.add_argument("--validation", type=int, default=400, help="Likewise of validation.")
    parser.add_argument("--smoothed", nargs="*", default=[], help="Detectors to be smoothed.")
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--deviation", type=float, nargs="*", default=[16.0, 64.0])
    parser.add_argument("--smoothed-crops", type=int, default=100, help="Of each class.")
    parser.add_argument("--bundles", type=Path, help="Folder for a detector of each size.")
    parser.add_argument(
        "--judge", nargs="*", default=[], help="Bundles; nothing else is done then."
    )
    parser.add_argument(
        "--learnt", type=Path, help="Data whose train and validation scenes are left out."
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    dataset = Dataset.open(arguments.dataset)
    print("| px | entry |", " | ".join(f"ε = {b:g}" for b in BUDGETS), "| displays, ε = 2 / 5 |")
    print("|---" * (len(BUDGETS) + 3) + "|")
    for name, side in product(arguments.judge, arguments.size):
        crops = crops_of(dataset, side, "test", arguments.crops)
        if arguments.learnt:
            crops = unseen(crops, Dataset.open(arguments.learnt))
        print(shown(of_bundle(name, side, crops)), flush=True)
    for side in () if arguments.judge else arguments.size:
        parts = (
            crops_of(dataset, side, "validation", arguments.validation),
            crops_of(dataset, side, "test", arguments.crops),
        )
        for name, make in entries(side, parts, dataset, out):
            if arguments.entry in name:
                stem = f"{side}px-{counts_of(parts)}-{name.replace(' ', '_').replace(',', '')}"
                file = out / f"{stem}.json"
                print(shown(kept(file, partial(judged, name, side, parts, make))), flush=True)
        if arguments.bundles:
            best = next(each for each in LEARNED[side] if (each.window, each.units) == BUNDLED)
            found = best_threshold(scored(best, side, parts, dataset, out)[0], parts[0].labels)
            file = arguments.bundles / f"certified-{side}px.safetensors"
            bundled(best, side, found, dataset, file, out)
        for name in arguments.smoothed:
            for deviation in arguments.deviation:
                few = crops_of(dataset, side, "test", arguments.smoothed_crops)
                scores = smoothed(load_bundle(name)[0].eval(), few, deviation, arguments.draws)
                right = certified(scores, few.labels, 0.0)
                print(f"{side} px, smoothed {name}, σ = {deviation:g}:", end=" ")
                print(balanced(right, few.labels).round(3), interval(right, few), flush=True)


def of_bundle(name: str, side: int, crops: Crops) -> Row:
    """Judge a bundle at its own threshold."""
    network = load_bundle(name)[0].network
    assert isinstance(network, LipschitzNetwork)
    scores = learned_scores(network, crops)
    return row_at(Path(name).stem, side, crops, scores, 0.0, np.empty(0))


def judged(
    name: str, side: int, parts: tuple[Crops, Crops], make: Callable[[], list[Scores]]
) -> Row:
    """Score the validation and test parts and make a row from them."""
    found = make()
    return row(name, side, parts[1], found[1], (parts[0], found[0]))


if __name__ == "__main__":
    enter(main)
