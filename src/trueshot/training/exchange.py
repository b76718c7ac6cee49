"""Sums over the processes of one machine, through sockets of our own.

Batch statistics are sums of a few numbers, dozens of times per step. On a CPU, PyTorch's gloo wakes
several threads for each, which takes many times as long as the sum and its transfer.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

_PLACE = "trueshot/sums"


@dataclass(frozen=True)
class Exchange:
    """Connections between processes: of the first to all others, by rank; of others to the first.

    Only bytes are sent, through a socket in a folder that no other user may enter.
    """

    connections: tuple[Connection, ...]
    is_first: bool

    @classmethod
    def open(cls, rank: int, count: int, store: Store) -> Exchange:
        """Connect all processes of one machine.

        Args:
            rank: Number of this process.
            count: Number of processes.
            store: Store shared by all processes, in which the first puts the path of its socket.
        """
        if rank > 0:
            connection = Client(os.fsdecode(store.get(_PLACE)), "AF_UNIX")
            connection.send_bytes(str(rank).encode())
            return cls((connection,), is_first=False)
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "sums")
            with Listener(path, "AF_UNIX", backlog=count) as listener:
                store.set(_PLACE, path)
                found = [listener.accept() for _ in range(count - 1)]
        ranks = [int(connection.recv_bytes()) for connection in found]
        return cls(tuple(found[place] for place in np.argsort(ranks)), is_first=True)

    def total(self, own: Tensor) -> Tensor:
        """Return the sum over the processes, in order of rank: the same bits on each.

        Args:
            own: CPU tensor, of the same shape and dtype in every process; may be overwritten.

        Raises:
            EOFError, OSError: A process has died.
        """
        if not self.is_first:
            (first,) = self.connections
            first.send_bytes(_as_bytes(own))
            return _as_tensor(first.recv_bytes(), own)
        for connection in self.connections:
            own += _as_tensor(connection.recv_bytes(), own)
        for connection in self.connections:
            connection.send_bytes(_as_bytes(own))
        return own

    def from_first(self, content: bytes) -> bytes:
        """Return the first process's `content` on every process.

        Raises:
            EOFError, OSError: A process has died.
        """
        if not self.is_first:
            return self.connections[0].recv_bytes()
        for connection in self.connections:
            connection.send_bytes(content)
        return content

    def close(self) -> None:
        """Close all connections."""
        for connection in self.connections:
            connection.close()


def _as_bytes(tensor: Tensor) -> bytes:
    return tensor.detach().contiguous().numpy().tobytes()


def _as_tensor(content: bytes, like: Tensor) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=like.dtype).view_as(like)
