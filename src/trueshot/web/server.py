"""Run the service: uvicorn on one address, with time limits for slow clients."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import sys
import termios
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from trueshot.bundle import is_onnx, read_card
from trueshot.errors import BundleError, RunError
from trueshot.files import check_destinations
from trueshot.web.app import create_app
from trueshot.web.service import KEPT_VERDICTS, Service
from trueshot.web.settings import ServiceSettings

_SECONDS_BETWEEN = 10.0  # limit for the head of a request, since connecting or the previous answer
_SECONDS_TO_END = 5
_SPARE_CONNECTIONS = 64
_BACKLOG = 128


def serve(accurate: Path, robust: Path, settings: ServiceSettings) -> None:
    """Serve until interrupted, which is the usual end; say the address on standard error.

    Args:
        accurate: Bundle of the detector that judges by default.
        robust: Bundle of the detector that resists attacks.
        settings: Address to listen on, and limits.

    Raises:
        BundleError: A bundle cannot be read or does not judge photographs, or the two have
            different classes.
        RunError: The service cannot listen on the address, or write to the folder for uploads.
    """
    classes = []
    for bundle in (accurate, robust):
        if is_onnx(bundle):
            reason = "an ONNX file has no gradient, so the page could not attack it"
            raise BundleError(f"{bundle}: {reason}; give the bundle that it was exported from")
        classes.append(read_card(bundle).classes)
    if classes[0] != classes[1]:
        ours, theirs = (", ".join(each[:3]) for each in classes)
        raise BundleError(
            f"{accurate} has the classes {ours}, but {robust} has {theirs}: give a robust detector "
            "with the same classes, or the same bundle twice, because the page compares the two"
        )
    if settings.keep is not None:
        check_destinations(settings.keep / KEPT_VERDICTS)
    with _listening(settings) as listener, suppress(KeyboardInterrupt):
        port = listener.getsockname()[1]
        for line in warnings_of(settings):
            _say(line)
        app = create_app(accurate, robust, settings)
        service: Service = app.state.service
        try:
            service.start()
            shown = f"[{settings.host}]" if ":" in settings.host else settings.host
            _say(f"listening on http://{shown}:{port}/ until interrupted")
            uvicorn.Server(config(app, settings)).run(sockets=[listener])
        finally:
            service.stop()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def config(app: Any, settings: ServiceSettings) -> uvicorn.Config:
    """Return the configuration of uvicorn for the application."""
    return uvicorn.Config(
        app,
        http=TimeoutProtocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=int(_SECONDS_BETWEEN),
        timeout_graceful_shutdown=_SECONDS_TO_END,
        limit_concurrency=2 * (settings.at_once + settings.queue) + _SPARE_CONNECTIONS,
        backlog=_BACKLOG,
    )


class TimeoutProtocol(H11Protocol):
    """uvicorn's protocol, but with time limits for the head of a request and for reading answers.

    A client that reads slowly is not cut off as long as it has read something since the last check.
    """

    _patience: asyncio.TimerHandle | None = None
    _unread = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start waiting for a request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._wait_no_more()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Stop waiting once the head of a request has arrived; its body has its own limit."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before and not self.flow.write_paused:
            self._wait_no_more()

    def pause_writing(self) -> None:
        """Start waiting for the client to read: no answer goes on, or begins, before it does."""
        super().pause_writing()
        self._wait()

    def resume_writing(self) -> None:
        """Stop waiting, unless for the next request."""
        super().resume_writing()
        if self.cycle is not None and not self.cycle.response_complete:
            self._wait_no_more()

    def on_response_complete(self) -> None:
        """Start waiting for the next request, and for the client to read this answer."""
        self._wait()
        super().on_response_complete()

    def _wait(self) -> None:
        self._wait_no_more()
        self._unread = self._left_to_read()
        self._patience = self.loop.call_later(_SECONDS_BETWEEN, self._look)

    def _look(self) -> None:
        before, self._unread = self._unread, self._left_to_read()
        if self._unread < before:
            self._patience = self.loop.call_later(_SECONDS_BETWEEN, self._look)
        else:
            self.transport.abort()

    def _left_to_read(self) -> int:
        """Return the bytes of answers that are unsent or, if the system tells, not acknowledged."""
        left = self.transport.get_write_buffer_size()
        connection = self.transport.get_extra_info("socket")
        # The system's own buffer holds megabytes, and may accept nothing more for a while.
        with suppress(OSError, ValueError, AttributeError):
            held = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
            left += int.from_bytes(held, sys.byteorder)
        return left

    def _wait_no_more(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


def _listening(settings: ServiceSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host.strip("[]"), settings.port))
        listener.listen(_BACKLOG)  # connections made before the server runs have to wait
    except (OSError, UnicodeError) as error:  # UnicodeError: an invalid host name
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise RunError(
            f"{settings.host}:{settings.port}: cannot listen on this address ({reason}); "
            "choose another --host or --port"
        ) from error
    return listener


def warnings_of(settings: ServiceSettings) -> list[str]:
    """Return warnings and hints for the person who starts the service with these settings."""
    found = []
    if not settings.is_private:
        found.append(
            f"warning: {settings.host} can be reached from other machines, without encryption or "
            "a password; put a reverse proxy with both in front of it"
        )
    if settings.keep is not None:
        found.append(f"uploads and verdicts are kept in {settings.keep}")
    return found
