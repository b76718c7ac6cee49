"""Middleware that answers requests which are cancelled when the service stops."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trueshot.web.problems import ProblemError


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
