"""Optimisations that were tried and rejected: torch.compile, and bfloat16 convolutions.

    python bench/tried.py

Prints ratios to the code in use: median of rounds, with quartiles. torch.compile needs a C++
compiler.
"""

from __future__ import annotations

import time

import torch
from speed import examples, usual
from speed.timing import Call, in_turns
from torch import Tensor, nn

from trueshot.memory import keep_freed_memory

SIDE, BATCH = 64, 64


def main() -> None:
    keep_freed_memory()
    torch.set_num_threads(2)
    compiled()
    in_bfloat16()


def compiled() -> None:
    """Compare the plain gradient of the usual network, channels last, compiled and not compiled."""
    images, labels = examples.levels(BATCH, SIDE, seed=3)

    def network() -> nn.Module:
        twin = usual.twin(examples.plainly_trained()).train()
        return twin.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def call(network: nn.Module) -> Call:
        def gradient() -> None:
            network.zero_grad(set_to_none=True)
            usual.plain_gradient(network, images, labels)

        return gradient

    calls = {"as it is": call(network()), "compiled": call(torch.compile(network()))}
    started = time.monotonic()
    calls["compiled"]()
    print(f"torch.compile: {time.monotonic() - started:.0f} s to compile a plain gradient;")
    ratio = in_turns(calls, 20, 5).ratio("compiled", "as it is")
    print(f"it takes {ratio} times as long as without")


def in_bfloat16() -> None:
    """Compare forward and backward passes through the first convolution."""
    convolution = examples.new_detector().network.units[0][0]

    def call(dtype: torch.dtype) -> Call:
        layer = nn.Conv2d(3, 8, 3, padding=1, bias=False).to(dtype)
        layer.weight.data.copy_(convolution.weight.data)
        images: Tensor = examples.levels(BATCH, SIDE, seed=3)[0].to(dtype).requires_grad_(True)

        def passes() -> None:
            layer(images).sum().backward()

        return passes

    calls = {"float32": call(torch.float32), "bfloat16": call(torch.bfloat16)}
    ratio = in_turns(calls, 10, 5).ratio("bfloat16", "float32")
    print(f"bfloat16: the first convolution takes {ratio} of its time in float32")


if __name__ == "__main__":
    main()
