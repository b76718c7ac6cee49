"""Training by several processes, each of which takes its share of every minibatch.

`torchrun` starts them, and tells them by environment variables how many there are. They exchange
sums: of gradients, once per step, and of batch statistics, so that a minibatch has the same effect
as in a single process. Batch statistics are sums of a few numbers, dozens of times per step. On a
CPU, PyTorch's gloo wakes several threads for each, which takes many times as long as the sum and
its transfer; so the processes of one machine exchange them through sockets of our own.
"""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trueshot.errors import RunError
from trueshot.networks.normalisation import BatchNorm2d

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


@dataclass(frozen=True, kw_only=True)
class Processes:
    """The processes of a run, as seen by one of them.

    Args:
        rank: Number of this process, from 0; the first process writes the run's files.
        count: Number of processes.
        exchange: Sums tensors across processes on the CPUs of one machine; with None, PyTorch
            does.
    """

    rank: int = 0
    count: int = 1
    exchange: Exchange | None = None

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def share(self, attacked: int, clean: int) -> npt.NDArray[np.int64]:
        """Return this process's indices in a minibatch of so many attacked, then clean images.

        Raises:
            RunError: Some process would get no image of a kind that others get.
        """
        for count in (attacked, clean):
            if 0 < count < self.count:
                raise RunError(
                    f"too few attacked or clean images in a minibatch: {count} for {self.count} "
                    "processes; start fewer processes, or give the recipe a larger batch"
                )
        kinds = np.split(np.arange(attacked + clean), [attacked])
        return np.concatenate([np.array_split(kind, self.count)[self.rank] for kind in kinds])

    def total(self, own: Tensor) -> Tensor:
        """Return the sum over all processes of a tensor of the same shape; it may be overwritten.

        Raises:
            RunError: A process has died.
        """
        if self.count == 1:
            return own
        with _together():
            if self.exchange is not None:
                return self.exchange.total(own)
            dist.all_reduce(own)
        return own

    def from_first(self, content: bytes, device: torch.device) -> bytes:
        """Return the first process's `content` on every process.

        Raises:
            RunError: A process has died.
        """
        if self.count == 1:
            return content
        with _together():
            if self.exchange is not None:
                return self.exchange.from_first(content)
            size = torch.tensor([len(content)], device=device)
            dist.broadcast(size, 0)
            if not int(size):
                return b""
            data = torch.zeros(int(size), dtype=torch.uint8, device=device)
            if self.is_first:
                data = torch.frombuffer(bytearray(content), dtype=torch.uint8).to(device)
            dist.broadcast(data, 0)
        return data.cpu().numpy().tobytes()

    def share_statistics(self, network: nn.Module) -> None:
        """Make batch normalisation use the statistics of all processes' images.

        Raises:
            RunError: There are several processes, and the network has a batch normalisation that
                cannot share its statistics.
        """
        for name, module in network.named_modules() if self.count > 1 else ():
            if isinstance(module, BatchNorm2d):
                module.total = self.total
            elif isinstance(module, _BatchNorm):
                raise RunError(
                    f"{name} is a {type(module).__name__} whose statistics are of one process "
                    "only; use trueshot.networks.normalisation.BatchNorm2d, or train in one process"
                )

    def add_up(self, parameters: list[nn.Parameter], parts: dict[str, Tensor]) -> dict[str, Tensor]:
        """Sum `grad` of the parameters, in place, and named scalars over processes, at once.

        Raises:
            RunError: A process has died.
        """
        if self.count == 1:
            return parts
        gradients = [p.grad for p in parameters if p.grad is not None]
        pieces = [*gradients, *parts.values()]
        flat = self.total(torch.cat([piece.reshape(-1) for piece in pieces]))
        sums = flat.split([piece.numel() for piece in pieces])
        for gradient, whole in zip(gradients, sums, strict=False):
            gradient.copy_(whole.view_as(gradient))
        return dict(zip(parts, (each.squeeze() for each in sums[len(gradients) :]), strict=True))


@contextmanager
def processes(device: torch.device) -> Iterator[tuple[Processes, torch.device]]:
    """Connect to the other processes, if `torchrun` has started several; disconnect at the end.

    Args:
        device: Device to compute on; `cuda` without a number becomes this process's own GPU.

    Yields:
        The processes, as seen by this one, and the device it computes on.

    Raises:
        RunError: The other processes cannot be reached.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes(), device
    elif device.type == "cpu" and os.environ.get("LOCAL_WORLD_SIZE") == str(count):
        with _reaching(count):
            from torch.distributed.rendezvous import rendezvous  # not in every build of PyTorch

            store, rank, _ = next(rendezvous("env://"))
            exchange = Exchange.open(rank, count, store)
        try:
            yield Processes(rank=rank, count=count, exchange=exchange), device
        finally:
            exchange.close()
    else:
        with _reaching(count):
            if device.type == "cuda" and device.index is None:
                device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
                torch.cuda.set_device(device)
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        try:
            yield Processes(rank=dist.get_rank(), count=count), device
        finally:
            dist.destroy_process_group()
            gc.collect()  # ends the group's threads, which must happen before the interpreter exits


@contextmanager
def _reaching(count: int) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError, OSError) as error:
        raise RunError(
            f"cannot reach the other processes ({count - 1} according to WORLD_SIZE); start "
            f"them with torchrun, or unset WORLD_SIZE ({_first_line(error)})"
        ) from error


@contextmanager
def _together() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, EOFError, OSError) as error:
        raise RunError(
            "another process of this run has died; run the same command again to continue "
            f"from the last checkpoint ({_first_line(error)})"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
