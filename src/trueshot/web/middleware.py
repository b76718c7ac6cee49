"""Middleware that checks who may send requests, and adds the security headers to every answer."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trueshot.web.headers import HEADERS
from trueshot.web.problems import ProblemError

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
