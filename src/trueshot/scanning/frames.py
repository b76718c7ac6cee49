"""Messages between processes: JSON and named bytes. No pickle, as a worker reads hostile files."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

_HEAD = struct.Struct(">I")
_MOST_JSON = 64 * 2**20

MOST_ASKED = 4 * 2**30
MOST_ANSWERED = 2**28  # bytes attached: a worker may have been taken over by what it read

Attached = dict[str, bytes]


def send(
    connection: socket.socket,
    content: Mapping[str, Any],
    attached: Mapping[str, bytes] | None = None,
    deadline: float | None = None,
) -> None:
    """Send one message.

    Args:
        connection: A stream.
        content: What JSON can hold.
        attached: Bytes, by name.
        deadline: By `time.monotonic`, when to give up.

    Raises:
        TimeoutError: The deadline has passed.
        OSError: The other side has gone.
    """
    parts = attached or {}
    lengths = {name: len(data) for name, data in parts.items()}
    text = json.dumps({"content": content, "attached": lengths}).encode("ascii")
    for data in (_HEAD.pack(len(text)) + text, *parts.values()):
        connection.settimeout(_left(deadline))
        connection.sendall(data)


def receive(
    connection: socket.socket, deadline: float | None = None, *, most: int = MOST_ASKED
) -> tuple[dict[str, Any], Attached]:
    """Receive one message.

    Args:
        connection: A stream.
        deadline: By `time.monotonic`, when to give up.
        most: Bytes that may be attached.

    Returns:
        Its content, and what is attached to it.

    Raises:
        EOFError: The other side has gone.
        TimeoutError: The deadline has passed.
        ValueError: This is no such message, or one that is too long.
    """
    (length,) = _HEAD.unpack(_read(connection, _HEAD.size, deadline))
    if length > _MOST_JSON:
        raise ValueError(f"a message of {length} bytes")
    text = _read(connection, length, deadline)
    try:
        message = json.loads(text)
        content, lengths = dict(message["content"]), dict(message["attached"])
        if min(lengths.values(), default=0) < 0 or sum(lengths.values()) > most:
            raise ValueError("a message of an impossible length")
        return content, {name: _read(connection, size, deadline) for name, size in lengths.items()}
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"no message of ours: {error}") from error


def _read(connection: socket.socket, length: int, deadline: float | None) -> bytes:
    data = bytearray(length)
    view, at = memoryview(data), 0
    while at < length:
        connection.settimeout(_left(deadline))
        got = connection.recv_into(view[at:])
        if not got:
            raise EOFError
        at += got
    return bytes(data)


def _left(deadline: float | None) -> float | None:
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
