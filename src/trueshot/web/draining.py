"""Reading what is left of a request that was answered early, so that its answer arrives."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class DrainingApp:
    """Answers at once, and reads the rest of the body before the connection may be closed.

    A connection that is closed while bytes lie in it unread is reset, and the reset deletes the
    answer that its client has not read yet: most clients send all, and look for an answer then.

    Args:
        app: What answers, and may leave the body unread.
        seconds: That the rest of the body may take to arrive.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
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
            await send({**message, "more_body": True})  # the client has it, if it looks
            with suppress(TimeoutError):
                async with asyncio.timeout(self._seconds):
                    await body.drain()
            await send({"type": "http.response.body", "body": b""})

        await self._app(scope, body.receive, sending)


class _Body:
    """What comes of a request, and whether something is still to come.

    Attributes:
        is_over: Whether nothing more is to be read: it is at its end, or its client waits to be
            told to send it, or is told to go.
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
