"""Checks how large the tensors of a network would be, without allocating them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

MOST_BYTES = 2**29
"""Limit for one tensor; shipped networks stay below a tenth of it on the largest crops."""


class _Bounded(TorchDispatchMode):
    """Raise ValueError if the result of an operation would be larger than `MOST_BYTES`."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for each in tree_leaves(result):
            if isinstance(each, Tensor) and each.numel() * each.element_size() > MOST_BYTES:
                shape = "×".join(map(str, each.shape))
                raise ValueError(f"a tensor of {shape} values is too large for a detector")
        return result


def sketch(build: Callable[[], nn.Module], side: int | None) -> nn.Module:
    """Build a network on the device `meta`, as shapes without values, and run it on one crop.

    Args:
        build: Function that returns the network.
        side: Height and width of the crop; None to skip the run.

    Returns:
        The network, on the device `meta`, in evaluation mode.

    Raises:
        ValueError: One of its tensors, or of those it computes from the crop, is larger than
            `MOST_BYTES`; or it does not take crops of that side.
    """
    with torch.device("meta"), torch.no_grad(), _Bounded():  # type: ignore[no-untyped-call]
        network = build().eval()
        if side is not None:
            network(torch.empty(1, 3, side, side))
    return network
