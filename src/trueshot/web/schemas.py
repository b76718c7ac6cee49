"""Schemas of the service's answers, as in its OpenAPI description."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, computed_field

from trueshot.calibration.verbal_scale import (
    beside_verdict,
    between,
    in_figures,
    in_words,
    proof_in_words,
    propositions,
    support,
)
from trueshot.card import Card
from trueshot.engines.pool import Answer
from trueshot.files import sanitize
from trueshot.inference.explanation import CropScore, EvidenceShown, Explanation, KeyCrop
from trueshot.scanning.verdict import Verdict
from trueshot.tasks import Wording
from trueshot.tasks.recapture import RECAPTURE

DetectorName = Literal["accurate", "robust"]
Method = Literal["fgsm", "llcm", "pgd"]
MOST_LEVELS = 15
ACCURATE: DetectorName = "accurate"
ROBUST: DetectorName = "robust"

Word = Annotated[
    str,
    Field(
        max_length=100,
        description="A verdict of the detector's task, such as original or recaptured; or "
        "undecided; or error.",
    ),
]
Picture = Annotated[str, Field(description="Picture as a data URI.")]

_EXAMPLE: dict[str, Any] = {
    "file": "photo.jpg",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "verdict": "recaptured",
    "top_class": None,
    "likelihood_ratio": 21.4,
    "log10_lr": 1.33,
    "log10_lr_low": 1.1,
    "log10_lr_high": 1.4,
    "certified_radius": None,
    "score": 3.1,
    "crops": 16,
    "notes": ["turned upright, as EXIF orientation 6 asks"],
    "reason": None,
    "width": 3024,
    "height": 4032,
    "format": "JPEG",
    "seconds": 0.21,
    "detector": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    "support": "moderate",
    "in_figures": in_figures(1.33),
    "proof": "",
    "between": between((1.1, 1.4)),
    "in_words": in_words(1.33),
    "propositions": propositions(RECAPTURE.words),
    "pictures": None,
}


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class CropPictures(_Model):
    """The judged crop with the most weight, and the output of the detector's first layer for it."""

    corner: tuple[int, int]
    score: float
    crop: Picture
    seen: Picture
    kind: Literal["filtered", "spectrum"]


class EvidenceAnswer(_Model):
    """The contributions of the kinds of evidence, for a detector that joins several."""

    contributions: Annotated[
        dict[str, float],
        Field(description="What texture, lattice and context each add to the score."),
    ]
    looks_like: Annotated[str, Field(description="Kind of medium that the frame looks most like.")]
    outline: Annotated[
        tuple[tuple[int, int], ...],
        Field(
            description="Corners (y, x) of the region that looks most like a recapture, in pixels."
        ),
    ]
    share: Annotated[float, Field(description="Share of the photograph that the region covers.")]
    period: Annotated[
        float | None,
        Field(
            description="Period of the clearest grid, in pixels; null if the photograph is too "
            "small."
        ),
    ]


class Pictures(_Model):
    """The explanation in pictures. They show the whole upright photograph, as a browser does."""

    thumbnail: Picture
    heat: Annotated[
        Picture | None, Field(description="Heat map, to be stretched over the photograph.")
    ]
    corners: Annotated[
        tuple[tuple[int, int], ...],
        Field(description="Upper left corners (y, x) of the judged crops, in pixels."),
    ]
    side: Annotated[int, Field(description="Side of the crops, in pixels.")]
    neutral: Annotated[float, Field(description="Score that is drawn white.")]
    span: Annotated[
        float, Field(description="Distance from neutral at which colours reach full strength.")
    ]
    key_crop: CropPictures | None
    evidence: EvidenceAnswer | None


class VerdictAnswer(_Model):
    """The verdict on one file: the record of a scan, and the likelihood ratio in words."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    file: str
    sha256: str | None
    verdict: Word
    top_class: Annotated[
        str | None,
        Field(
            description="For tasks with more than two classes: the likeliest class other than "
            "class 0."
        ),
    ]
    likelihood_ratio: Annotated[
        float | None,
        Field(
            description="Likelihood ratio of all other classes against the first; above 1 supports "
            "a recapture."
        ),
    ]
    log10_lr: float | None
    log10_lr_low: Annotated[
        float | None,
        Field(description="Lower end of the 95 % interval of log10_lr; null if not known."),
    ]
    log10_lr_high: Annotated[
        float | None, Field(description="Upper end of the 95 % interval of log10_lr.")
    ]
    certified_radius: Annotated[
        float | None,
        Field(
            description="Proven: no change of the decoded picture by up to this many levels "
            "changes the verdict; null if nothing is proven."
        ),
    ]
    score: Annotated[
        float | None, Field(description="Log odds that the photograph is not of the first class.")
    ]
    crops: int | None
    notes: list[str]
    reason: Annotated[str | None, Field(description="Why the verdict is undecided or error.")]
    width: int | None
    height: int | None
    format: str | None
    seconds: float | None
    detector: Annotated[str | None, Field(description="SHA-256 of the detector's bundle.")]
    support: Annotated[
        str | None,
        Field(
            description="Strength of support on the verbal scale of ENFSI 2015; null if there is "
            "no support or no ratio."
        ),
    ]
    in_figures: Annotated[
        str | None, Field(description="Likelihood ratio as people write it: 33, 1/14.")
    ]
    proof: Annotated[str, Field(description="Certified radius in words; may be empty.")]
    between: Annotated[
        str, Field(description="95 % interval of the ratio, to append to in_figures; may be empty.")
    ]
    in_words: str | None
    propositions: Annotated[
        tuple[str, str],
        Field(
            description="The two propositions that the ratio compares: the first against the "
            "second."
        ),
    ]
    pictures: Pictures | None


class Verdicts(_Model):
    """One verdict per file, in the order of the files."""

    verdicts: list[VerdictAnswer]


class Said(_Model):
    """A detector's verdict on one version of a photograph."""

    verdict: Word
    score: float | None
    log10_lr: float | None
    reason: Annotated[str, AfterValidator(sanitize)] | None

    @computed_field(description="Likelihood ratio as people write it: 33, 1/14.")  # type: ignore[prop-decorator]
    @property
    def in_figures(self) -> str | None:
        return None if self.log10_lr is None else in_figures(self.log10_lr)


