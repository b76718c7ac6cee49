"""A journal of a scan in one SQLite file, from which a killed scan resumes."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from trueshot.engines.pool import Closing
from trueshot.errors import RunError
from trueshot.files import FileState, file_sha256
from trueshot.scanning.item import Item
from trueshot.scanning.verdict import EXPLANATION, FIELDS, Verdict
from trueshot.tasks import Task
from trueshot.tasks.task import FAILED, UNDECIDED

VERSION = 5
# What is kept of an item besides its verdict: a thumbnail for a row, and an explanation for a card.
THUMBNAILS, EXPLAINED = 1, 2
_APPLICATION = 0x54525354  # "TRST" in the file's header marks it as a ledger

_AS_JSON = ("notes", "features")
_Picture = TypeVar("_Picture")

_TABLES = f"""
CREATE TABLE claim (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE items (
    id INTEGER PRIMARY KEY,
    identity BLOB NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    seen_ns INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    final INTEGER NOT NULL,
    explained INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    position INTEGER NOT NULL,
    {", ".join(FIELDS)}
);
CREATE INDEX places ON items (turn, position);
CREATE TABLE explanations (
    item INTEGER NOT NULL REFERENCES items (id),
    name TEXT NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (item, name)
);
"""
_STATE = FileState._fields
_KEPT = ("identity", *_STATE, "crc", "final", "explained", "turn", "position", *FIELDS)
_KEEP = f"""
INSERT INTO items ({", ".join(_KEPT)}) VALUES ({", ".join("?" * len(_KEPT))})
ON CONFLICT (identity) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _KEPT[1:])}
RETURNING id
"""


class Ledger(Closing):
    """The finished items of a scan, each committed as soon as it is finished.

    Committed items survive the death of the process. A power failure may lose the last few, which
    are then judged again. The file is locked for one scan at a time.

    Args:
        path: The file; it and its folders are created if they do not exist.
        claim: What all its verdicts have in common, such as the detector.

    Raises:
        RunError: It is damaged, is not a ledger, was written by another version, has another
            claim, or is locked by another scan.
    """

    def __init__(self, path: Path, claim: Mapping[str, str]) -> None:
        self.path = path
        with _errors_with_a_name(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(
                path, timeout=0, isolation_level=None, check_same_thread=False
            )
        try:
            with _errors_with_a_name(path):
                self._hold()
                self._claim(claim)
                self._turn = 1 + self._number("SELECT coalesce(max(turn), 0) FROM items")
        except BaseException:
            self._database.close()
            raise

    def find(self, item: Item, position: int, *, explained: int = 0) -> Verdict | None:
        """Return the verdict on an item if it was judged before and has not changed since.

        A file of the same size is unchanged if its inode and both times are the same, and it had
        not been modified within two seconds before they were recorded. Otherwise the hash of its
        bytes decides; members of archives are judged again.

        Args:
            item: The item to judge.
            position: Its place among the results of this scan.
            explained: What is needed besides the verdict (0, `THUMBNAILS` or `EXPLAINED`); if the
                ledger does not have it, the item counts as not judged.
        """
        if item.state.size < 0 or item.reason is not None:
            return None
        with _errors_with_a_name(self.path):
            row = self._database.execute(
                f"SELECT id, {', '.join((*_STATE, *FIELDS))} FROM items WHERE identity = ?"
                " AND size = ? AND crc = ? AND final AND explained >= ?",
                (item.identity, item.state.size, _crc(item), explained),
            ).fetchone()
            if row is None:
                return None
            state = FileState(*row[1 : 1 + len(_STATE)])
            verdict = _verdict(row[1 + len(_STATE) :], item.name)  # its name may have changed
            # The identity of bytes from standard input contains their hash.
            if item.data is None and not state.is_surely(item.state):
                hashed = None if item.member else file_sha256(item.path)
                if hashed is None or hashed != verdict.sha256:
                    return None
                state = item.state
            changes = ", ".join(f"{name} = ?" for name in (*_STATE, "turn", "position", "file"))
            self._database.execute(
                f"UPDATE items SET {changes} WHERE id = ?",
                (*state, self._turn, position, item.name, row[0]),
            )
            return verdict

    def keep(
        self,
        item: Item,
        position: int,
        verdict: Verdict,
        *,
        final: bool,
        explained: int = 0,
        explanations: Mapping[str, bytes] | None = None,
    ) -> None:
        """Store a finished item.

        Args:
            item: The item.
            position: Its place among the results of this scan.
            verdict: The verdict on it.
            final: Whether the verdict can be reused as long as the file is unchanged.
            explained: What was requested besides the verdict, as for `find`.
            explanations: The resulting pictures and explanation, by name.
        """
        row = (item.identity, *item.state, _crc(item), final, explained, self._turn, position)
        with _errors_with_a_name(self.path), self._together():
            (number,) = self._database.execute(_KEEP, (*row, *_row(verdict))).fetchone()
            self._database.execute("DELETE FROM explanations WHERE item = ?", (number,))
            self._database.executemany(
                "INSERT INTO explanations VALUES (?, ?, ?)",
                [(number, name, content) for name, content in (explanations or {}).items()],
            )

    def explain(self, item: Item, sha256: str, explanation: bytes) -> None:
        """Add the explanation of an item, unless its stored hash is another."""
        with _errors_with_a_name(self.path), self._together():
            self._database.execute(
                "INSERT OR REPLACE INTO explanations SELECT id, ?, ? FROM items"
                " WHERE identity = ? AND sha256 = ?",
                (EXPLANATION, explanation, item.identity, sha256),
            )
            self._database.execute(
                "UPDATE items SET explained = ? WHERE identity = ? AND sha256 = ?",
                (EXPLAINED, item.identity, sha256),
            )

    def unexplained(self, most: int, task: Task) -> set[bytes]:
        """Return the identities of the items that a report shows pictures of, and has none of yet.

        Verdicts other than class 0 come before undecided ones, and these before class 0; within
        each group by falling score, and equal scores in order. Errors are omitted.

        Args:
            most: Number of items that a report shows.
            task: Task that defines the words of the verdicts.
        """
        with _errors_with_a_name(self.path):
            rows = self._database.execute(
                "SELECT identity, explained FROM items WHERE turn = ? AND verdict != ?"
                " ORDER BY CASE verdict WHEN ? THEN 1 WHEN ? THEN 2 ELSE 0 END,"
                " score DESC, position LIMIT ?",
                (self._turn, FAILED, UNDECIDED, task.verdict_words[0], most),
            )
            return {identity for identity, explained in rows if explained < EXPLAINED}

    def verdicts(self) -> Iterator[Verdict]:
        """Yield the verdicts of this scan, including those reused from the ledger, in order."""
        with _errors_with_a_name(self.path):
            rows = self._database.execute(
                f"SELECT {', '.join(FIELDS)} FROM items WHERE turn = ? ORDER BY position",
                (self._turn,),
            )
        while True:
            with _errors_with_a_name(self.path):
                row = rows.fetchone()
                if row is None:
                    return
                verdict = _verdict(row)
            yield verdict

    def picture(self, number: int, name: str) -> bytes:
        """Return the picture of this name of the item with this row number."""
        with _errors_with_a_name(self.path):
            (content,) = self._database.execute(
                "SELECT content FROM explanations WHERE item = ? AND name = ?", (number, name)
            ).fetchone()
            return bytes(content)

    def numbers(self, name: str) -> dict[str, int]:
        """Return row numbers of this scan's items with a picture of this name, by SHA-256."""
        with _errors_with_a_name(self.path):
            rows = self._database.execute(
                "SELECT sha256, id FROM items JOIN explanations ON item = id"
                " WHERE turn = ? AND name = ?",
                (self._turn, name),
            )
            return {sha256: number for sha256, number in rows if sha256}

    def drop_explanations(self) -> None:
        """Delete the explanations and free their space, for use once a report contains them."""
        with _errors_with_a_name(self.path):
            with self._together():
                self._database.execute("DELETE FROM explanations WHERE name = ?", (EXPLANATION,))
                self._database.execute(
                    "UPDATE items SET explained = ? WHERE explained > ?", (THUMBNAILS, THUMBNAILS)
                )
            self._database.execute("VACUUM")
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the ledger; closing it twice is allowed."""
        self._database.close()

    def _hold(self) -> None:
        """Lock the file for as long as it is open, and check that it is a ledger."""
        self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._database.execute("PRAGMA trusted_schema = OFF")
        # Checked before the first write, so that other databases are not changed.
        kind = self._number("PRAGMA application_id")
        fresh = not self._number("SELECT count(*) FROM sqlite_schema")
        if not fresh and kind != _APPLICATION:
            raise RunError(
                f"{self.path}: is a database, but not the ledger of a scan; choose another file"
            )
        version = VERSION if fresh else self._number("PRAGMA user_version")
        if version != VERSION:
            reason = f"is a ledger of version {version}, but this trueshot writes version {VERSION}"
            raise RunError(f"{self.path}: {reason}; choose another file, or delete it")
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.execute("BEGIN EXCLUSIVE")
        self._database.execute(f"PRAGMA application_id = {_APPLICATION}")
        self._database.execute(f"PRAGMA user_version = {VERSION}")
        if fresh:
            for statement in _TABLES.split(";"):
                self._database.execute(statement)
        self._database.execute("COMMIT")

    def _claim(self, claim: Mapping[str, str]) -> None:
        held = dict(self._database.execute("SELECT name, value FROM claim").fetchall())
        for name, wanted in claim.items():
            if held and held.get(name) != wanted:
                was = f"{name} {_short(held.get(name, 'unknown'))}, not {_short(wanted)}"
                advice = "choose another --out or --ledger, or delete it to start again"
                raise RunError(f"{self.path}: is the ledger of a scan with {was}; {advice}")
        with self._together():
            self._database.executemany("INSERT OR IGNORE INTO claim VALUES (?, ?)", claim.items())

    @contextlib.contextmanager
    def _together(self) -> Iterator[None]:
        self._database.execute("BEGIN")
        try:
            yield
        except BaseException:
            if self._database.in_transaction:  # SQLite itself undoes it if the disk is full
                self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def _number(self, question: str) -> int:
        return int(self._database.execute(question).fetchone()[0])


def _crc(item: Item) -> int:
    return -1 if item.member is None else item.member.crc


def _row(verdict: Verdict) -> Iterator[Any]:
    """Yield the columns of a verdict as SQLite values."""
    for name in FIELDS:
        value = getattr(verdict, name)
        yield json.dumps(value) if name in _AS_JSON else value


def _verdict(row: tuple[Any, ...], name: str | None = None) -> Verdict:
    fields = dict(zip(FIELDS, row, strict=True))
    fields |= {name: json.loads(fields[name]) for name in _AS_JSON}
    return Verdict.from_record(fields, name, task=None)


def _short(value: str) -> str:
    return value[:12]


@contextlib.contextmanager
def _errors_with_a_name(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            reason = (
                "another scan is using it; wait until it has finished, or choose another --ledger"
            )
            raise RunError(f"{path}: {reason}") from None
        advice = "check the folder and the free space"
        raise RunError(
            f"{path}: the ledger cannot be read or written ({error}); {advice}"
        ) from error
    except (sqlite3.DatabaseError, ValueError, TypeError) as error:
        advice = "delete it to start again, or choose another --ledger"
        raise RunError(f"{path}: is damaged, or not a ledger ({error}); {advice}") from error
    except OSError as error:
        raise RunError(f"{path}: cannot be created ({error.strerror}); check the folder") from error


class Pictures(Mapping[str, _Picture]):
    """Pictures of one name, by SHA-256 of the image file, read from the ledger one by one.

    Args:
        ledger: The ledger of the scan; it has to stay open.
        name: `THUMBNAIL` or `EXPLANATION`.
        parse: Makes a picture of its bytes.
    """

    def __init__(self, ledger: Ledger, name: str, parse: Callable[[bytes], _Picture]) -> None:
        self._ledger, self._name, self._parse = ledger, name, parse
        self._numbers = ledger.numbers(name)

    def __getitem__(self, sha256: str) -> _Picture:
        return self._parse(self._ledger.picture(self._numbers[sha256], self._name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)
