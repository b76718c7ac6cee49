"""Turn files, folders, patterns, archives and standard input into items to judge."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from trueshot.errors import ImageFileError
from trueshot.files import FileState, read_start, sanitize, sanitize_unique
from trueshot.scanning.archives import is_archive, members
from trueshot.scanning.item import Item, problem

STANDARD_INPUT = "-"
_ARCHIVE = ".zip"
_MOST_NAMED = 3
_LEADS_OUT = "is a link to outside the folder; to judge its target, give the path of the target"


def items(
    paths: Sequence[str | os.PathLike[str]],
    *,
    piped: bytes = b"",
    piped_names: bool = False,
    own: Collection[Path] = (),
) -> Iterator[Item]:
    """Yield everything to judge, each once, in an order that depends only on names.

    A file that is named is judged, whatever it is. In folders and archives, files are found if
    they have the suffix of an image or an archive, or contain an image. Other files and hidden ones
    are passed over: one item gives their number and a few names. Hidden files that are not images
    are not even counted. Links to folders are not followed, nor links to files outside of the
    folder; links that lead out of it become items with a reason. A pattern (`*`, `?`, `[`, `**`)
    that is not the name of a file is expanded as in a shell, so folders that cannot be listed have
    no matches. Everything else that cannot be found or listed becomes an item with a reason, too.

    Args:
        paths: Files, folders, patterns; `-` for standard input.
        piped: The bytes from standard input.
        piped_names: Whether these are a list of files and folders, one per line or with a zero
            byte after each; otherwise they are one photograph.
        own: Files that the scan itself writes; they are not mentioned in folders.
    """
    mine = frozenset(map(os.path.realpath, own))
    found = _all(paths, piped, piped_names, mine)
    return _once(found) if len(paths) > 1 or piped_names or _is_pattern(paths) else found


def _all(
    paths: Iterable[str | os.PathLike[str]], piped: bytes, piped_names: bool, own: frozenset[str]
) -> Iterator[Item]:
    for given in paths:
        path = os.fsdecode(given)
        if path != STANDARD_INPUT:
            yield from _named(path, own, expand=True)
        elif piped_names:
            for line in _lines(piped):
                yield from _named(os.fsdecode(line), own)
        else:
            state = FileState(len(piped))
            yield Item(name=STANDARD_INPUT, path=STANDARD_INPUT, state=state, data=piped)


def _lines(piped: bytes) -> list[bytes]:
    """Split into names, at zero bytes if there are any, otherwise into lines."""
    if b"\0" in piped:
        return [name for name in piped.split(b"\0") if name]
    return [line.removesuffix(b"\r") for line in piped.split(b"\n") if line.strip()]


def _named(path: str, own: frozenset[str], *, expand: bool = False) -> Iterator[Item]:
    """Return the items of a path; one that does not exist may be a pattern to expand."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return _pattern(path, own) if expand else _missing(path)
    except OSError as error:
        return iter([problem(path, f"cannot be found ({error.strerror}); check the path")])
    return _folder(path, own) if os.path.isdir(path) else _file(path)  # noqa: PTH112 - never raises


def _missing(path: str) -> Iterator[Item]:
    yield problem(path, "there is no such file; check the path")


def _pattern(path: str, own: frozenset[str]) -> Iterator[Item]:
    """Expand a pattern as a shell would."""
    if not glob.has_magic(path):
        yield from _missing(path)
        return
    parts = Path(path).parts
    fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    root, rest = Path(*parts[:fixed]), str(Path(*parts[fixed:]))
    if parts[-1] == "**":  # finds only folders, or files too, depending on the Python version
        rest += "/*"
    try:
        # Not the module glob, whose ** runs in circles if links do.
        matches = sorted(match for match in root.glob(rest) if not _is_hidden(match, root))
    except (ValueError, OSError, NotImplementedError) as error:
        yield problem(path, f"is not a valid pattern ({error}); check it")
        return
    empty = True
    for match in map(str, matches):
        if "**" in parts and os.path.isdir(match):  # noqa: PTH112
            # Files in it that match are matches themselves; links are not followed.
            found = _link_to_folder(match, os.path.realpath(root))
        else:
            found = _named(match, own)
        for item in found:
            empty = False
            yield item
    if empty:
        yield problem(path, "nothing matches this pattern; check it")


def _is_hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _is_pattern(paths: Sequence[str | os.PathLike[str]]) -> bool:
    return any(glob.has_magic(os.fsdecode(path)) for path in paths)


def _file(path: str) -> Iterator[Item]:
    """Yield an existing file or a dangling link; of an archive, yield its members."""
    if _is_archive_name(path) and is_archive(path):
        yield from _archive(path)
    else:
        yield file_item(path, path)


