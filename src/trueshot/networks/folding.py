"""Batch normalisation in evaluation mode is a factor and an offset: folded into the convolution."""

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
    """The same function with fewer steps, for a module that stays in evaluation mode.

    Convolutions that are followed by batch normalisation within an `nn.Sequential` become one
    convolution. Everything else is shared with `module`, which is left as it was; a change of its
    weights is not felt by what is folded. Values agree up to rounding.

    Args:
        module: In evaluation mode; modules in train mode, with hooks, or of kinds derived from
            those two, are left whole.
    """
    if not module._modules:
        return module
    twin = copy.copy(module)
    # Not `named_children`, which passes over a module that stands in a second place.
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
            children[following] = nn.Identity()  # the places of the others stay theirs
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
