"""Scenes made by rule, without a photograph: each kind a function of random numbers and a size.

None is drawn from a file, so none is bound by a licence or a person's rights. Their use beside
photographs is to hold what photographs of nature seldom do, text and screen pages, and what could
be taken for a screen and is none: cloth, blinds, tiles, printed dots.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from trueshot.simulation.colour import Linear, Random
from trueshot.simulation.procedural.gradients import gradient
from trueshot.simulation.procedural.interface import interface
from trueshot.simulation.procedural.leaves import dead_leaves
from trueshot.simulation.procedural.objects import objects
from trueshot.simulation.procedural.pages import text
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

# Ten in a row, so that the beginning of a list is mixed as the whole is.
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