def file_item(path: str, name: str) -> Item:
    """Return a file as one photograph, whatever it contains, with `name` as name in the results."""
    name = sanitize_unique(name)
    try:
        status = Path(path).stat()
    except OSError as error:
        reason = f"cannot be read ({error.strerror}); check the file, or the target of the link"
        return Item(name=name, path=path, reason=sanitize(reason))
    return Item(name=name, path=path, state=FileState.of(status))


def _archive(path: str) -> Iterator[Item]:
    empty, others = True, _PassedOver(path)
    try:
        for item in members(path):
            if item.passed_over:
                others.add(item.inside)
            else:
                empty = False
                yield item
    except ImageFileError as error:
        yield problem(path, error.reason)
    except OSError as error:
        yield problem(path, f"cannot be read ({error.strerror}); check its permissions")
    else:
        yield from others.told("holds no photographs; check the archive" if empty else "")


def _folder(folder: str, own: frozenset[str]) -> Iterator[Item]:
    """Yield the items in a folder and below, in the order of `images.find_images`."""
    root = os.path.realpath(folder)
    empty, others = True, _PassedOver(folder)
    waiting = [iter([os.path.join(folder, "")])]  # noqa: PTH118
    while waiting:
        place = next(waiting[-1], None)
        if place is None:
            waiting.pop()
        elif place.endswith(os.sep):
            try:
                waiting.append(iter(_names_in(place, others, own)))
            except OSError as error:
                empty = False
                yield problem(place, f"cannot be listed ({error.strerror}); check its permissions")
        else:
            empty = False
            is_link = os.path.islink(place)  # noqa: PTH114 - never raises
            yield from _link(place, root) if is_link else _file(place)
    nothing = "holds no photographs; check the path, or give the files one by one"
    yield from others.told(nothing if empty else "")


class _PassedOver:
    """Counter of files in a folder or archive that are not judged, with the names of the first."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._count = 0
        self._first: list[str] = []

    def add(self, name: str) -> None:
        self._count += 1
        if self._count <= _MOST_NAMED:
            self._first.append(sanitize(name.removeprefix(os.path.join(self._place, ""))))  # noqa: PTH118

    def told(self, reason: str) -> Iterator[Item]:
        """Yield one item about them with `reason`, or nothing if there is nothing to say."""
        if self._count:
            more = ", …" if self._count > _MOST_NAMED else ""
            what = (
                "file is not an image, or is"
                if self._count == 1
                else "files are not images, or are"
            )
            names = ", ".join(self._first) + more
            reason = f"{reason}; " * bool(reason) + f"{self._count} {what} hidden: {names}"
        if reason:
            yield replace(problem(self._place, reason), passed_over=self._count)


def _names_in(folder: str, others: _PassedOver, own: frozenset[str]) -> list[str]:
    """Return the paths of subfolders, with a slash at the end, and of files and links to judge."""
    found = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            is_folder = entry.is_dir(follow_symlinks=False)
            if entry.name.startswith("."):
                if is_folder or _begins_as_image(entry.path):
                    others.add(entry.path)
            elif is_folder:
                found.append(entry.name + os.sep)
            elif _may_be_photograph(entry):
                found.append(entry.name)
            elif not (own and os.path.realpath(entry.path) in own):
                others.add(entry.path)
    return [os.path.join(folder, name) for name in sorted(found)]  # noqa: PTH118


def _may_be_photograph(entry: os.DirEntry[str]) -> bool:
    """Whether to judge an entry, by its name or else by its content; links to folders count."""
    from trueshot.images import may_be_image  # slow to import

    if _is_archive_name(entry.name) or may_be_image(entry.path):
        return True
    return entry.is_symlink() and os.path.isdir(entry.path)  # noqa: PTH112 - never raises


def _begins_as_image(path: str) -> bool:
    from trueshot.images.recognition import START, recognise

    return recognise(read_start(path, START) or b"") is not None


def _link(path: str, root: str) -> Iterator[Item]:
    """Yield a link in a folder: judged if it is, or is named like, a file and stays inside."""
    from trueshot.images.recognition import has_image_suffix

    is_named = _is_archive_name(path) or has_image_suffix(path)
    if not is_named and os.path.isdir(path):  # noqa: PTH112
        yield from _link_to_folder(path, root)
    elif _lies_in(path, root):
        yield from _file(path)
    else:
        yield problem(path, _LEADS_OUT)


def _link_to_folder(path: str, root: str) -> Iterator[Item]:
    """Yield an error if a link to a folder leads out of `root`; links inside are not needed."""
    if not _lies_in(path, root):
        yield problem(path, _LEADS_OUT)


def _lies_in(path: str, root: str) -> bool:
    return os.path.commonpath([root, os.path.realpath(path)]) == root


def _is_archive_name(name: str) -> bool:
    return name.lower().endswith(_ARCHIVE)


def _once(found: Iterable[Item]) -> Iterator[Item]:
    """Leave out items that occurred before under any name."""
    seen: set[int] = set()
    for item in found:
        number = hash(item.identity)
        if number not in seen:
            seen.add(number)
            yield item
