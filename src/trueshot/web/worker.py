"""The handler in a worker process of the service: it judges or attacks one photograph."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from trueshot.bundle import bundle_sha256
from trueshot.errors import BundleError, ImageFileError
from trueshot.images import read_image_bytes
from trueshot.inference import Prediction, Predictor
from trueshot.scanning.worker import examiner
from trueshot.web.schemas import ACCURATE, ROBUST

if TYPE_CHECKING:
    from trueshot.engines.fork_server import Attached, Handler
    from trueshot.web.attacking import AttackedPhotograph

Bytes = npt.NDArray[np.uint8]

_GREY, _WHITE = 128, 127


@dataclass(frozen=True, eq=False)
class LoadedDetector:
    """A detector that is ready to judge and, if PyTorch is installed, to be attacked."""

    predictor: Predictor
    attacked: Any  # the attackable module, or a text that says why there is none
    examine: Handler
    pixel_limit: int


def load(settings: Mapping[str, Any]) -> tuple[Handler, dict[str, Any]]:
    """Load both detectors; a loader for `Pool`.

    Args:
        settings: `accurate` and `robust`: paths of bundles; `pixel_limit`, as in `read_image`.

    Returns:
        A handler of requests, and facts: `sha256` and `card` of each detector, by its name.

        A request has `do`, "judge" or "attack"; `detector`; `name`; and the bytes of the file
        attached as `data`. Judging also needs `explain`, attacking `method` and `budget`. The
        answer to an attack that cannot be made has `refused`, the reason; and every answer about
        a file that cannot be read has `error`, the type of the error.

    Raises:
        BundleError: A bundle cannot be read, or cannot judge photographs.
    """
    import trueshot.inference.explaining  # noqa: F401 (once, before workers are forked)

    loaded: dict[str, LoadedDetector] = {}
    facts: dict[str, Any] = {}
    for name in (ACCURATE, ROBUST):
        bundle, pixel_limit = settings[name], settings["pixel_limit"]
        sha256, predictor = bundle_sha256(bundle), Predictor.load(bundle)
        examine = examiner(predictor, sha256, pixel_limit)
        attacked = _attackable(bundle, predictor)
        loaded[name] = LoadedDetector(predictor, attacked, examine, pixel_limit)
        facts[name] = {"sha256": sha256, "card": predictor.card.model_dump(mode="json")}

    def handle(request: dict[str, Any], attached: Attached) -> tuple[dict[str, Any], Attached]:
        detector = loaded[request["detector"]]
        if request["do"] == "attack":
            return _attack(detector, request, attached["data"])
        return detector.examine(request, attached)

    return handle, facts


def _attackable(bundle: str, predictor: Predictor) -> Any:
    """Return the attackable module, or why there is none; only this needs PyTorch."""
    if find_spec("torch") is None:
        return "attacks need PyTorch, which is not installed: pip install 'trueshot[train]'"
    import torch

    from trueshot.web.attacking import attackable

    torch.set_num_threads(1)
    try:
        return attackable(bundle, predictor)
    except BundleError as error:
        return f"this detector cannot be attacked: {error}"


def _attack(
    detector: LoadedDetector, request: Mapping[str, Any], data: bytes
) -> tuple[dict[str, Any], Attached]:
    if isinstance(detector.attacked, str):
        return {"refused": detector.attacked}, {}
    from trueshot.attacks import lost_in_file
    from trueshot.web.attacking import attack_named, attack_photograph

    started = time.perf_counter()
    attack = attack_named(request["method"], request["budget"])
    try:
        image = read_image_bytes(data, request["name"], pixel_limit=detector.pixel_limit)
        found = attack_photograph(detector.predictor, detector.attacked, image, attack)
    except ImageFileError as error:
        return {"refused": error.reason, "error": type(error).__name__}, {}
    except ValueError as error:  # no crop to attack, or too large
        return {"refused": f"cannot be attacked: {error}"}, {}
    content, pictures = _told(found, image.pixels, request["budget"])
    content["note"] = lost_in_file(request["budget"]) or None
    return content | {"seconds": round(time.perf_counter() - started, 6)}, pictures


def _told(
    found: AttackedPhotograph, pixels: Bytes, budget: float
) -> tuple[dict[str, Any], Attached]:
    side = found.before.side
    (top, left) = found.corner
    place = np.s_[top : top + side, left : left + side]
    gain = int(_WHITE // max(1.0, budget))  # the largest that keeps the noise within the levels
    noise = found.pixels[place].astype(np.int16) - pixels[place]
    content = {
        "away_from": found.away_from,
        "whole": found.whole,
        "before": _said(found.before),
        "after": _said(found.after),
        "crops": len(found.before.corners),
        "crops_kept": len({*found.before.corners} & {*found.after.corners}),
        "side": side,
        "corner": [top, left],
        "gain": gain,
        "decibels": found.decibels,
        "largest_change": found.largest_change,
        "share_changed": found.share_changed,
    }
    return content, {
        "before": png(pixels[place]),
        "noise": png(np.clip(_GREY + gain * noise, 0, 255).astype(np.uint8)),
        "after": png(found.pixels[place]),
    }


def _said(prediction: Prediction) -> dict[str, Any]:
    return {
        "verdict": prediction.verdict,
        "score": prediction.score,
        "log10_lr": prediction.log10_lr,
        "reason": "; ".join(prediction.reasons) or None,
    }


def png(pixels: Bytes) -> bytes:
    """Return a PNG file of RGB bytes, shape (h, w, 3)."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
