"""The story of a reproduction as one page, rendered from results.json and the files it names."""

from __future__ import annotations

import base64
from pathlib import Path

import jinja2
import yaml

from trueshot.errors import ImageFileError, RunError
from trueshot.evaluation.results import CLEAN, load_experiments
from trueshot.files import utf8_safe, write_atomically
from trueshot.images import inspect_image
from trueshot.reports.content import sizes_of
from trueshot.reports.environment import strict_environment
from trueshot.reports.narrative import NBSP, percent
from trueshot.reports.tables import ATTACK_NAMES

_TEMPLATES = Path(__file__).parent / "templates"
_MEDIA_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg"}


def write_page(out: Path) -> Path:
    """Render `page.html` from `results.json` and the image files that it names.

    The page needs no other file and no network: images are inside it. Results that were written
    before there were pages have fewer pictures.

    Args:
        out: Folder of the experiments, as `reproduce` left it.

    Raises:
        RunError: results.json is missing, damaged, or holds no pairs of results.
    """
    path = out / "results.json"
    results, examples = load_experiments(path)
    try:
        template = environment(out).get_template("reproduction.html.jinja")
        sizes = sizes_of(results, examples)
        limits = list(dict.fromkeys(limit for size in sizes for limit in size.limits))
        text = template.render(sizes=sizes, limits=limits)
    except (jinja2.TemplateError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: cannot be told as a page: {error!r}; run again") from error
    page = out / "page.html"
    write_atomically(page, utf8_safe(text).lstrip())
    return page


def environment(out: Path) -> jinja2.Environment:
    """For templates of pages whose pictures lie in or below a folder."""
    found = strict_environment(_TEMPLATES)
    found.filters |= {
        "attack": lambda name: ATTACK_NAMES.get(name, name.upper()),
        "epsilon": lambda budget: f"ε{NBSP}={NBSP}{budget:g}",
        "percent": percent,
        "picture": lambda name: picture(out, str(name)),
        "yaml": lambda content: yaml.safe_dump(content, sort_keys=False, allow_unicode=True),
    }
    found.globals |= {"clean": CLEAN}
    return found


def picture(out: Path, name: str) -> str:
    """An image file of the run as a data URI; empty if it is gone, or none of the run's."""
    path = out / name
    try:
        if not path.resolve().is_relative_to(out.resolve()):
            return ""
        media_type = _MEDIA_TYPES.get(inspect_image(path).format)
        content = base64.b64encode(path.read_bytes()).decode("ascii")
    except (ImageFileError, OSError, ValueError):
        return ""
    return f"data:{media_type};base64,{content}" if media_type else ""
