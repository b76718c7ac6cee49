"""Tables whose cells keep their numbers: as Markdown, LaTeX and CSV; the page draws them itself."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from trueshot.evaluation.metrics import wilson_interval
from trueshot.files import utf8_safe

NOTHING = "–"
_LATEX = {
    **{character: f"\\{character}" for character in "%&_#${}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    # After the end of a row, a bracket or an asterisk would be taken for an option of it.
    **{"[": "{[}", "]": "{]}", "*": "{*}"},
    **{"<": "$<$", ">": "$>$", "|": "$|$", '"': "''", "`": r"\textasciigrave{}"},
    **{"×": r"$\times$", "ε": r"$\varepsilon$", "∞": r"$\infty$", "→": r"$\rightarrow$"},
    **{"–": "--", "…": r"\ldots{}", "†": r"$\dagger$", "·": r"$\cdot$", "≤": r"$\leq$"},
    **{"²": r"$^2$", "₂": r"$_2$"},
}
_MARKDOWN = {
    **{character: f"\\{character}" for character in r"\|`*["},
    **{"<": "&lt;", ">": "&gt;", "&": "&amp;"},
}
_FORMULA = ("=", "+", "-", "@")


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A share of images, with what it is worth.

    Args:
        right: Images judged rightly.
        total: Images judged, at least one.
    """

    right: int
    total: int

    @property
    def share(self) -> float:
        """In [0, 1]."""
        return self.right / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson interval at 95 %."""
        return wilson_interval(self.right, self.total)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{100 * self.share:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A number, with how it is written.

    Args:
        value: Anything; what is not finite is shown as not known.
        digits: After the point.
    """

    value: float
    digits: int = 1

    @property
    def known(self) -> bool:
        """Whether it is finite."""
        return math.isfinite(self.value)

    def __str__(self) -> str:
        return f"{self.value:,.{self.digits}f}" if self.known else NOTHING


Cell = str | Rate | Figure | None


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table.

    Args:
        name: Of its CSV file, without ending: small letters, digits, hyphens and points.
        title: What stands above it.
        header: One text a column.
        rows: Cells as many as columns; None where nothing was measured.
        note: What stands under the title.
        stubs: So many columns on the left name the row.
    """

    name: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    stubs: int = 1

    def __post_init__(self) -> None:
        if any(len(row) != len(self.header) for row in self.rows):
            raise ValueError(f"{self.name}: rows of other lengths than the header")

    @property
    def runs(self) -> list[list[tuple[Cell, ...]]]:
        """Neighbouring rows whose first cells are equal, together."""
        found: list[list[tuple[Cell, ...]]] = []
        for row in self.rows:
            if found and found[-1][0][0] == row[0]:
                found[-1].append(row)
            else:
                found.append([row])
        return found


def one_line(text: str) -> str:
    """A text without line breaks, control characters and bytes that no file can hold."""
    kept = "".join(c if c.isprintable() else " " for c in utf8_safe(text))
    return " ".join(kept.split())


def in_markdown(text: str) -> str:
    """A text that Markdown shows as it is."""
    return "".join(_MARKDOWN.get(character, character) for character in one_line(text))


def in_latex(text: str) -> str:
    """A text that LaTeX prints as it is."""
    return "".join(_LATEX.get(character, character) for character in one_line(text))


def as_markdown(grid: Grid) -> str:
    """A table as GitHub shows it."""
    rows = [[in_markdown(_text(cell)) for cell in row] for row in grid.rows]
    lines = [in_markdown(grid.title).join(("**", "**")), ""]
    lines += [in_markdown(grid.note), ""] if grid.note else []
    header = [in_markdown(text) for text in grid.header]
    rule = ["---"] * grid.stubs + ["---:"] * (len(grid.header) - grid.stubs)
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in (header, rule, *rows))])


def as_latex(grid: Grid) -> str:
    """A table for booktabs."""
    rows = [" & ".join(in_latex(_text(cell)) for cell in row) + r" \\" for row in grid.rows]
    columns = "l" * grid.stubs + "r" * (len(grid.header) - grid.stubs)
    caption = " ".join(filter(None, [f"{grid.title}.", grid.note]))
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{in_latex(caption)}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            " & ".join(in_latex(text) for text in grid.header) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def as_csv(grid: Grid) -> str:
    """A table for a computer: a share becomes four columns, in full precision."""
    columns = list(zip(*grid.rows, strict=True)) or [()] * len(grid.header)
    wide = [any(isinstance(cell, Rate) for cell in column) for column in columns]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heads = [_heads(text, rates) for text, rates in zip(grid.header, wide, strict=True)]
    writer.writerow(chain.from_iterable(heads))
    for row in grid.rows:
        fields = [_fields(cell, rates) for cell, rates in zip(row, wide, strict=True)]
        writer.writerow(chain.from_iterable(fields))
    return out.getvalue()


def _heads(text: str, rates: bool) -> list[str]:
    parts = ["", " low", " high", " images"] if rates else [""]
    return [_harmless(f"{one_line(text)}{part}") for part in parts]


def _fields(cell: Cell, rates: bool) -> list[str]:
    if isinstance(cell, Rate):
        numbers = (cell.share, *cell.interval)
        return [*(f"{number:.6g}" for number in numbers), str(cell.total)]
    return [_field(cell), *([""] * 3 if rates else [])]


def _field(cell: str | Figure | None) -> str:
    if isinstance(cell, Figure):
        return f"{cell.value:.8g}" if cell.known else ""
    return "" if cell is None else _harmless(one_line(cell))


def _harmless(text: str) -> str:
    """A spreadsheet computes what begins like a formula: such a text gets an apostrophe."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _text(cell: Cell) -> str:
    return NOTHING if cell is None else str(cell)


def names_in_full(grids: Sequence[Grid]) -> dict[str, Grid]:
    """Grids by name; a second one of a name is numbered."""
    found: dict[str, Grid] = {}
    for grid in grids:
        name, number = grid.name, 1
        while name in found:
            number += 1
            name = f"{grid.name}-{number}"
        found[name] = grid
    return found
