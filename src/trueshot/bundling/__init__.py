"""A detector made a bundle that people can act on, and told in plain words.

Telling needs no torch: what makes bundles is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trueshot.bundling.describing import describe

if TYPE_CHECKING:
    from trueshot.bundling.making import Bundled, Wishes, make_bundle

__all__ = ["Bundled", "Wishes", "describe", "make_bundle"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'trueshot.bundling' has no attribute {name!r}")
    from trueshot.bundling import making

    return getattr(making, name)
