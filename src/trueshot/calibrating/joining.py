"""Make a detector that joins kinds of evidence: heads and joint model, fitted on staged scenes.

    python -m trueshot.calibrating.joining CONTEXT TEXTURE… --heads CSV --joint CSV --out FILE

Context is a network that `training.context` left, texture a bundle that judges crops; several
LCNNs become an ensemble. The head of the lattice is fitted on the train part of one manifest; those
of texture and context, whose networks know the train part, and the joint model on the validation
part of the other. Neither part may hold what rates are later measured on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trueshot.bundle import Bundle, bundle_sha256, read_bundle, with_graph, write_bundle
from trueshot.calibrating.linear import fit_linear_model
from trueshot.calibrating.photographs import photographs_of
from trueshot.calibrating.scores import Scores, gather
from trueshot.calibrating.write import detector_in
from trueshot.calibration.linear_model import LinearModel
from trueshot.card import EvidenceModel, InputContract
from trueshot.errors import BundleError, TrueshotError
from trueshot.inference.evidence import KINDS, joint_features

CROPS = 64
_UNFITTED = "unfitted.safetensors"


@dataclass(frozen=True, kw_only=True)
class Joining:
    """What a joint detector is fitted to.

    Args:
        heads: Staged photographs; the train part is taken.
        joint: Staged photographs, whole and parts of them; the validation part is taken.
        crops: At most so many of a photograph.
    """

    heads: Path
    joint: Path
    crops: int = CROPS


def join_evidence(
    textures: Sequence[Path],
    context: Path,
    out: Path,
    joining: Joining,
    workers: int | None = None,
) -> EvidenceModel:
    """Fit heads and joint model, and write the detector, which is yet to be calibrated.

    Scores are kept in ledgers beside `out`: a run that was stopped goes on.

    Args:
        textures: Folders of training runs, or bundles: judge crops, all of one size.
        context: As `save_context` wrote it.
        out: The bundle to write.
        joining: What it is fitted to.
        workers: Processes.

    Raises:
        BundleError: A network cannot be read.
        DatasetError: A manifest cannot be used.
        CalibrationError: There are too few photographs.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    bundle = with_context(textures, context, joining.crops)
    unfitted = out.with_name(f"{out.stem}.{_UNFITTED}")
    write_bundle(unfitted, bundle)
    digest = bundle_sha256(unfitted)[:12]
    of_heads, of_joint = (
        gather(
            unfitted,
            photographs_of(manifest, part),
            unfitted.with_name(f"{out.name}.{part}.{digest}.ledger"),
            workers,
        )
        for manifest, part in ((joining.heads, "train"), (joining.joint, "validation"))
    )
    model = fitted_to(bundle, of_heads, of_joint)
    write_bundle(out, replace(bundle, card=bundle.card.model_copy(update={"evidence": model})))
    return model


def with_context(textures: Sequence[Path], context: Path, crops: int = CROPS) -> Bundle:
    """A bundle of crops with a context network beside it, whose evidence nothing joins yet."""
    from trueshot.inference.context import SIDE
    from trueshot.onnx import whole_graph
    from trueshot.training.context import load_context

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
    return with_graph(replace(bundle, card=card, context=whole_graph(detector, SIDE)), path)


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


def fitted_to(bundle: Bundle, of_heads: Scores, of_joint: Scores) -> EvidenceModel:
    """Heads and joint model of a bundle whose evidence was gathered without them."""
    assert bundle.card.evidence is not None
    heads = {"lattice": _head("lattice", of_heads)}
    heads |= {kind: _head(kind, of_joint) for kind in ("texture", "context")}
    rows = [joint_features(log_odds(heads, each.features)) for each in of_joint.findings]
    joint = fit_linear_model(rows, of_joint.labels.tolist(), of_joint.sources)
    return EvidenceModel(media=bundle.card.evidence.media, heads=heads, joint=joint)


def log_odds(heads: Mapping[str, LinearModel], features: Mapping[str, float]) -> dict[str, float]:
    """Of each kind of evidence that there is, as `EvidenceJudge` has them."""
    given = {kind: _of_kind(kind, features) for kind in KINDS}
    return {kind: heads[kind].score(found) for kind, found in given.items() if found}


def _head(kind: str, scores: Scores) -> LinearModel:
    rows = [_of_kind(kind, each.features) for each in scores.findings]
    return fit_linear_model(rows, scores.labels.tolist(), scores.sources)


def _of_kind(kind: str, features: Mapping[str, float]) -> dict[str, float]:
    start = f"{kind}: "
    return {n.removeprefix(start): value for n, value in features.items() if n.startswith(start)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Make a joint detector as the arguments say; 0 if all went well."""
    parser = argparse.ArgumentParser(
        prog="python -m trueshot.calibrating.joining", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("context", type=Path)
    parser.add_argument("textures", type=Path, nargs="+")
    parser.add_argument("--heads", type=Path, required=True)
    parser.add_argument("--joint", type=Path, required=True)
    parser.add_argument("--crops", type=int, default=CROPS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=None)
    given = parser.parse_args(arguments)
    joining = Joining(heads=given.heads, joint=given.joint, crops=given.crops)
    try:
        model = join_evidence(given.textures, given.context, given.out, joining, given.workers)
    except TrueshotError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    assert model.joint is not None
    for name, weight in zip(model.joint.features, model.joint.weights, strict=True):
        print(f"{name}: {weight:+.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
