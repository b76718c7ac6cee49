"""Folds batch normalisation into the preceding convolution, for evaluation mode."""

from __future__ import annotations

import copy
import itertools
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from trueshot.networks.convolution import Conv2d
from trueshot.networks.normalisation import BatchNorm2d

_KNOWN = (nn.Conv2d, Conv2d, nn.BatchNorm2d, BatchNorm2d)

AnyModule = TypeVar("AnyModule", bound=nn.Module)


def folded(module: AnyModule) -> AnyModule:
    """Return the same function with fewer steps, for a module that stays in evaluation mode.

    In an `nn.Sequential`, a convolution followed by batch normalisation becomes one convolution.
    Everything else is shared with `module`, which is not changed; later changes of its weights do
    not reach the folded convolutions. Values agree up to rounding.

    Args:
        module: A module in evaluation mode. Layers in train mode, with hooks, without running
            statistics, or of subclasses of the known layer types are not folded.
    """
    if not module._modules:
        return module
    twin = copy.copy(module)
    # Not `named_children`, which skips a module that occurs a second time.
    children = {name: child and folded(child) for name, child in module._modules.items()}
    if type(module) is nn.Sequential:
        children = _joined(children)
    twin._modules = children
    return twin


def _joined(children: dict[str, nn.Module | None]) -> dict[str, nn.Module | None]:
    names = list(children)
    for name, following in itertools.pairwise(names):
        first, second = children.get(name), children[following]
        if not (isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d)):
            continue
        if _may_be_joined(first) and _may_be_joined(second):
            children[name] = _join(first, second)
            children[following] = nn.Identity()  # the other layers keep their positions
    return children


def _may_be_joined(module: nn.Module) -> bool:
    hooks = (
        module._forward_hooks,
        module._forward_pre_hooks,
        module._backward_hooks,
        module._backward_pre_hooks,
    )
    whole = not isinstance(module, nn.BatchNorm2d) or module.track_running_stats
    return type(module) in _KNOWN and whole and not module.training and not any(hooks)


def _join(convolution: nn.Conv2d, normalisation: nn.BatchNorm2d) -> nn.Conv2d:
    assert normalisation.running_mean is not None
    assert normalisation.running_var is not None
    with torch.no_grad():
        weight, bias = fuse_conv_bn_weights(
            convolution.weight,
            convolution.bias,
            normalisation.running_mean,
            normalisation.running_var,
            normalisation.eps,
            normalisation.weight,
            normalisation.bias,
        )
    joined = nn.Conv2d.__new__(nn.Conv2d)
    joined.__dict__ = {**convolution.__dict__, "_parameters": {}}
    joined.weight = nn.Parameter(weight, requires_grad=False)
    joined.bias = nn.Parameter(bias, requires_grad=False)
    return joined
