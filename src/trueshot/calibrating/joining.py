"""Make a detector that joins kinds of evidence, by the spread of each on staged photographs.

    python -m trueshot.calibrating.joining CONTEXT TEXTURE… --spread MANIFEST --out FILE
        [--as robust]

Context is a network that `training.context` or `training.robust_context` left, texture a bundle
that judges crops; several LCNNs become an ensemble. Each kind of evidence is divided by its
standard deviation over staged photographs that no network has learnt from, and they are added with
equal weights: the sum rule of Kittler et al. 1998, "On combining classifiers". Weights are not
fitted, for staged photographs would set them wrong: what tells their classes apart best (context)
does so less well in the world, and a lattice better. Of the lattice only what stands a standard
deviation above the mean of originals counts, and only for a recapture: fine texture of the world
has low peaks, and a grid that was lost on the way to the file is no evidence. In `robust` that is
so of texture too, from what noise of five levels that was made for it makes of originals: a fainter
grid may have been written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from trueshot.bundle import Bundle, bundle_sha256, read_bundle, with_graph, write_bundle
from trueshot.calibrating.photographs import photographs_of
from trueshot.calibrating.scores import Scores, gather
from trueshot.calibrating.withstanding import highest_written
from trueshot.calibrating.write import detector_in
from trueshot.calibration.linear_model import LinearModel
from trueshot.card import EvidenceModel, InputContract
from trueshot.errors import BundleError, CalibrationError, TrueshotError

CROPS = 64

_UNJOINED = "unjoined.safetensors"


@dataclass(frozen=True, kw_only=True)
class Join:
    """What is joined.

    Args:
        features: What is averaged into each kind of evidence; of several each has an equal part.
        pieces: What takes their place of a piece of a photograph.
        joined: What the score is the sum of, see `joint_features`.
        beyond: Of a kind that speaks for a recapture alone: deviations of originals above their
            mean, from which on it is evidence.
        written: Of a kind of one feature, `highest`, that speaks for a recapture alone: levels, L∞.
            It is evidence from what an attack within them makes of originals.
    """

    features: Mapping[str, tuple[str, ...]]
    pieces: Mapping[str, tuple[str, ...]]
    joined: tuple[str, ...]
    beyond: Mapping[str, float]
    written: Mapping[str, float] = field(default_factory=dict)


JOINS = {
    # A piece shows one thing: there is no region in it to be found.
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
    # A lattice beside its surroundings is written, or wiped out, by a level of noise.
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
    """Join networks to one detector, and write it; it is yet to be calibrated.

    Scores are kept in a ledger beside `out`: a run that was stopped goes on.

    Args:
        textures: Folders of training runs, or bundles: judge crops, all of one size.
        context: As `save_context` wrote it.
        out: The bundle to write.
        spread: Staged photographs, whole and parts of them; the validation part is taken.
        join: What is joined.
        crops: At most so many of a photograph.
        workers: Processes.

    Raises:
        BundleError: A network cannot be read, or textures differ in more than their weights.
        DatasetError: The manifest cannot be used.
        CalibrationError: A kind of evidence is the same on all photographs.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
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
    """Heads that divide each kind of evidence by its spread, and their sum.

    Args:
        media: As of `EvidenceModel`.
        scores: Of photographs by a detector that joins nothing yet.
        join: What is joined.
        reached: What an adversary makes of originals, by the kinds that `join.written` names.
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
    """The mean of standardised features, standardised once more; from where on it counts, as 0."""
    rows = [
        [each.features.get(f"{kind}: {name}", np.nan) for name in names] for each in scores.findings
    ]
    table = np.array(rows, np.float64)
    known = ~np.isnan(table).any(1)
    table, labels = table[known], scores.labels[known]
    deviations = table.std(0) if len(table) else np.zeros(len(names))
    if not (deviations > 0).all():
        raise CalibrationError(f"{kind}: says the same of all {len(table)} photographs")
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
    """The head of one feature, 0 where it has this value."""
    (name,) = head.features
    there = head.score({name: value})
    return head.model_copy(update={"intercept": head.intercept - there})


def with_context(textures: Sequence[Path], context: Path, crops: int = CROPS) -> Bundle:
    """A bundle of crops with a context network beside it, whose evidence nothing joins yet."""
    from trueshot.onnx import whole_graph
    from trueshot.training.context_file import context_side, load_context

    path = detector_in(textures[0])
    bundle = _ensemble_of(textures)
    detector = load_context(context)
    contract = bundle.card.contract
    side = contract.side if contract else bundle.card.side
    if side is None:
        raise TrueshotError(f"{path}: its card does not say the size of its crops")
    said = {
        "evidence": EvidenceModel(media=detector.classes),
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
    """One bundle of several LCNNs; of a single one itself."""
    bundles = [read_bundle(detector_in(path)) for path in textures]
    first = bundles[0]
    if len(bundles) == 1:
        return first
    alike = ("network", "offset", "scale", "classes")
    for path, other in zip(textures, bundles, strict=True):
        if any(getattr(other.card, name) != getattr(first.card, name) for name in alike):
            raise BundleError(f"{path}: of another network than {textures[0]}")
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
    """Make a joint detector as the arguments say; 0 if all went well."""
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
