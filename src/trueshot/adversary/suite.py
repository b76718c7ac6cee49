"""Attacks on whole photographs: each is attacked, saved, sent through channels and judged anew."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from trueshot.adversary.photograph import PhotographDetector
from trueshot.attacks import Attack, as_filed, perturb
from trueshot.attacks.apgd import APGD
from trueshot.attacks.calls import counted
from trueshot.attacks.through import Through
from trueshot.attacks.wrapping import Wrapper, attack_network
from trueshot.bundle import bundle_sha256
from trueshot.channels import FILES, Channel
from trueshot.datasets.listing import Outline
from trueshot.errors import DatasetError, ImageFileError
from trueshot.files import Journal, file_sha256, sanitize
from trueshot.images import read_image
from trueshot.inference import Prediction, Predictor
from trueshot.pixels import LEVELS, Bytes, psnr, ssim, to_bytes, to_levels
from trueshot.progress import Advance, progress

ThreatName = Literal["linf", "l2", "region", "patch"]
THREATS: tuple[ThreatName, ...] = ("linf", "l2", "region", "patch")
PNG = "png"

# An attack aims this far beyond a threshold, as a share of the gap between the thresholds, so that
# rounding does not undo it.
_SLACK = 0.25
_PATCH = 0.05  # share of the frame that a patch covers


@dataclass(frozen=True, kw_only=True)
class Target:
    """A photograph of known class.

    Args:
        name: Name used in records.
        path: The image file.
        label: 0 for an original, 1 for a recapture.
        source: Where the photograph comes from, such as its scene; empty if unknown.
        outline: Corners (x, y) of the recaptured medium in the photograph, in pixels; empty if
            unknown.
    """

    name: str
    path: Path
    label: int
    source: str = ""
    outline: Outline = ()


@dataclass(frozen=True, kw_only=True)
class PhotographSettings:
    """Settings of the attacks on photographs.

    Args:
        budgets: In levels: L∞ norm, or root mean square over all values for `l2`. A patch is not
            bounded.
        threats: `linf` (L∞, whole frame), `l2`, `region` (L∞, only inside the outlined medium;
            the whole frame if there is no outline) or `patch` (any change inside a central square
            of a twentieth of the frame).
        steps: Number of APGD steps.
        restarts: Number of APGD starts; if more than one, all of them are random.
        seed: Seed of the random starts.
        channels: Channels that the attacked file passes before it is judged again.
        through: Whether the attack optimises through these channels (expectation over them).
    """

    budgets: tuple[float, ...] = (1.0, 2.0, 5.0)
    threats: tuple[ThreatName, ...] = ("linf",)
    steps: int = 20
    restarts: int = 1
    seed: int = 0
    channels: tuple[Channel, ...] = tuple(FILES)
    through: bool = False

    def cases(self) -> Iterator[tuple[ThreatName, float]]:
        """Yield each threat with each of its budgets."""
        for threat in self.threats:
            for budget in (LEVELS,) if threat == "patch" else self.budgets:
                yield threat, budget


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Result of the attack on one photograph under one threat at one budget.

    Args:
        name: Name of the photograph.
        label: 0 for an original, 1 for a recapture.
        source: Where the photograph comes from, such as its scene; empty if unknown.
        threat: See `PhotographSettings`.
        budget: In levels.
        clean: Verdict without an attack.
        clean_score: Score without an attack.
        certified_radius: Radius in levels within which the clean verdict is proven to hold; None
            if nothing is proven.
        modelled: Clean score of the differentiable detector; equals `clean_score` up to rounding.
        reached: Score of the attacked image in memory, before rounding.
        verdicts: Verdict on the attacked file by channel, `png` first.
        scores: Score of the attacked file by channel.
        forward: Number of forward passes.
        backward: Number of backward passes.
        psnr: PSNR of the file in dB; None if nothing was changed.
        ssim: SSIM of the file.
        seconds: Duration of the attack.
        goal: Score that the attack aims for; None in older results.
    """

    name: str
    label: int
    source: str = ""
    threat: str
    budget: float
    clean: str
    clean_score: float
    certified_radius: float | None
    modelled: float
    reached: float
    verdicts: dict[str, str]
    scores: dict[str, float | None]
    forward: int
    backward: int
    psnr: float | None
    ssim: float
    seconds: float
    goal: float | None = None


