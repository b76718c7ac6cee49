"""Make a detector that joins kinds of evidence, by the spread of each on staged photographs.

    python -m trueshot.calibrating.joining CONTEXT TEXTURE… --spread MANIFEST --out FILE
        [--as robust]

CONTEXT is a network written by `training.context` or `training.robust_context`. TEXTURE is a bundle
that judges crops; several LCNNs become an ensemble. Each kind of evidence is divided by its
standard deviation over staged photographs that no network was trained on, and all are added with
equal weights: the sum rule of Kittler et al. 1998, "On combining classifiers". Weights are not
fitted, because staged photographs would set them wrong: the evidence that separates their classes
best (context) does so less well in the world, and the lattice does so better. Lattice evidence
counts only above the mean of originals plus one standard deviation, and only for a recapture: fine
texture in the world has low peaks, and a grid that was lost on the way to the file is no evidence.
`robust` does not use the lattice, and texture counts only for a recapture, above what adversarial
noise of five levels makes of originals: a fainter grid may have been added.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from trueshot.bundle import Bundle, bundle_sha256, read_bundle, with_graph, write_bundle
from trueshot.calibrating.photographs import photographs_of
from trueshot.calibrating.scores import Scores, gather
from trueshot.calibrating.withstanding import highest_written
from trueshot.calibrating.write import detector_in
from trueshot.calibration.linear_model import LinearModel
from trueshot.card import EvidenceModel, InputContract
from trueshot.errors import BundleError, CalibrationError, TrueshotError
from trueshot.files import check_destinations

CROPS = 64

_UNJOINED = "unjoined.safetensors"


@dataclass(frozen=True, kw_only=True)
class Join:
    """How kinds of evidence are joined.

    Args:
        features: Features that are averaged, with equal weights, into each kind of evidence.
        pieces: Features that replace them if the picture is only a piece of a photograph.
        joined: Terms that are added up to the score, see `joint_features`.
        beyond: For kinds that only support a recapture: how many standard deviations above the
            mean of originals the evidence begins.
        written: For kinds with the single feature `highest` that only support a recapture: L∞
            budget in levels. The evidence begins at what an attack within it makes of originals.
    """

    features: Mapping[str, tuple[str, ...]]
    pieces: Mapping[str, tuple[str, ...]]
    joined: tuple[str, ...]
    beyond: Mapping[str, float]
    written: Mapping[str, float] = field(default_factory=dict)


JOINS = {
    # A piece shows a single thing, so there is no region to find in it.
    "accurate": Join(
        features={
            "texture": ("overall", "highest third"),
            "context": ("logit",),
            "lattice": ("luma 1/1 height",),
        },
        pieces={"texture": ("overall",)},
        joined=("texture", "context", "lattice for"),
        beyond={"lattice": 1.0},
    ),
    # Noise of one level can add, or erase, a lattice that stands out from its surroundings.
    "robust": Join(
        features={
            "texture": ("highest",),
            "context": ("logit",),
            "lattice": ("luma 1/1 height",),
        },
        pieces={},
        joined=("texture for", "context"),
        beyond={"lattice": 1.0},
        written={"texture": 5.0},
    ),
}


def join_evidence(
    textures: Sequence[Path],
    context: Path,
    out: Path,
    spread: Path,
    *,
    join: Join = JOINS["accurate"],
    crops: int = CROPS,
    workers: int | None = None,
) -> EvidenceModel:
    """Join networks into one detector and write it. It still has to be calibrated.

    Scores are kept in a ledger beside `out`, so an interrupted run can be resumed.

    Args:
        textures: Folders of training runs, or bundles, that judge crops, all of one size.
        context: File written by `save_context`.
        out: The bundle to write.
        spread: Manifest of staged photographs, whole ones and pieces; only its validation part is
            used.
        join: How the evidence is joined.
        crops: Maximum number of crops per photograph.
        workers: Number of worker processes.

    Raises:
        BundleError: A network cannot be read, or textures differ in more than their weights.
        DatasetError: The manifest cannot be used.
        CalibrationError: A kind of evidence is the same on all photographs.
        RunError: `out` cannot be written.
    """
    check_destinations(out)
    bundle = with_context(textures, context, crops)
    unjoined = out.with_name(f"{out.stem}.{_UNJOINED}")
    write_bundle(unjoined, bundle)
    ledger = out.with_name(f"{out.name}.{bundle_sha256(unjoined)[:12]}.ledger")
    scores = gather(unjoined, photographs_of(spread, "validation"), ledger, workers)
    assert bundle.card.evidence is not None
    whole = [each.photograph for each in scores.findings if "context: logit" in each.features]
    reached = {
        kind: highest_written(unjoined, whole, budget) for kind, budget in join.written.items()
    }
    model = joined(bundle.card.evidence.media, scores, join, reached)
    write_bundle(out, replace(bundle, card=bundle.card.model_copy(update={"evidence": model})))
    return model


def joined(
    media: tuple[str, ...], scores: Scores, join: Join, reached: Mapping[str, float]
) -> EvidenceModel:
    """Return the heads, which divide each kind of evidence by its spread, and the sum of them.

    Args:
        media: See `EvidenceModel`.
        scores: Features of photographs from a detector that does not join its evidence yet.
        join: How the evidence is joined.
        reached: What an adversary makes of originals, for the kinds in `join.written`.
    """
    ones, noughts = (1.0,) * len(join.joined), (0.0,) * len(join.joined)
    joint = LinearModel(
        features=join.joined, means=noughts, deviations=ones, weights=ones, intercept=0.0
    )
    heads = {
        kind: _head(kind, names, scores, join.beyond.get(kind))
        for kind, names in join.features.items()
    }
    heads |= {kind: _counted_from(heads[kind], value) for kind, value in reached.items()}
    pieces = {kind: _head(kind, names, scores) for kind, names in join.pieces.items()}
    return EvidenceModel(media=media, heads=heads, joint=joint, pieces=pieces)


def _head(
    kind: str, names: Sequence[str], scores: Scores, beyond: float | None = None
) -> LinearModel:
    """Return the mean of standardised features, standardised again; 0 where it begins to count."""
    rows = [
        [each.features.get(f"{kind}: {name}", np.nan) for name in names] for each in scores.findings
    ]
    table = np.array(rows, np.float64)
    known = ~np.isnan(table).any(1)
    table, labels = table[known], scores.labels[known]
    deviations = table.std(0) if len(table) else np.zeros(len(names))
    if not (deviations > 0).all():
        raise CalibrationError(
            f"{kind}: a feature has the same value for all {len(table)} photographs"
        )
    standard = ((table - table.mean(0)) / deviations).mean(1)
    spread, nought = float(standard.std()), 0.0
    if beyond is not None:
        originals = standard[labels == 0]
        nought = float(originals.mean() + beyond * originals.std()) / spread
    return LinearModel(
        features=tuple(names),
        means=tuple(table.mean(0).tolist()),
        deviations=tuple(deviations.tolist()),
        weights=(1 / len(names) / spread,) * len(names),
        intercept=-nought,
    )


def _counted_from(head: LinearModel, value: float) -> LinearModel:
    """Return the head of a single feature, shifted so that it is 0 at `value`."""
    (name,) = head.features
    there = head.score({name: value})
    return head.model_copy(update={"intercept": head.intercept - there})


def with_context(textures: Sequence[Path], context: Path, crops: int = CROPS) -> Bundle:
    """Return a bundle for crops with a context network added; its evidence is not joined yet."""
    from trueshot.onnx import whole_graph
    from trueshot.training.context_file import context_side, load_context

    path = detector_in(textures[0])
    bundle = _ensemble_of(textures)
    detector = load_context(context)
    contract = bundle.card.contract
    side = contract.side if contract else bundle.card.side
    if side is None:
        raise TrueshotError(f"{path}: its card does not state the crop size")
    try:
        evidence = EvidenceModel(media=detector.classes)
    except ValidationError as error:
        fault = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise BundleError(f"{context}: {fault}") from error
    said = {
        "evidence": evidence,
        "contract": InputContract(side=side, crops=crops),
        "calibration": None,
        "decision": None,
        "domain": None,
        "calibrated_on": None,
        "measured": (),
        "limits": (),
    }
    card = bundle.card.model_copy(update=said)
    return with_graph(
        replace(bundle, card=card, context=whole_graph(detector, context_side(context))), path
    )


def _ensemble_of(textures: Sequence[Path]) -> Bundle:
    """Return one bundle with an ensemble of several LCNNs, or the only bundle unchanged."""
    bundles = [read_bundle(detector_in(path)) for path in textures]
    first = bundles[0]
    if len(bundles) == 1:
        return first
    alike = ("network", "offset", "scale", "classes")
    for path, other in zip(textures, bundles, strict=True):
        if any(getattr(other.card, name) != getattr(first.card, name) for name in alike):
            raise BundleError(
                f"{path}: its network, offset, scale or classes differ from {textures[0]}"
            )
    weights = {
        f"network.members.{number}.{name.removeprefix('network.')}": value
        for number, bundle in enumerate(bundles)
        for name, value in bundle.weights.items()
    }
    lcnn = {key: value for key, value in first.card.network.items() if key != "name"}
    network = {"name": "lcnn-ensemble", "members": len(bundles), "lcnn": lcnn}
    card = first.card.model_copy(update={"network": network, "recipe": None, "data": None})
    return Bundle(card=card, weights=weights, graph=None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make a joined detector from command-line arguments; return 0 on success."""
    parser = argparse.ArgumentParser(
        prog="python -m trueshot.calibrating.joining", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("context", type=Path)
    parser.add_argument("textures", type=Path, nargs="+")
    parser.add_argument("--spread", type=Path, required=True, help="manifest of staged photographs")
    parser.add_argument("--as", dest="join", choices=JOINS, default="accurate")
    parser.add_argument("--crops", type=int, default=CROPS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=None)
    given = parser.parse_args(arguments)
    try:
        model = join_evidence(
            given.textures,
            given.context,
            given.out,
            given.spread,
            join=JOINS[given.join],
            crops=given.crops,
            workers=given.workers,
        )
    except TrueshotError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for kind, head in model.heads.items():
        for name, mean, deviation in zip(head.features, head.means, head.deviations, strict=True):
            print(f"{kind}, {name}: {mean:.3f} ± {deviation:.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
