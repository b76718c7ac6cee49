"""Error answers in the format of RFC 9457, "Problem Details for HTTP APIs"."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from trueshot.web.headers import HEADERS

MEDIA_TYPE = "application/problem+json"
_SECONDS_TO_COME_BACK = 2


class ProblemError(Exception):
    """A request that is refused.

    Args:
        status: HTTP status.
        kind: Kind of problem, such as "too-large".
        detail: What is wrong and what to do, in a sentence.
        headers: Additional headers of the answer.
        more: Additional members of the answer.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more

    def response(self) -> JSONResponse:
        """Return the answer to send."""
        content = {
            "type": f"urn:trueshot:problem:{self.kind}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            **self.more,
        }
        return JSONResponse(content, self.status, self.headers, MEDIA_TYPE)


def busy() -> ProblemError:
    """Return the problem of a full queue."""
    return ProblemError(
        503,
        "busy",
        "the queue is full; try again in a moment",
        {"Retry-After": str(_SECONDS_TO_COME_BACK)},
    )


def too_large(limit: int) -> ProblemError:
    """Return the problem of a body longer than `limit` bytes."""
    detail = f"a request may have at most {limit:,} bytes; send fewer or smaller files at once"
    return ProblemError(413, "too-large", detail)


def answer_with_problems(app: FastAPI) -> None:
    """Register handlers, so that all errors of an application are answered in this format."""
    app.add_exception_handler(ProblemError, _own)
    app.add_exception_handler(HTTPException, _of_framework)
    app.add_exception_handler(RequestValidationError, _of_arguments)
    app.add_exception_handler(ClientDisconnect, _to_nobody)
    app.add_exception_handler(Exception, _unforeseen)


async def _own(_: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return error.response()


async def _of_framework(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    problem = ProblemError(error.status_code, "http", str(error.detail), error.headers)
    return problem.response()


async def _of_arguments(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in error.errors()]
    return ProblemError(422, "arguments", "; ".join(faults)).response()


async def _to_nobody(_: Request, __: Exception) -> Response:
    return Response(status_code=400)


async def _unforeseen(_: Request, __: Exception) -> Response:
    detail = "unexpected error; see the log of the server"
    # This answer does not pass through the middleware, and the connection is closed.
    headers = {**HEADERS, "Connection": "close"}
    return ProblemError(500, "unforeseen", detail, headers).response()
