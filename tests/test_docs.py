"""What the documents name is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
OF_TODAY = [page for page in PAGES if page.name != "CHANGELOG.md"]

# `networks/lcnn.py`, docs/robustness.md, `bench/scanning.py`: a folder and a file of our kinds.
PATHS = re.compile(
    r"(?<![\w/.~-])((?:\w[\w.-]*/)+[\w-]+\.(?:py|md|yaml|jsonl|json|png|jpg|tex|css|jinja))\b"
)
LINKS = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")

# Written by commands, or on the reader's machine.
_THEIRS = re.compile(
    r"^(?:path|runs|RUN|DIR|OUT|DATASET|PHOTOS|RESULT|ROBUST|build|recapture-\w+|photos)/"
)


def named(page: Path) -> Iterator[str]:
    """Paths to files that a page names in its text."""
    for found in PATHS.findall(page.read_text("utf-8")):
        if not _THEIRS.match(found):
            yield found


def lies_somewhere(path: str, page: Path) -> bool:
    folders = (ROOT, ROOT / "src/trueshot", ROOT / "docs", ROOT / "docs/results", page.parent)
    return any((folder / path).exists() for folder in folders)


@pytest.mark.parametrize("page", OF_TODAY, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    missing = sorted({path for path in named(page) if not lies_somewhere(path, page)})
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    targets = [target for target in LINKS.findall(page.read_text("utf-8")) if "://" not in target]
    assert not [target for target in targets if not (page.parent / target).exists()]


def test_a_file_that_is_not_there_would_be_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("See `networks/no_such.py` and `networks/lcnn.py`, docs/none.md.")
    assert [path for path in named(page) if not lies_somewhere(path, page)] == [
        "networks/no_such.py",
        "docs/none.md",
    ]
