"""The handler in a worker process: reads a photograph, judges it, and returns a plain record."""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from trueshot.bundle import bundle_sha256
from trueshot.calibration.verbal_scale import BETWEEN_THRESHOLDS
from trueshot.errors import (
    EmptyFileError,
    ImageFileError,
    NotAnImageError,
    TruncatedImageError,
)
from trueshot.images import DEFAULT_PIXEL_LIMIT, ImageFile, read_image_bytes
from trueshot.images.opening import read_bytes
from trueshot.images.orientation import upright
from trueshot.images.writing import row_thumbnail
from trueshot.scanning.archives import read_member
from trueshot.scanning.item import Member
from trueshot.scanning.verdict import EXPLANATION, THUMBNAIL
from trueshot.tasks.task import FAILED, UNDECIDED

if TYPE_CHECKING:
    from trueshot.engines.fork_server import Attached, Handler
    from trueshot.inference import Prediction, Predictor

# Memory addresses in messages of libraries, which differ in each run.
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")

# Errors in the bytes themselves. Other errors depend on limits, memory or installed software, so
# the file may be judged once these change.
_FINAL = (EmptyFileError, NotAnImageError, TruncatedImageError)


def load(settings: Mapping[str, Any]) -> tuple[Handler, dict[str, Any]]:
    """Load a detector and prepare to judge with it; a loader for `Pool`.

    Args:
        settings: `bundle`: path of a bundle, or name of one that is sent along; `pixel_limit`, as
            in `read_image`; `explain`: whether to prepare for explanations, too.

    Returns:
        A handler for the requests that `examiner` describes, and facts: `detector`, SHA-256 of the
        bundle, and `task`, what it decides.

    Raises:
        BundleError: The bundle cannot be read, or cannot judge photographs.
    """
    from trueshot.inference import Predictor

    if settings.get("explain"):  # imported once, before the workers are forked
        import trueshot.inference.explaining  # noqa: F401
    predictor = Predictor.load(settings["bundle"])
    detector = bundle_sha256(settings["bundle"])
    handler = examiner(predictor, detector, settings["pixel_limit"])
    return handler, {"detector": detector, "task": predictor.card.decides.facts()}


def examiner(
    predictor: Predictor, detector: str, pixel_limit: int = DEFAULT_PIXEL_LIMIT
) -> Handler:
    """Return a handler that judges with this predictor.

    A request has `name`, the name in the verdict; `path`; `member`, the place in the archive
    `path`, or None; `explain`, whether to return an explanation; and `thumbnail`, whether to
    return a thumbnail. An attached `data` is judged instead of the file. The answer has
    `verdict`, a record; `final`: whether the same bytes will always get it, whatever the limits
    are; and `error`, the type of the error if the file cannot be judged.

    Args:
        predictor: Judges pixels.
        detector: SHA-256 of its bundle.
        pixel_limit: As in `read_image`.
    """

    def handle(request: dict[str, Any], attached: Attached) -> tuple[dict[str, Any], Attached]:
        started = time.perf_counter()
        said: dict[str, Any] = {"file": request["name"], "detector": detector}
        answer: dict[str, Any] = {"verdict": said, "final": False}
        blobs: Attached = {}
        try:
            data = attached["data"] if "data" in attached else _read(request, pixel_limit)
            answer["final"] = True
            image = read_image_bytes(data, request["name"], pixel_limit=pixel_limit)
            prediction = predictor.predict(image)
            said |= _findings(image, prediction)
            said["notes"] = image.notes + prediction.notes + predictor.notes
            if request.get("thumbnail"):
                blobs[THUMBNAIL] = row_thumbnail(image.pixels)
            if request.get("explain"):
                blobs[EXPLANATION] = _explanation(predictor, image, prediction, data)
        except ImageFileError as error:
            if answer["final"]:
                said.setdefault("sha256", hashlib.sha256(data).hexdigest())
            answer["final"] &= isinstance(error, _FINAL)
            answer["error"] = type(error).__name__
            said |= {"verdict": FAILED, "reason": _ADDRESS.sub("", error.reason)}
        said["seconds"] = round(time.perf_counter() - started, 6)
        return answer, blobs

    return handle


def _explanation(
    predictor: Predictor, image: ImageFile, prediction: Prediction, data: bytes
) -> bytes:
    from trueshot.images.provenance import claims_of
    from trueshot.inference.explaining import explain

    shown = explain(predictor, image.pixels, prediction)
    return replace(shown, claims=claims_of(data, image.facts)).to_bytes()


def _read(request: Mapping[str, Any], pixel_limit: int) -> bytes:
    if request["member"] is not None:
        return read_member(request["path"], Member(**request["member"]))
    return read_bytes(request["path"], pixel_limit)


def _findings(image: ImageFile, prediction: Prediction) -> dict[str, Any]:
    reason = "; ".join(prediction.reasons) or None
    if prediction.verdict == UNDECIDED and reason is None:
        reason = BETWEEN_THRESHOLDS
    height, width = upright(image.stored, image.facts.orientation).shape[:2]
    low, high = prediction.log10_lr_interval or (None, None)
    return {
        "sha256": image.facts.sha256,
        "verdict": prediction.verdict,
        "top_class": prediction.top_class,
        "log10_lr": prediction.log10_lr,
        "log10_lr_low": low,
        "log10_lr_high": high,
        "certified_radius": prediction.certified_radius,
        "score": prediction.score if math.isfinite(prediction.score or 0) else None,
        "crops": len(prediction.scores),
        "features": prediction.features,
        "reason": reason,
        "width": width,
        "height": height,
        "format": image.facts.format,
    }
