"""What was seen of each photograph before, and which of them are others now."""

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
    """Where records of `survey` are kept, one a line; of one name the last counts."""
    return root / _NAME


def known_records(root: Path, photos: Sequence[Photo]) -> list[Record | None]:
    """What is known of each photograph and still true of its file; None of those to look at again.

    To be looked at again is what could not be read, or has changed: of other bytes, if its size,
    inode or times leave a doubt.
    """
    known = {record.get("name"): record for record in read_lines(survey_journal(root))}
    return [_if_current(known.get(photo.name), photo) for photo in photos]


def check_finished(root: Path, photos: Sequence[Photo], settings: Settings) -> bool:
    """Whether a finished data set is still that of its photographs.

    Photographs that are gone since do not matter to it: their crops are there.

    Raises:
        DatasetError: It would have to be made again, and cannot be, since others are gone.
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
            f"{root}: {changed[0].path} is another than when the data set was made, and "
            f"{gone[0].path} is gone: put it back to make the data set again, or name another "
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
    """By what a file is known again, as JSON holds it; None if it cannot be looked at."""
    with contextlib.suppress(OSError, ValueError):
        return list(FileState.of(path.stat()))
    return None