class AttackAnswer(_Model):
    """The result of a white-box attack on a photograph: the attacker knows the detector."""

    method: Method
    budget: Annotated[float, Field(description="Largest allowed change of a value, in levels.")]
    detector: DetectorName
    away_from: Annotated[
        str,
        Field(
            max_length=100,
            description="The class the detector favoured; the attack leads away from it.",
        ),
    ]
    before: Said
    after: Annotated[
        Said,
        Field(description="Verdict on the attacked photograph, rounded to bytes and judged anew."),
    ]
    whole: Annotated[
        bool, Field(description="Whether the whole photograph was attacked, not only its crops.")
    ]
    crops: Annotated[int, Field(description="Number of crops judged before the attack.")]
    crops_kept: Annotated[
        int, Field(description="Number of crops judged both before and after the attack.")
    ]
    side: int
    corner: Annotated[
        tuple[int, int], Field(description="Upper left corner (y, x) of the crop shown.")
    ]
    gain: Annotated[int, Field(description="Factor by which the noise shown is multiplied.")]
    decibels: Annotated[
        float | None,
        Field(description="PSNR of the attacked part, in dB; null if nothing changed."),
    ]
    largest_change: float
    share_changed: float
    note: Annotated[
        str | None,
        Field(
            description="For a budget that is not a whole number: how much of it is lost in a file."
        ),
    ]
    seconds: float
    pictures: dict[Literal["before", "noise", "after"], Picture]


class DetectorAnswer(_Model):
    """One of the two detectors of this server."""

    name: DetectorName
    sha256: str
    card: Card

    @computed_field(description="Verdicts for the first class, and for all others.")  # type: ignore[prop-decorator]
    @property
    def words(self) -> tuple[str, str]:
        return self.card.words.verdicts


class Health(_Model):
    """The state of the service."""

    status: Literal["ok"]
    version: str
    workers: int
    taken: Annotated[int, Field(description="Number of requests in progress or waiting.")]
    places: Annotated[
        int, Field(description="Maximum number of requests taken; further ones are refused.")
    ]


class Problem(BaseModel):
    """A problem as in RFC 9457: what cannot be done, and why."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:trueshot:problem:file",
                    "title": "Unsupported Media Type",
                    "status": 415,
                    "detail": "note.txt: is no image; convert it to one of JPEG, PNG, WebP, "
                    "TIFF, BMP, GIF, HEIC or AVIF",
                }
            ]
        },
    )

    type: str
    title: str
    status: int
    detail: str


def verdict_answer(verdict: Verdict, explanation: Explanation | None) -> VerdictAnswer:
    """Return the answer for a verdict, with words and pictures added."""
    words = verdict.task.words
    return VerdictAnswer(
        **verdict.as_record(),
        **_in_words(verdict.verdict, verdict.log10_lr, words),
        between=between(verdict.log10_lr_interval),
        proof=proof_in_words(verdict.certified_radius),
        propositions=propositions(words),
        pictures=None if explanation is None else _pictures(explanation),
    )


def _in_words(verdict: str, log10_lr: float | None, wording: Wording) -> dict[str, Any]:
    if log10_lr is None:
        return {"support": None, "in_figures": None, "in_words": None}
    words = f"{in_words(log10_lr, wording)} {beside_verdict(verdict, log10_lr, wording)}".rstrip()
    return {"support": support(log10_lr), "in_figures": in_figures(log10_lr), "in_words": words}


def attack_answer(answer: Answer, **asked: Any) -> AttackAnswer:
    """Combine a worker's answer about an attack with the parameters of the request.

    Raises:
        ValueError: The worker's answer is invalid.
    """
    shown = {name: data_uri(data) for name, data in answer.attached.items()}
    return AttackAnswer.model_validate({**answer.content, **asked, "pictures": shown})


def data_uri(data: bytes) -> str:
    """Return a picture as a data URI."""
    kind = "png" if data.startswith(b"\x89PNG") else "webp" if data.startswith(b"RIFF") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _pictures(explanation: Explanation) -> Pictures:
    key_crop = explanation.key_crop
    return Pictures(
        thumbnail=data_uri(explanation.thumbnail),
        heat=data_uri(explanation.heat) if explanation.heat else None,
        corners=tuple(_corner(spot) for spot in explanation.judged),
        side=explanation.side,
        neutral=explanation.neutral,
        span=explanation.span,
        key_crop=_crop_pictures(key_crop) if key_crop else None,
        evidence=_evidence(explanation.evidence) if explanation.evidence else None,
    )


def _evidence(shown: EvidenceShown) -> EvidenceAnswer:
    return EvidenceAnswer(
        contributions=dict(shown.contributions),
        looks_like=shown.looks_like,
        outline=shown.outline,
        share=shown.share,
        period=None if shown.lattice is None else shown.lattice.period,
    )


def _crop_pictures(key_crop: KeyCrop) -> CropPictures:
    return CropPictures(
        corner=_corner(key_crop.spot),
        score=key_crop.spot.score,
        crop=data_uri(key_crop.crop),
        seen=data_uri(key_crop.seen),
        kind=key_crop.kind,
    )


def _corner(spot: CropScore) -> tuple[int, int]:
    return spot.y, spot.x
