"""Who may ask, and what every answer tells the browser it must not do."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trueshot.web.headers import HEADERS
from trueshot.web.problems import ProblemError

_HARMLESS = ("GET", "HEAD", "OPTIONS")
_ONCE = ("host", "origin", "sec-fetch-site", "content-type", "content-length")


class SameOriginGuard:
    """Lets through what a page of ours, or a program, asks of this server by its own name.

    A page elsewhere can make a browser send requests here. It is told apart by the host that it
    asks for, if its own name was made to point here (DNS rebinding), and by its origin otherwise.

    Args:
        app: What answers.
        hosts: Names by which it may be asked, in small letters.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, with the headers of every answer."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            problem = self._problem(scope["method"], Headers(scope=scope))
            app = self._app if problem is None else problem.response()
            if scope["method"] == "HEAD":  # as GET, of which the server sends the head alone
                scope = {**scope, "method": "GET"}
            await app(scope, receive, _with_headers(send))

    def _problem(self, method: str, headers: Headers) -> ProblemError | None:
        for name in _ONCE:
            if len(headers.getlist(name)) > 1:  # which of them counts is for nobody to guess
                return ProblemError(400, "header", f"the header {name} is given twice; give one")
        asked = headers.getlist("host")
        if len(asked) != 1 or host_name(asked[0]) not in self._hosts:
            return ProblemError(
                421, "host", "this name is none of this server's; see the option --allow-host"
            )
        if method in _HARMLESS:
            return None
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        elsewhere = origin is not None and _place_of(origin) != asked[0].lower()
        if elsewhere or site not in (None, "same-origin", "none"):
            return ProblemError(403, "origin", "pages of other sites may not ask this server")
        return None


def host_name(host: str) -> str:
    """The name in a Host header, without port and brackets, in small letters; "" if it is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _place_of(origin: str) -> str:
    """Host and port of an origin, in small letters; "" if it is none."""
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
