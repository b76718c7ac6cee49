"""Tables with numeric cells, written as Markdown, LaTeX or CSV; parts.html.jinja writes HTML."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from operator import itemgetter

from trueshot.files import utf8_safe
from trueshot.proportion import Proportion

NOTHING = "–"
_LATEX = str.maketrans(
    {
        **{character: f"\\{character}" for character in "%&_#${}"},
        **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
        # LaTeX would read a bracket or an asterisk after the end of a row as an option.
        **{"[": "{[}", "]": "{]}", "*": "{*}"},
        **{"<": "$<$", ">": "$>$", "|": "$|$", '"': "''", "`": r"\textasciigrave{}"},
        **{"×": r"$\times$", "ε": r"$\varepsilon$", "∞": r"$\infty$", "→": r"$\rightarrow$"},
        **{"–": "--", "…": r"\ldots{}", "†": r"$\dagger$", "·": r"$\cdot$", "≤": r"$\leq$"},
        **{"²": r"$^2$", "₂": r"$_2$"},
    }
)
_MARKDOWN = str.maketrans(
    {
        **{character: f"\\{character}" for character in r"\|`*["},
        **{"<": "&lt;", ">": "&gt;", "&": "&amp;"},
    }
)
_FORMULA = ("=", "+", "-", "@")


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number and the number of decimals to show.

    Args:
        value: Value; a non-finite one is shown as unknown.
        digits: Digits after the decimal point.
    """

    value: float
    digits: int = 1

    @property
    def known(self) -> bool:
        """Whether the value is finite."""
        return math.isfinite(self.value)

    def __str__(self) -> str:
        return f"{self.value:,.{self.digits}f}" if self.known else NOTHING


Cell = str | Proportion | Number | None


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table.

    Args:
        name: Name of its CSV file without the extension: lower-case letters, digits, hyphens and
            points.
        title: Title above the table.
        header: One text per column.
        rows: Rows of one cell per column; None where nothing was measured.
        note: Note below the title.
        stubs: Number of columns on the left that name the row.
    """

    name: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    stubs: int = 1

    def __post_init__(self) -> None:
        if any(len(row) != len(self.header) for row in self.rows):
            raise ValueError(f"{self.name}: every row must be as long as the header")

    @property
    def runs(self) -> list[list[tuple[Cell, ...]]]:
        """Consecutive rows grouped by equal first cells."""
        return [list(rows) for _, rows in groupby(self.rows, key=itemgetter(0))]


def one_line(text: str) -> str:
    """Replace line breaks, control characters and invalid bytes, and collapse white space."""
    kept = "".join(c if c.isprintable() else " " for c in utf8_safe(text))
    return " ".join(kept.split())


def in_markdown(text: str) -> str:
    """Escape a text so that Markdown shows it literally, on one line."""
    return one_line(text).translate(_MARKDOWN)


def in_latex(text: str) -> str:
    """Escape a text so that LaTeX prints it literally, on one line."""
    return one_line(text).translate(_LATEX)


def as_markdown(table: Table) -> str:
    """Return a table as GitHub-flavoured Markdown."""
    rows = [[in_markdown(text_of(cell)) for cell in row] for row in table.rows]
    lines = [in_markdown(table.title).join(("**", "**")), ""]
    lines += [in_markdown(table.note), ""] if table.note else []
    header = [in_markdown(text) for text in table.header]
    rule = ["---"] * table.stubs + ["---:"] * (len(table.header) - table.stubs)
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in (header, rule, *rows))])


def as_latex(table: Table) -> str:
    """Return a table as LaTeX for the package booktabs."""
    rows = [" & ".join(in_latex(text_of(cell)) for cell in row) + r" \\" for row in table.rows]
    columns = "l" * table.stubs + "r" * (len(table.header) - table.stubs)
    caption = " ".join(filter(None, [f"{table.title}.", table.note]))
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{in_latex(caption)}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            " & ".join(in_latex(text) for text in table.header) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def as_csv(table: Table) -> str:
    """Return a table as CSV; a proportion becomes five columns, with six significant digits."""
    columns = list(zip(*table.rows, strict=True)) or [()] * len(table.header)
    wide = [any(isinstance(cell, Proportion) for cell in column) for column in columns]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heads = [_heads(text, rates) for text, rates in zip(table.header, wide, strict=True)]
    writer.writerow(chain.from_iterable(heads))
    for row in table.rows:
        fields = [_fields(cell, rates) for cell, rates in zip(row, wide, strict=True)]
        writer.writerow(chain.from_iterable(fields))
    return out.getvalue()


def _heads(text: str, rates: bool) -> list[str]:
    parts = ["", " low", " high", " images", " groups"] if rates else [""]
    return [_harmless(f"{one_line(text)}{part}") for part in parts]


def _fields(cell: Cell, rates: bool) -> list[str]:
    if isinstance(cell, Proportion):
        numbers = (cell.share, *cell.interval95)
        groups = str(len(cell.groups)) if cell.groups else ""
        return [*(f"{number:.6g}" for number in numbers), str(cell.total), groups]
    return [_field(cell), *([""] * 4 if rates else [])]


def _field(cell: str | Number | None) -> str:
    if isinstance(cell, Number):
        return f"{cell.value:.8g}" if cell.known else ""
    return "" if cell is None else _harmless(one_line(cell))


def _harmless(text: str) -> str:
    """Prefix a text with an apostrophe if a spreadsheet would take it for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def text_of(cell: Cell) -> str:
    """Return a cell as text; a proportion is given in per cent with its 95 % interval."""
    if not isinstance(cell, Proportion):
        return NOTHING if cell is None else str(cell)
    low, high = cell.interval95
    return f"{100 * cell.share:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def names_in_full(tables: Sequence[Table]) -> dict[str, Table]:
    """Return the tables by unique name; repeated names get a number."""
    found: dict[str, Table] = {}
    for table in tables:
        name, number = table.name, 1
        while name in found:
            number += 1
            name = f"{table.name}-{number}"
        found[name] = table
    return found
