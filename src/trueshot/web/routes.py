"""The HTTP routes: verdicts, attacks, reports, detectors and health."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from trueshot import __version__
from trueshot.files import sanitize
from trueshot.web.problems import MEDIA_TYPE, ProblemError
from trueshot.web.schemas import (
    ACCURATE,
    MOST_LEVELS,
    ROBUST,
    AttackAnswer,
    DetectorAnswer,
    DetectorName,
    Health,
    Method,
    Verdicts,
    attack_answer,
    verdict_answer,
)
from trueshot.web.service import Service, while_wanted
from trueshot.web.uploads import Upload, media_type, read_uploads


async def _known_arguments(request: Request) -> None:
    """Refuse unknown or repeated query parameters, such as a misspelt `detecter=robust`."""
    known = [each.alias for each in request.scope["route"].dependant.query_params]
    for name, times in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in known:
            what = f"is not a parameter; choose from: {', '.join(known) or 'none'}"
        elif times > 1:
            what = "is given more than once"
        else:
            continue
        raise ProblemError(
            422, "arguments", f"{sanitize(name, 100) or 'a parameter without a name'} {what}"
        )


router = APIRouter(prefix="/v1", dependencies=[Depends(_known_arguments)])

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_ONE = {"application/octet-stream": _BINARY, "image/*": _BINARY}
_FORM = {
    "schema": {
        "type": "object",
        "properties": {
            "file": {
                "type": "array",
                "items": {"type": "string", "contentMediaType": "image/*"},
                "minItems": 1,
            }
        },
        "required": ["file"],
    }
}
_SEVERAL = {"requestBody": {"required": True, "content": {**_ONE, "multipart/form-data": _FORM}}}
_MEANINGS = {
    400: "The form is invalid or incomplete, or a header was sent more than once.",
    403: "The request comes from a page of another site.",
    408: "The request arrived too slowly.",
    413: "Too many bytes, files or pixels.",
    415: "The type of the body, or of the file, is not supported.",
    421: "The host name is not allowed.",
    422: "The file is damaged, or a parameter is invalid.",
    503: "The queue is full, see `Retry-After`; or the service is shutting down.",
    504: "The photograph exceeded the time limit.",
}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": meaning,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, meaning in _MEANINGS.items()
}

Name = Annotated[
    str, Query(max_length=1000, description="Name of the file, if it is the whole body.")
]
Which = Annotated[DetectorName, Query(description="The detector.")]


@router.post("/verdicts", responses=_PROBLEMS, openapi_extra=_SEVERAL)
async def verdicts(
    request: Request,
    detector: Which = ACCURATE,
    pictures: Annotated[bool, Query(description="Whether to explain with pictures.")] = False,
    name: Name = "",
) -> Verdicts:
    """Judge photographs.

    If a file is the whole body and cannot be judged, the answer is a problem; in a form, such a
    file gets the verdict "error" among the others.
    """
    service = _service(request)
    with service.place():
        uploads = await read_uploads(request, service.settings, name)
        is_one = media_type(request) != "multipart/form-data"

        async def judged() -> Verdicts:
            answers = []
            for upload in uploads:
                verdict, explanation, status = await service.predict(upload, detector, pictures)
                answers.append(verdict_answer(verdict, explanation))
                if is_one and verdict.verdict == "error":
                    detail = f"{verdict.file}: {verdict.reason}"
                    more = {"verdict": answers[0].model_dump(mode="json")}
                    raise ProblemError(status, "file", detail, **more)
            return Verdicts(verdicts=answers)

        return await while_wanted(request, judged)


@router.post(
    "/attacks",
    responses=_PROBLEMS,
    openapi_extra={"requestBody": {"required": True, "content": _ONE}},
)
async def attacks(
    request: Request,
    method: Annotated[Method, Query(description="FGSM, LLCM (one step each) or PGD-10.")],
    budget: Annotated[float, Query(ge=0, le=MOST_LEVELS, description="Budget ε in levels.")],
    detector: Which = ACCURATE,
    name: Name = "",
) -> AttackAnswer:
    """Attack one photograph with white-box adversarial noise, and judge it again."""
    service = _service(request)
    with service.place():
        upload = _only(await read_uploads(request, service.settings, name))
        answer = await while_wanted(
            request, lambda: service.attack(upload, detector, method, budget)
        )
        try:
            return attack_answer(answer, method=method, budget=budget, detector=detector)
        except ValueError:
            detail = f"{upload.name}: its worker process sent an invalid answer"
            raise ProblemError(422, "file", detail) from None


@router.post(
    "/reports",
    responses=_PROBLEMS | {200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
    openapi_extra=_SEVERAL,
    response_class=HTMLResponse,
)
async def reports(request: Request, detector: Which = ACCURATE, name: Name = "") -> HTMLResponse:
    """Judge photographs, and return a report on them as one self-contained HTML page."""
    service = _service(request)
    with service.place():
        uploads = await read_uploads(request, service.settings, name)
        page = await while_wanted(request, lambda: service.report(uploads, detector))
    how = {"Content-Disposition": 'attachment; filename="trueshot-report.html"'}
    return HTMLResponse(page, headers=how)


@router.get("/detectors")
async def detectors(request: Request) -> list[DetectorAnswer]:
    """List the two detectors with their cards."""
    facts = _service(request).facts
    return [DetectorAnswer(name=name, **facts[name]) for name in (ACCURATE, ROBUST)]


@router.get("/health")
async def health(request: Request) -> Health:
    """Return the state of the service."""
    service = _service(request)
    return Health(
        status="ok",
        version=__version__,
        workers=service.settings.at_once,
        taken=service.taken,
        places=service.places,
    )


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _only(uploads: list[Upload]) -> Upload:
    if len(uploads) > 1:
        raise ProblemError(422, "form", "only one photograph can be attacked per request; send one")
    return uploads[0]
