"""What is answered when something cannot be done: RFC 9457, "Problem Details for HTTP APIs"."""

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
        status: Of HTTP.
        detail: What is wrong and what to do, a sentence.
        kind: Names the kind of problem: "too-large" and the like.
        headers: More of the answer's.
        more: Further members of the answer.
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
        """The answer."""
        content = {
            "type": f"urn:trueshot:problem:{self.kind}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            **self.more,
        }
        return JSONResponse(content, self.status, self.headers, MEDIA_TYPE)


def busy() -> ProblemError:
    """The queue is full."""
    return ProblemError(
        503,
        "busy",
        "as many photographs as may wait are waiting; try again in a moment",
        {"Retry-After": str(_SECONDS_TO_COME_BACK)},
    )


def too_large(limit: int) -> ProblemError:
    """The body is longer than it may be."""
    detail = f"a request may have {limit:,} bytes at most; send fewer or smaller files at once"
    return ProblemError(413, "too-large", detail)


def answer_with_problems(app: FastAPI) -> None:
    """Have every refusal of an application, its own and the framework's, answered in this form."""
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
    detail = "something that was not foreseen; the log of the server says what"
    # It passes by the guard, and its connection is closed.
    headers = {**HEADERS, "Connection": "close"}
    return ProblemError(500, "unforeseen", detail, headers).response()
