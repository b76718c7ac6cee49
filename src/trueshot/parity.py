"""Compare the graph of a detector with the detector it was made from, on generated photographs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import softmax
from torch import nn

from trueshot.card import Card
from trueshot.detector import Detector, scores_of
from trueshot.errors import ExportError
from trueshot.graph import INPUT, Message, first_line, outputs_of, session
from trueshot.pixels import to_levels
from trueshot.tasks.task import UNDECIDED

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

LOG_ODDS = "log_odds"
EXPLAINING = ("logits", "evidence", "filtered", "spectrum")

TOLERANCE = 1e-4
RELATIVE = 2e-6  # 16 times float32's epsilon; exceeds TOLERANCE for scores above 50
IMAGES = 200
_SHOWN = 1e-3  # relative to the largest value of a picture, which is shown in 255 shades
_VALUES_AT_ONCE = 3 * 128 * 128 * 16  # fastest when a batch fits into the processor's cache


def check_crop_graph(module: nn.Module, model: Message, side: int) -> None:
    """Compare the graph of a bundle with the module it was exported from.

    Args:
        module: Module from crops, bytes (n, side, side, 3), to values by name.
        model: The whole graph, with the weights.
        side: Height and width of the crops.

    Raises:
        ExportError: A value differs too much.
    """
    crops = np.concatenate(list(itertools.islice(photographs(side, 1), 20)))
    with torch.no_grad():
        wanted = {name: value.numpy() for name, value in module(torch.from_numpy(crops)).items()}
    # A score near 0 may be the difference of large logits, so the largest score sets the precision.
    digits = RELATIVE * float(np.abs(wanted["scores"]).max())
    name = "the graph"
    found = _given_by(session(model, outputs_of(model), name), model, crops, name)
    _compared(wanted, found, name, max(TOLERANCE, digits))


def largest_difference(detector: Detector, card: Card, model: Message, name: object) -> float:
    """Compare the graph of an exported file with the detector it was made from.

    Args:
        detector: The detector, in evaluation mode.
        card: The card with its contract, calibration and decision.
        model: The whole graph, with the weights.
        name: Name for error messages.

    Returns:
        The largest difference of a score.

    Raises:
        ExportError: A score or a likelihood ratio differs too much, or a verdict differs.
    """
    contract, largest = card.input_contract(), 0.0
    running = session(model, outputs_of(model), name)
    judge = logits_by_torch(detector)
    for number, crops in enumerate(photographs(contract.side, contract.crops)):
        wanted = _answers(card, judge(crops))
        found = _given_by(running, model, crops, name)
        found = {name: value for name, value in found.items() if name not in EXPLAINING}
        largest = max(largest, _compared(wanted, found, f"{name}: image {number}"))
    return largest


def logits_by_torch(detector: Detector) -> Callable[[Bytes], Floats]:
    """Return a function that computes logits of crops, float64 (n, classes), on the CPU."""
    folded = detector.folded()

    def logits(crops: Bytes) -> Floats:
        if not len(crops):
            return np.zeros((0, len(detector.classes)))
        at_once = max(1, _VALUES_AT_ONCE // crops[0].size)
        with torch.inference_mode():
            parts = [folded(part) for part in to_levels(crops).split(at_once)]
            found: Floats = torch.cat(parts).double().numpy()
        return found

    return logits


def _answers(card: Card, logits: Floats) -> dict[str, Any]:
    """Compute from the logits, without the graph, all values that the graph should give."""
    scores: Floats = scores_of(torch.from_numpy(logits)).numpy()
    aggregate = card.input_contract().aggregate
    score = aggregate(scores)
    answers: dict[str, Any] = {"scores": scores, "score": score}
    odds = np.array([aggregate(column) for column in (logits - logits[:, :1]).T])
    if card.decision_rule == "top-class" or len(card.classes) > 2:
        answers[LOG_ODDS] = odds
    if card.decision_rule == "top-class":
        how, best = card.likeliest, int(odds.argmax())
        none = how is not None and softmax(odds / how.temperature)[best] < how.least
        answers["verdict"] = len(card.classes) if none else best
    else:
        answers["verdict"] = (*card.words.verdicts, UNDECIDED).index(card.verdict(score))
    ratio = card.log10_lr(score)
    return answers if ratio is None else {**answers, "log10_lr": ratio}


def _compared(
    wanted: Mapping[str, Any], found: Mapping[str, Any], where: str, tolerance: float = TOLERANCE
) -> float:
    """Return the largest difference, after checking that it is small and the verdicts agree."""
    if wanted.keys() != found.keys():
        raise ExportError(f"{where}: expected the values {sorted(wanted)}, got {sorted(found)}")
    largest = 0.0
    for name in wanted:
        if name == "verdict":
            continue
        ours, theirs = np.asarray(wanted[name]), np.asarray(found[name])
        if ours.shape != theirs.shape:
            raise ExportError(f"{where}: expected {name} of shape {ours.shape}, got {theirs.shape}")
        differences = np.abs(ours - theirs)
        allowed: Any = np.maximum(tolerance, RELATIVE * np.abs(ours))
        if name in EXPLAINING:
            allowed = max(tolerance, _SHOWN * float(np.abs(ours).max(initial=0)))
        if not bool((differences <= allowed).all()):
            raise ExportError(
                f"{where}: {name} differs by {differences.max():.3g} from PyTorch's, but at most "
                f"{np.max(allowed):.3g} is allowed; nothing was written: please report this as a "
                "bug in trueshot"
            )
        largest = max(largest, float(differences.max()))
    if wanted.get("verdict") != found.get("verdict"):
        raise ExportError(
            f"{where}: verdict {found['verdict']} instead of {wanted['verdict']} at the score "
            f"{float(wanted['score']):.9g}, while scores differ by at most {largest:.3g}; nothing "
            "was written: please report this as a bug in trueshot"
        )
    return largest


def _given_by(
    running: Any, model: Message, crops: Bytes, name: object
) -> dict[str, npt.NDArray[Any]]:
    try:
        return dict(zip(outputs_of(model), running.run(None, {INPUT: crops}), strict=True))
    except Exception as error:  # onnxruntime's exceptions have no base class of their own
        raise ExportError(
            f"{name}: onnxruntime cannot run it on {len(crops)} crops: {first_line(error)}"
        ) from error


def photographs(side: int, most: int, seed: int = 0) -> Iterator[Bytes]:
    """Generate the crops of 200 photographs: structure as in scenes and screens, and extremes."""
    random = np.random.default_rng(seed)
    kinds = (_clouds, _grid, _edges, _gradient)
    for number in range(IMAGES):
        count = most if number == 0 else int(random.integers(1, min(most, 6), endpoint=True))
        if number % 10 == 9:
            yield np.stack([_extreme(random, side, number // 10)] * count)
        else:
            made = [kinds[number % len(kinds)](random, side) for _ in range(count)]
            yield np.clip(np.round(made), 0, 255).astype(np.uint8)


def _clouds(random: np.random.Generator, side: int) -> Floats:
    """Generate noise whose power falls with frequency, as in photographs."""
    across = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    across[0, 0] = 1 / side
    noise = np.fft.rfft2(random.normal(size=(3, side, side))) / across ** random.uniform(0.3, 2)
    field = np.fft.irfft2(noise, (side, side)).transpose(1, 2, 0)
    made: Floats = random.uniform(20, 235) + random.uniform(2, 60) * field / field.std()
    return made


def _grid(random: np.random.Generator, side: int) -> Floats:
    """Generate crossed waves with stripes of colour, as on a display, and some noise."""
    y, x = np.mgrid[:side, :side]
    first, second = random.uniform(0.05, 3.1, (2, 2))
    waves = np.cos(first[0] * x + first[1] * y) * np.cos(second[0] * x - second[1] * y)
    colours = random.uniform(-60, 60, 3)
    noise = random.normal(0, random.uniform(0, 8), (side, side, 3))
    made: Floats = random.uniform(40, 215) + waves[..., None] * colours + noise
    return made


def _edges(random: np.random.Generator, side: int) -> Floats:
    """Generate overlapping flat areas."""
    y, x = np.mgrid[:side, :side] / side
    image = np.full((side, side, 3), random.uniform(0, 255))
    for _ in range(8):
        a, b, c = (*random.normal(size=2), random.uniform(-0.5, 0.5))
        image[a * (x - 0.5) + b * (y - 0.5) > c] = random.uniform(0, 255, 3)
    return image + random.normal(0, random.uniform(0, 3), image.shape)


def _gradient(random: np.random.Generator, side: int) -> Floats:
    ramp = np.linspace(0, 1, side)[:, None, None] * random.uniform(-120, 120, 3)
    noise = random.normal(0, random.uniform(0.2, 12), (side, side, 3))
    made: Floats = random.uniform(60, 195) + ramp + noise
    return made


def _extreme(random: np.random.Generator, side: int, number: int) -> Bytes:
    """Return black, white, random bytes, random black and white, a pure colour or a chessboard."""
    shape = (side, side, 3)
    y, x = np.mgrid[:side, :side]
    board = np.repeat((x + y)[..., None] % 2 * 255, 3, 2)
    colour = np.broadcast_to(random.integers(0, 2, 3) * 255, shape)
    bits = random.integers(0, 2, shape) * 255
    levels = random.integers(0, 256, shape)
    options = (np.zeros(shape), np.full(shape, 255), levels, bits, colour, board)
    return np.asarray(options[number % len(options)], np.uint8)
