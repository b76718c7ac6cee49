"""The handler in a worker process: reads a photograph, judges it, and returns a plain record."""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Callable, Mapping
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
from trueshot.scanning.archives import Member, read_member
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

Explain = Callable[[ImageFile, "Prediction", bytes], Mapping[str, bytes]]


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
    handler = examiner(
        predictor, detector, settings["pixel_limit"], explainer(predictor), predictor.notes
    )
    return handler, {"detector": detector, "task": predictor.card.decides.facts()}


def explainer(predictor: Predictor) -> Explain:
    """Return a function that explains a prediction for a file, as bytes by name."""

    def explained(image: ImageFile, prediction: Prediction, data: bytes) -> dict[str, bytes]:
        from trueshot.images.provenance import claims_of
        from trueshot.inference.explaining import explain

        shown = explain(predictor, image.pixels, prediction)
        return {EXPLANATION: replace(shown, claims=claims_of(data, image.facts)).to_bytes()}

    return explained


def examiner(
    predictor: Predictor,
    detector: str,
    pixel_limit: int = DEFAULT_PIXEL_LIMIT,
    explain: Explain | None = None,
    notes: tuple[str, ...] = (),
) -> Handler:
    """Return a handler that judges with this predictor.

    A request has `name`, the name in the verdict; `path`; `member`, the place in the archive
    `path`, or None; `explain`, whether to return an explanation; and `thumbnail`, whether to
    return a thumbnail. An attached `data` is judged instead of the file. The answer has
    `verdict`, a record, and `final`: whether the same bytes will always get it, whatever the
    limits are.

    Args:
        predictor: Judges pixels.
        detector: SHA-256 of its bundle.
        pixel_limit: As in `read_image`.
        explain: Makes explanations, as bytes by name.
        notes: Notes to add to every verdict.
    """

    def handle(request: dict[str, Any], attached: Attached) -> tuple[dict[str, Any], Attached]:
        started = time.perf_counter()
        said: dict[str, Any] = {"file": request["name"], "detector": detector}
        final, blobs = False, dict[str, bytes]()
        try:
            data = attached["data"] if "data" in attached else _read(request, pixel_limit)
            final = True
            image = _image(data, request["name"], pixel_limit, said)
            prediction = predictor.predict(image)
            said |= _findings(image, prediction) | {"notes": image.notes + prediction.notes + notes}
            if request.get("thumbnail"):
                blobs[THUMBNAIL] = _thumbnail(image)
            if request.get("explain") and explain is not None:
                blobs |= explain(image, prediction, data)
        except ImageFileError as error:
            final = final and isinstance(error, _FINAL)
            said |= {"verdict": FAILED, "reason": _ADDRESS.sub("", error.reason)}
        said["seconds"] = round(time.perf_counter() - started, 6)
        return {"verdict": said, "final": final}, blobs

    return handle


def _thumbnail(image: ImageFile) -> bytes:
    from trueshot.images.writing import row_thumbnail

    return row_thumbnail(image.pixels)


def _image(data: bytes, name: str, pixel_limit: int, said: dict[str, Any]) -> ImageFile:
    """Decode the photograph; the hash of its bytes is recorded in `said` even if that fails."""
    try:
        image = read_image_bytes(data, name, pixel_limit=pixel_limit)
    except ImageFileError:
        said["sha256"] = hashlib.sha256(data).hexdigest()
        raise
    said["sha256"] = image.facts.sha256
    return image


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
