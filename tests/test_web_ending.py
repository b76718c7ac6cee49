"""What a service that ends answers to those that still wait."""

from __future__ import annotations

import asyncio
import json

import pytest
from starlette.types import Message, Receive, Scope, Send

from trueshot.web.middleware import EndingApp

HTTP = {"type": "http", "method": "POST", "path": "/", "headers": []}


def cancelled(scope: Scope, *, begins: bool) -> list[Message]:
    """What is sent by an application that would never end, and is cancelled."""
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("nothing is asked of the client")

    async def send(message: Message) -> None:
        sent.append(message)

    async def run() -> None:
        waits = asyncio.Event()

        async def endless(scope: Scope, receive: Receive, send: Send) -> None:
            if begins:
                await send({"type": "http.response.start", "status": 200, "headers": []})
            waits.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(EndingApp(endless)(scope, receive, send))
        await waits.wait()
        task.cancel()
        await task

    asyncio.run(run())
    return sent


def test_what_was_not_answered_when_the_service_ends_is_told_so() -> None:
    start, body = cancelled(HTTP, begins=False)
    assert start["status"] == 503
    assert "shutting down" in json.loads(body["body"])["detail"]


def test_an_answer_that_has_begun_is_not_begun_again() -> None:
    with pytest.raises(asyncio.CancelledError):
        cancelled(HTTP, begins=True)


def test_the_end_of_the_application_itself_is_no_request() -> None:
    with pytest.raises(asyncio.CancelledError):
        cancelled({"type": "lifespan"}, begins=False)
