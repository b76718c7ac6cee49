"""Middleware that reads the rest of a request that was answered early, so the answer arrives."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send


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
