"""Settings of the service: its address and its limits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from trueshot.engines.pool import DEFAULT_MEMORY, MOST_SECONDS, cores
from trueshot.errors import RunError
from trueshot.files import sanitize

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_WILDCARDS = ("", "0.0.0.0", "::")
_HOST = re.compile(r"[\w.-]+|\[?[0-9a-f:.]*:[0-9a-f:.]*:[0-9a-f:.]*\]?", re.ASCII | re.IGNORECASE)
_MOST = {  # far beyond sensible values, but safe for arithmetic and timeouts
    "max_upload_mb": 1e6,
    "max_megapixels": 1e6,
    "max_files": 1e6,
    "seconds": MOST_SECONDS,
    "upload_seconds": MOST_SECONDS,
    "workers": 1e6,
}


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """The address of the service, and its limits.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 selects a free one.
        allowed_hosts: Accepted host names besides `host` and those of the loopback interface.
            Requests under any other name that points here are refused.
        max_upload_mb: Maximum size of one request, in million bytes.
        max_megapixels: Maximum size of one photograph, in million pixels.
        max_files: Maximum number of photographs in one request.
        seconds: Time limit of a worker for one photograph.
        upload_seconds: Time limit for a request to arrive.
        workers: Number of photographs judged or attacked concurrently; by default all cores.
        queue: Number of requests that may wait; more are refused with "503, come back later".
        memory: Bytes a worker may allocate on top of what the loader uses; None means no limit.
        keep: Folder in which uploads and verdicts are stored; by default nothing is.

    Raises:
        RunError: A limit is out of range, or an allowed host is not a host name.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    allowed_hosts: tuple[str, ...] = ()
    max_upload_mb: float = 50.0
    max_megapixels: float = 100.0
    max_files: int = 20
    seconds: float = 60.0
    upload_seconds: float = 60.0
    workers: int | None = None
    queue: int = 16
    memory: int | None = DEFAULT_MEMORY
    keep: Path | None = None

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            value = self.at_once if name == "workers" else getattr(self, name)
            if not 0 < value <= most:  # false for NaN, too
                option = name.replace("_", " ")
                raise RunError(f"{option} must be above 0 and at most {most:,.0f}, got {value}")
        if self.queue < 0:
            raise RunError(f"queue must be at least 0, got {self.queue}")
        if not 0 <= self.port < 2**16:
            raise RunError(f"port must be between 0 and 65535, got {self.port}")
        for name in self.allowed_hosts:
            if not _HOST.fullmatch(name):  # no request would ever bear it
                raise RunError(
                    f"allowed host {sanitize(name, 100)}: is not the name of a host; give the name "
                    "alone, without scheme, port or path"
                )

    @property
    def upload_bytes(self) -> int:
        """Maximum number of bytes in the body of one request."""
        return int(self.max_upload_mb * 1e6)

    @property
    def pixel_limit(self) -> int:
        """Maximum number of pixels in one photograph."""
        return int(self.max_megapixels * 1e6)

    @property
    def at_once(self) -> int:
        """Number of workers."""
        return cores() if self.workers is None else self.workers

    @property
    def is_private(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host.strip("[]") in _LOOPBACK

    @property
    def hosts(self) -> frozenset[str]:
        """Accepted host names, in lower case."""
        own = () if self.host in _WILDCARDS else (self.host,)
        names = (*_LOOPBACK, *own, *self.allowed_hosts)
        return frozenset(name.strip("[]").rstrip(".").lower() for name in names)
