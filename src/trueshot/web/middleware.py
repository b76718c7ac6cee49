"""What stands in front of the routes: who may ask, security headers, and answers to errors."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trueshot.web.problems import ProblemError

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), usb=()",
    "X-Robots-Tag": "noindex",
    "Cache-Control": "no-store",
}
"""Security headers of every answer, which restrict what the browser may do."""

_HARMLESS = ("GET", "HEAD", "OPTIONS")
_ONCE = ("host", "origin", "sec-fetch-site", "content-type", "content-length")


class SameOriginGuard:
    """Accepts requests from this server's own page, or from programs, under this server's name.

    Pages of other sites can make a browser send requests here. They are recognised by the `Host`
    header, if their own name was made to point here (DNS rebinding), and otherwise by their origin.

    Args:
        app: Application that answers.
        hosts: Accepted host names, in lower case.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or refuse a request, with the security headers."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            problem = self._problem(scope["method"], Headers(scope=scope))
            app = self._app if problem is None else problem.response()
            if scope["method"] == "HEAD":  # handled as GET; the server sends only the headers
                scope = {**scope, "method": "GET"}
            await app(scope, receive, _with_headers(send))

    def _problem(self, method: str, headers: Headers) -> ProblemError | None:
        for name in _ONCE:
            if len(headers.getlist(name)) > 1:  # ambiguous
                return ProblemError(400, "header", f"the header {name} was sent more than once")
        asked = headers.getlist("host")
        if len(asked) != 1 or host_name(asked[0]) not in self._hosts:
            return ProblemError(
                421, "host", "this host name is not allowed; see the option --allow-host"
            )
        if method in _HARMLESS:
            return None
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        elsewhere = origin is not None and _place_of(origin) != asked[0].lower()
        if elsewhere or site not in (None, "same-origin", "none"):
            return ProblemError(403, "origin", "requests from pages of other sites are not allowed")
        return None


def host_name(host: str) -> str:
    """Return the name in a Host header, lower-case, without port and brackets; "" if invalid."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _place_of(origin: str) -> str:
    """Return host and port of an origin, in lower case; "" if invalid."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            for name, value in HEADERS.items():
                headers[name] = value
        await send(message)

    return sending


class DrainingApp:
    """Answers at once, and reads the rest of the body before the connection may be closed.

    If a connection is closed with unread bytes in it, it is reset, and the reset discards an answer
    that the client has not read yet: most clients send everything before they look for an answer.

    Args:
        app: Application that answers, and may leave the body unread.
        seconds: Time limit for the rest of the body to arrive.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and drain the body before the answer ends."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(receive, Headers(scope=scope))

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                wanted = Headers(raw=message.get("headers", []))
                body.is_over |= wanted.get("connection", "").lower() == "close"
            is_last = message["type"] == "http.response.body" and not message.get("more_body")
            if not is_last or body.is_over:
                await send(message)
                return
            await send({**message, "more_body": True})  # the client can read the answer now
            with suppress(TimeoutError):
                async with asyncio.timeout(self._seconds):
                    await body.drain()
            await send({"type": "http.response.body", "body": b""})

        await self._app(scope, body.receive, sending)


class _Body:
    """The body of a request, and whether there is more to read.

    Attributes:
        is_over: Whether to stop reading: the body has ended, or its client waits for permission to
            send it (`Expect`), or the answer closes the connection.
    """

    def __init__(self, receive: Receive, headers: Headers) -> None:
        self._receive = receive
        has_none = "content-length" not in headers and "transfer-encoding" not in headers
        self.is_over = has_none or "expect" in headers

    async def receive(self) -> Message:
        message = await self._receive()
        self.is_over = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def drain(self) -> None:
        while not self.is_over:
            await self.receive()


class EndingApp:
    """Answers 503 to cancelled requests; without it, the log would show an error.

    Args:
        app: Application that answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, with 503 if the application is cancelled before it begins."""
        has_begun = False

        async def sending(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except asyncio.CancelledError:
            if has_begun or scope["type"] != "http":
                raise
            problem = ProblemError(503, "ending", "the service is shutting down; try again later")
            await problem.response()(scope, receive, send)


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
