"""How templates of pages are read, here and elsewhere."""

from __future__ import annotations

from pathlib import Path

import jinja2


def strict_environment(templates: Path) -> jinja2.Environment:
    """For the templates in a folder: all is escaped, and what is not given is an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
