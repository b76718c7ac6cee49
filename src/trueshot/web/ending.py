"""Answers to what a service that ends waits for no longer."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trueshot.web.problems import ProblemError


class EndingApp:
    """Answers 503 in place of what was cancelled; without it the log would show an error.

    Args:
        app: What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
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
            problem = ProblemError(503, "ending", "the service is being stopped; try again later")
            await problem.response()(scope, receive, send)