class _Masked(nn.Module):
    """A network that sees changes of `image` only where `mask` is true."""

    def __init__(self, network: nn.Module, image: Tensor, mask: Tensor) -> None:
        super().__init__()
        self.network, self.image, self.mask = network, image, mask

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(torch.where(self.mask, images, self.image))
        return logits


@dataclass(frozen=True, eq=False)
class _InMask(Wrapper):
    """An attack that changes images only where `mask` is true."""

    mask: Tensor

    def __call__(self, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        network = _Masked(detector, images, self.mask)
        attacked = attack_network(self.attack, network, 1, detector, images, labels)
        return torch.where(self.mask, attacked, images)


class PhotographAdversary:
    """Attacks photographs that one detector judges.

    Args:
        bundle: Bundle file, or name of an included detector.
        settings: Settings of the attacks.

    Raises:
        BundleError: The detector has no gradient for whole photographs, see `PhotographDetector`.
    """

    def __init__(self, bundle: str, settings: PhotographSettings) -> None:
        self.bundle, self.settings = bundle, settings
        self.predictor = Predictor.load(bundle)
        self.detector = PhotographDetector(bundle)

    @property
    def key(self) -> dict[str, Any]:
        """Everything an outcome depends on, except the photograph, the threat and the budget."""
        chosen = replace(self.settings, budgets=(), threats=())
        return {"bundle": bundle_sha256(self.bundle), "settings": repr(chosen)}

    def attack(self, target: Target, threat: ThreatName, budget: float) -> Outcome | None:
        """Attack a photograph; return None if the detector gives it no score."""
        pixels = read_image(target.path).pixels
        before = self.predictor.predict(pixels)
        if before.score is None:
            return None
        started, images = time.perf_counter(), to_levels(pixels[None])
        mask = torch.from_numpy(_mask(pixels.shape, threat, target))
        with counted(1) as calls:
            attacked, filed = self._changed(images, target.label, threat, budget, mask)
        seconds = time.perf_counter() - started
        with torch.no_grad():
            modelled, reached = (float(self.detector.score(each[0])) for each in (images, attacked))
        said = self._judged(to_bytes(filed)[0])
        ratio = float(psnr(images, filed)[0])
        return Outcome(
            name=target.name,
            label=target.label,
            source=target.source,
            threat=threat,
            budget=budget,
            clean=before.verdict,
            clean_score=before.score,
            certified_radius=before.certified_radius,
            modelled=modelled,
            reached=reached,
            verdicts={name: each.verdict for name, each in said.items()},
            scores={name: each.score for name, each in said.items()},
            forward=int(calls.forward[0]),
            backward=int(calls.backward[0]),
            psnr=ratio if np.isfinite(ratio) else None,
            ssim=float(ssim(images, filed)[0]),
            seconds=round(seconds, 3),
            goal=self._goal(target.label),
        )

    def changed(self, pixels: Bytes, label: int, budget: float) -> Bytes:
        """Attack a photograph, shape (h, w, 3), in L∞ away from `label`; return bytes as in a file.

        A photograph that the detector gives no score is returned unchanged.
        """
        if self.predictor.predict(pixels).score is None:
            return pixels
        images = to_levels(pixels[None])
        everywhere = torch.ones_like(images[:, :1], dtype=torch.bool)
        found: Bytes = to_bytes(self._changed(images, label, "linf", budget, everywhere)[1])[0]
        return found

    def _changed(
        self, images: Tensor, label: int, threat: ThreatName, budget: float, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the attacked images in memory, and rounded as for a file."""
        self.detector.threshold = self._goal(label)
        attack = self._attack(threat, budget, images, mask)
        attacked = perturb(attack, self.detector, images, torch.tensor([label]))
        return attacked, as_filed(attack, images, attacked)

    def run(
        self,
        targets: Sequence[Target],
        journal: Path | None = None,
        unread: list[str] | None = None,
    ) -> list[Outcome]:
        """Attack photographs under all threats and budgets, except cases already in `journal`.

        Args:
            targets: The photographs; one that cannot be read is reported on stderr and left out.
            journal: The file that an interrupted run continues from.
            unread: List that receives the names of the photographs that are left out.

        Raises:
            DatasetError: None of the photographs can be read.
        """
        kept = Journal(journal, self.key)
        known = {tuple(each["case"]): each["outcome"] for each in kept.records}
        found: list[Outcome] = []
        failed: list[str] = [] if unread is None else unread
        cases = list(self.settings.cases())
        with progress("photograph", len(targets) * len(cases)) as advance:
            for target in targets:
                try:
                    found += self._outcomes(target, kept, known, advance)
                except ImageFileError as error:
                    note = sanitize(f"{target.name}: {error.reason}")
                    print(f"skipped {note}", file=sys.stderr)
                    failed.append(target.name)
                    advance(len(cases), "")
        if targets and len(failed) == len(targets):
            raise DatasetError(
                f"none of the {len(targets)} photographs can be read, such as {note}"
            )
        return found

    def _outcomes(
        self, target: Target, kept: Journal, known: dict[tuple[Any, ...], Any], advance: Advance
    ) -> list[Outcome]:
        """Attack one photograph in all cases that are not yet in the journal, and add them."""
        found: list[Outcome | None] = []
        sha256 = file_sha256(target.path)
        for threat, budget in self.settings.cases():
            case: tuple[Any, ...] = (sha256, target.name, target.label, threat, budget)
            if threat == "region" and target.outline:
                case += (json.dumps(target.outline),)
            if case not in known:
                outcome = self.attack(target, threat, budget)
                known[case] = None if outcome is None else asdict(outcome)
                kept.append({"case": list(case), "outcome": known[case]})
            said = known[case]
            # The source may have been corrected since.
            found.append(None if said is None else Outcome(**said | {"source": target.source}))
            advance(1, f"{threat} {budget:g}")
        return [each for each in found if each is not None]

    def _goal(self, label: int) -> float:
        """Return the score to aim for: the threshold of the other class, plus some slack."""
        low, high = self.predictor.card.thresholds
        slack = _SLACK * (high - low)
        return low - slack if label else high + slack

    def _attack(self, threat: ThreatName, budget: float, images: Tensor, mask: Tensor) -> Attack:
        settings = self.settings
        made: Attack = APGD(
            budget=budget * float(np.sqrt(images.numel())) if threat == "l2" else budget,
            norm="l2" if threat == "l2" else "linf",
            steps=settings.steps,
            restarts=settings.restarts,
            random_start=settings.restarts > 1,
            seed=settings.seed,
        )
        if not bool(mask.all()):
            made = _InMask(made, mask)  # inside `Through`: channels change the whole file
        return Through(made, settings.channels) if settings.through else made

    def _judged(self, pixels: Bytes) -> dict[str, Prediction]:
        sent = {PNG: pixels}
        for channel in self.settings.channels:
            if channel.name != PNG:
                sent[channel.name] = channel.changed(pixels)
        return {name: self.predictor.predict(each) for name, each in sent.items()}


def _mask(shape: tuple[int, ...], threat: ThreatName, target: Target) -> npt.NDArray[np.bool_]:
    """Return a mask of the pixels that may be changed, shape (1, 1, h, w)."""
    height, width = shape[:2]
    if threat == "patch":
        side = int((_PATCH * height * width) ** 0.5)
        top, left = (height - side) // 2, (width - side) // 2
        mask = np.zeros((height, width), np.bool_)
        mask[top : top + side, left : left + side] = True
    elif threat == "region" and target.outline:
        from PIL import Image, ImageDraw

        drawn = Image.new("1", (width, height))
        ImageDraw.Draw(drawn).polygon([(float(x), float(y)) for x, y in target.outline], fill=1)
        mask = np.asarray(drawn)
    else:
        mask = np.ones((height, width), np.bool_)
    return mask[None, None].copy()


def fingerprint(targets: Sequence[Target]) -> str:
    """Return the SHA-256 of all file hashes with their classes, whatever their order."""
    lines = sorted(f"{file_sha256(each.path)} {each.label}" for each in targets)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
