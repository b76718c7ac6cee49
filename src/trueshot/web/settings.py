"""What the service takes at most, and what it tells whoever asks for more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trueshot.engines.pool import DEFAULT_MEMORY, MOST_SECONDS, cores
from trueshot.errors import RunError

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_WILDCARDS = ("", "0.0.0.0", "::")
_MOST = {  # beyond all sense, and small enough to be reckoned and waited with
    "max_upload_mb": 1e6,
    "max_megapixels": 1e6,
    "max_files": 1e6,
    "seconds": MOST_SECONDS,
    "upload_seconds": MOST_SECONDS,
    "workers": 1e6,
}


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """Where the service listens, and its limits.

    Args:
        host: Address to listen on.
        port: 0 takes one that is free.
        allowed_hosts: Names under which it may be asked for, beside those of this machine's
            loopback and `host` itself; a name of somebody else's that points here is none.
        max_upload_mb: Most million bytes of one request.
        max_megapixels: Most million pixels of one photograph.
        max_files: Most photographs of one request.
        seconds: That one photograph may take a worker.
        upload_seconds: That a request may take to arrive.
        workers: Photographs that are judged or attacked at once; all cores, if not said.
        queue: Requests that may wait; more are refused with "503, come back later".
        memory: Bytes that a worker may take beyond what is loaded; None for no limit.
        keep: Folder in which uploads and verdicts are kept; by default nothing is.

    Raises:
        RunError: A limit that lets nothing through, or that is none.
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
                raise RunError(f"{option}: more than 0 and at most {most:,.0f} wanted, got {value}")
        if self.queue < 0:
            raise RunError(f"queue: 0 or more wanted, got {self.queue}")
        if not 0 <= self.port < 2**16:
            raise RunError(f"port: 0 to 65535 wanted, got {self.port}")

    @property
    def upload_bytes(self) -> int:
        """Most bytes of the body of one request."""
        return int(self.max_upload_mb * 1e6)

    @property
    def pixel_limit(self) -> int:
        """Most pixels of one photograph."""
        return int(self.max_megapixels * 1e6)

    @property
    def at_once(self) -> int:
        """Workers."""
        return cores() if self.workers is None else self.workers

    @property
    def is_private(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host.strip("[]") in _LOOPBACK

    @property
    def hosts(self) -> frozenset[str]:
        """Host names, in small letters, by which it may be asked."""
        own = () if self.host in _WILDCARDS else (self.host,)
        names = (*_LOOPBACK, *own, *self.allowed_hosts)
        return frozenset(name.strip("[]").rstrip(".").lower() for name in names)
