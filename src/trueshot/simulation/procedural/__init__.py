"""Procedural scenes: each kind is a function of random numbers and a size.

No scene uses a file, so none is subject to a licence or to a person's rights. They complement
photographs by showing what photographs of nature rarely contain: text and screen pages, and
patterns that could be mistaken for a screen, such as cloth, blinds, tiles and printed dots.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from trueshot.simulation.colour import Linear, Random
from trueshot.simulation.procedural.gradients import gradient
from trueshot.simulation.procedural.interface import interface
from trueshot.simulation.procedural.leaves import dead_leaves
from trueshot.simulation.procedural.objects import objects
from trueshot.simulation.procedural.text import text
from trueshot.simulation.procedural.textures import texture

Kind = Callable[[Random, int, int], Linear]

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "dead leaves": dead_leaves,
        "texture": texture,
        "objects": objects,
        "interface": interface,
        "text": text,
        "gradient": gradient,
    }
)

# A list repeats these ten in order, so that its beginning is mixed like the whole.
MIXTURE = (
    "dead leaves",
    "texture",
    "interface",
    "objects",
    "text",
    "dead leaves",
    "texture",
    "gradient",
    "objects",
    "texture",
)

__all__ = ["KINDS", "MIXTURE", "Kind"]
