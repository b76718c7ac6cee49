"""Error answers in the format of RFC 9457, "Problem Details for HTTP APIs"."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"


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


def too_large(limit: int) -> ProblemError:
    """Return the problem of a body longer than `limit` bytes."""
    detail = f"a request may have at most {limit:,} bytes; send fewer or smaller files at once"
    return ProblemError(413, "too-large", detail)
