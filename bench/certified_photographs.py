"""Train a network whose verdicts on whole photographs are proven, using staged photographs.

    python bench/certified_photographs.py MANIFEST START --features FILE.npz --out FILE

A photograph's score is that of the tile that looks most like a display; as a maximum, it moves no
farther than the tiles' scores do. Training starts from START (`bench/certificates.py --bundles`), a
bundle of one size. Only the parts after the amplitudes are trained, so the features are computed
once.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from entry import enter
from torch import Tensor

from trueshot.bundle import load_bundle, save_bundle
from trueshot.datasets.listing import manifest_rows
from trueshot.images import read_image
from trueshot.networks import LipschitzNetwork
from trueshot.pixels import to_levels

TILES = 64  # per photograph, at random places
MARGINS = (0.0, 1.0, 2.0, 5.0)
BATCH = 32  # photographs


@torch.no_grad()
def features_of(network: LipschitzNetwork, manifest: Path, side: int, file: Path) -> None:
    """Compute features of tiles in the train and validation photographs, in half precision."""
    random, found = np.random.default_rng(0), []
    rows = [row for row in manifest_rows(manifest) if row["part"] in ("train", "validation")]
    for row in rows:
        pixels = np.asarray(read_image(manifest.parent / row["path"]).pixels)
        ys, xs = (random.integers(0, size - side + 1, TILES) for size in pixels.shape[:2])
        tiles = np.stack([pixels[y : y + side, x : x + side] for y, x in zip(ys, xs, strict=True)])
        parts = [network.features(to_levels(tiles[at : at + 8])) for at in range(0, TILES, 8)]
        found.append(torch.cat(parts).half().numpy())
    labels = [row["label"] == "recaptured" for row in rows]
    parts = [row["part"] for row in rows]
    np.savez(file, f=np.stack(found), l=labels, p=parts, k=[row["kind"] for row in rows])


def highest(network: LipschitzNetwork, features: Tensor) -> Tensor:
    """Return scores of photographs, shape (n,), from features (n, tiles, features)."""
    count, tiles = features.shape[:2]
    return network.score(features.flatten(0, 1).float()).view(count, tiles).amax(1)


def fit(
    network: LipschitzNetwork,
    features: Tensor,
    labels: Tensor,
    known: tuple[Tensor, Tensor],
    epochs: int,
) -> None:
    """Train layers, last weights and threshold; keep the state that is best on validation data."""
    torch.manual_seed(0)
    learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learned, lr=0.003, weight_decay=1e-4)
    best, kept = -1.0, {}
    for epoch in range(epochs):
        for rows in torch.randperm(len(features)).split(BATCH):
            some = torch.randperm(TILES)[: TILES // 2]  # other tiles at each step
            margin = (2 * labels[rows] - 1) * highest(network, features[rows][:, some])
            missed = [torch.sigmoid((wanted - margin) / 1.5).mean() for wanted in MARGINS]
            loss = torch.stack(missed).mean() + 0.5 * (1 - margin / 6).relu().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        value = found_share(network, *known)
        if value > best:
            best = value
            kept = {name: each.clone() for name, each in network.state_dict().items()}
            print(f"epoch {epoch}: {value:.3f} of recaptures found and proven", flush=True)
    network.load_state_dict(kept)


@torch.no_grad()
def found_share(network: LipschitzNetwork, features: Tensor, labels: Tensor) -> float:
    """Return the mean share of recaptures proven at 0, 1 and 2 levels, at 5 % false alarms."""
    scores = torch.cat([highest(network, part) for part in features.split(16)])
    threshold = scores[labels == 0].quantile(0.95)
    return float(np.mean([(scores[labels == 1] > threshold + r).float().mean() for r in (0, 1, 2)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("start", type=Path)
    parser.add_argument("--features", type=Path, required=True, help="Kept here.")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    detector, card = load_bundle(given.start)
    network = detector.network
    assert isinstance(network, LipschitzNetwork)
    if not given.features.exists():
        features_of(network, given.manifest, card.input_contract().side, given.features)
    with np.load(given.features) as stored:
        features, labels = torch.from_numpy(stored["f"]), torch.from_numpy(stored["l"]).long()
        train, last = (
            torch.from_numpy(np.flatnonzero(stored["p"] == part))
            for part in ("train", "validation")
        )
    known = (features[last], labels[last])
    print(f"before: {found_share(network, *known):.3f} of recaptures found and proven")
    network.train()
    fit(network, features[train], labels[train], known, given.epochs)
    network.eval()
    save_bundle(given.out, detector.eval(), card)


if __name__ == "__main__":
    enter(main)
