"""The journal of a survey: what is known of each photograph, and which have changed since."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from trueshot.datasets.photos import Photo
from trueshot.datasets.settings import Settings
from trueshot.datasets.survey import Record, survey
from trueshot.errors import DatasetError
from trueshot.files import FileState, file_sha256, read_lines

_NAME = "survey.jsonl"


def survey_journal(root: Path) -> Path:
    """Return the path of the records of `survey`, one per line; the last of a name counts."""
    return root / _NAME


def known_records(root: Path, photos: Sequence[Photo]) -> list[Record | None]:
    """Return each photograph's record, or None if the photograph has to be surveyed again.

    That is the case if it is new, could not be read before, or has changed. Size, inode and times
    show whether a file is unchanged; where they leave a doubt, its hash decides.
    """
    known = {record.get("name"): record for record in read_lines(survey_journal(root))}
    return [_if_current(known.get(photo.name), photo) for photo in photos]


def check_finished(root: Path, photos: Sequence[Photo], settings: Settings) -> bool:
    """Whether a finished data set still matches its photographs.

    Photographs that have been deleted do not matter, because their crops are stored.

    Raises:
        DatasetError: A photograph has changed or become readable, so the data set would have to be
            made again, but another one is gone.
    """
    known = {record.get("name"): record for record in read_lines(survey_journal(root))}
    changed: list[Photo] = []
    gone: list[Photo] = []
    for photo in photos:
        record = known.get(photo.name)
        if record is None or _if_current(record, photo) is not None:
            continue
        if not record.get("error", ""):
            (changed if photo.path.exists() else gone).append(photo)
        elif not survey(photo, settings)["error"]:
            changed.append(photo)
    if changed and gone:
        raise DatasetError(
            f"{root}: {changed[0].path} has changed since the data set was made, and "
            f"{gone[0].path} is missing: restore it to make the data set again, or choose another "
            "folder for a new one"
        )
    return not changed


def _if_current(record: Record | None, photo: Photo) -> Record | None:
    if record is None or record.get("error", "none") or "facts" not in record:
        return None
    now = state_of(photo.path)
    if now is None:
        return None
    before = record.get("state")
    if before is not None and FileState(*before).is_surely(FileState(*now)):
        return record
    same = file_sha256(photo.path) == record["facts"]["sha256"]
    return record | {"state": now} if same else None


def state_of(path: Path) -> list[int] | None:
    """Return the file's size, inode and times as JSON values, or None if it cannot be accessed."""
    with contextlib.suppress(OSError, ValueError):
        return list(FileState.of(path.stat()))
    return None
