"""Prepared data sets on disk: a card, Parquet tables, and crops as memory-mapped bytes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet

from trueshot.datasets.batches import Part
from trueshot.datasets.splits import PARTS, check_disjoint, check_origins
from trueshot.errors import DatasetError, TaskError
from trueshot.files import write_atomically, write_json
from trueshot.tasks import Task
from trueshot.tasks.recapture import RECAPTURE

FORMAT = 1
_CARD = "dataset.json"
_PHOTOS = "photos.parquet"


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A prepared data set, open for reading; pixels stay on disk until a batch needs them.

    Args:
        folder: Folder of the data set.
        card: Content of dataset.json.
        photos: Table with one row per photograph; see docs/datasets.md.
        crops: For each side, a table with one row per crop, in the order of the stored pixels.
    """

    folder: Path
    card: Mapping[str, Any]
    photos: pa.Table
    crops: Mapping[int, pa.Table]

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Dataset:
        """Open a data set and check that it is complete and that no part leaks into another.

        Raises:
            DatasetError: It is missing, unfinished or damaged.
            LeakError: A photo or a source is in more than one part; or, if the manifest gave the
                split, an origin is.
        """
        root = Path(folder)
        card = _read_card(root)
        try:
            photos = pyarrow.parquet.read_table(root / _PHOTOS)
            crops = {
                int(side): pyarrow.parquet.read_table(crops_table(root, int(side)))
                for side in card["sides"]
            }
            dataset = cls(folder=root, card=card, photos=photos, crops=crops)
            dataset._check()
        except PermissionError as error:
            raise DatasetError(f"{root}: cannot be read: {error}") from error
        except (
            OSError,
            EOFError,  # of an empty crops.npy
            KeyError,
            ValueError,
            TypeError,
            AttributeError,
            TaskError,
            pa.ArrowException,
        ) as error:
            raise DatasetError(f"{root}: damaged: {error}; prepare it again") from error
        return dataset

    @property
    def task(self) -> Task:
        """The task; recapture for data sets prepared before there were other tasks."""
        return Task.of_facts(self.card["task"]) if "task" in self.card else RECAPTURE

    @property
    def sides(self) -> list[int]:
        """The available crop sizes, in pixels, sorted."""
        return sorted(self.crops)

    def only_side(self) -> int:
        """Return the crop size, in pixels, of a data set with a single one.

        Raises:
            DatasetError: The data set has several sizes.
        """
        if len(self.sides) != 1:
            raise DatasetError(
                f"{self.folder}: has the crop sizes {self.sides}; choose one with --size"
            )
        return self.sides[0]

    @property
    def shared(self) -> list[str]:
        """Kinds of origins that the parts share on purpose, such as `camera`; usually none."""
        return list(self.card.get("shared", ()))

    def leak(self) -> str:
        """Return a note on what the parts share on purpose; empty if they share nothing."""
        if not self.shared:
            return ""
        names = " and ".join({"medium": "media"}.get(kind, f"{kind}s") for kind in self.shared)
        return (
            f"train, validation and test share {names}, on purpose: figures on its test part say "
            "nothing of others"
        )

    def fingerprint(self, side: int) -> str:
        """Return the SHA-256 of photographs, examples, crops, labels and parts at a crop size.

        Raises:
            DatasetError: The data set does not have that size.
        """
        self._require(side)
        return str(self.card["sides"][str(side)]["fingerprint"])

    def part(self, side: int, name: str) -> Part:
        """Return the crops of a part: `train`, `validation` or `test`.

        Raises:
            DatasetError: There is no such size or part.
        """
        self._require(side)
        if name not in PARTS:
            raise DatasetError(f"unknown part {name!r}; choose one of {', '.join(PARTS)}")
        table = self.crops[side]
        rows = np.flatnonzero(np.asarray(table["part"].to_pylist(), dtype=object) == name)
        label = self.task.label
        labels = np.array([label(name) for name in table["label"].to_pylist()], np.int64)
        pixels = crops_pixels(self.folder, side)
        return Part(pixels=pixels, rows=rows, labels=labels[rows])

    def _require(self, side: int) -> None:
        if side not in self.crops:
            raise DatasetError(f"{self.folder}: has no crops of {side} px, only {self.sides}")

    def _check(self) -> None:
        for label in self.photos["label"].to_pylist():
            self.task.label(label)
        read = [row for row in self.photos.to_pylist() if row["part"]]
        kinds = ["path", "sha256", "pixels_sha256"]
        kinds += ["source"] if self.card["split_by"] == "source" else []
        # Photographs of unknown source do not share a source.
        keys = {k: [row[k] or f"(none: {row['path']})" for row in read] for k in kinds}
        parts = [row["part"] for row in read]
        check_disjoint(keys, parts)
        if self.card["split_by"] == "manifest":
            known = [json.loads(row["origins"]) | {"source": row["source"]} for row in read]
            check_origins(known, parts, shared=self.shared)
        for side, table in self.crops.items():
            rows = table.to_pylist()
            check_disjoint({"path": [r["path"] for r in rows]}, [r["part"] for r in rows])
            either = (fingerprint(self.photos, table, examples) for examples in (True, False))
            if self.fingerprint(side) not in either:
                raise ValueError(
                    f"its tables for {side} px do not match the fingerprint in {_CARD}"
                )
            pixels = crops_pixels(self.folder, side)
            if pixels.dtype != np.uint8 or pixels.shape != (len(rows), side, side, 3):
                raise ValueError(
                    f"{crops_file(self.folder, side)} has the wrong type or shape: "
                    f"{pixels.dtype} {pixels.shape}"
                )


def crops_file(root: Path, side: int) -> Path:
    """Return the path of the pixels of one crop size: NumPy bytes of shape (n, side, side, 3)."""
    return root / f"{side}px" / "crops.npy"


def crops_pixels(root: Path, side: int) -> npt.NDArray[Any]:
    """Open the pixels of one crop size as a memory map.

    Raises:
        OSError, EOFError, ValueError: The file is missing, or is not a NumPy array.
    """
    pixels = np.load(crops_file(root, side), mmap_mode="r", allow_pickle=False)
    if not isinstance(pixels, np.ndarray):  # of a zip archive
        raise ValueError(f"{crops_file(root, side)} is a zip archive, not a NumPy array")
    return pixels


def crops_table(root: Path, side: int) -> Path:
    """Return the path of the table of one crop size, in the order of the pixels."""
    return root / f"{side}px" / "crops.parquet"


def fingerprint(photos: pa.Table, crops: pa.Table, examples: bool = True) -> str:
    """Return the SHA-256 of paths, labels, sources, parts, file hashes and crop positions.

    Origins are included if there are any, and so are the hashes of the pixels of a task's examples,
    which the hashes of their photographs' files do not determine.

    Args:
        photos: Table with a row per photograph.
        crops: Table with a row per crop of one size.
        examples: Whether to include the hashes of examples; the fingerprints of older data sets
            lack them.
    """
    columns = ["path", "label", "source", "part", "sha256"]
    # Only if there are any, so that data sets made before origins existed keep their fingerprints.
    if "origins" in photos.column_names and set(photos["origins"].to_pylist()) != {"{}"}:
        columns.append("origins")
        if examples and any("photograph" in json.loads(o) for o in photos["origins"].to_pylist()):
            columns.append("pixels_sha256")
    digest = hashlib.sha256()
    for table in (photos.select(columns), crops):
        digest.update(json.dumps(table.to_pydict(), sort_keys=True).encode())
    return digest.hexdigest()


def write_tables(root: Path, photos: pa.Table, crops: Mapping[int, pa.Table]) -> None:
    """Write the tables of a data set, each atomically."""
    _write_parquet(root / _PHOTOS, photos)
    for side, table in crops.items():
        _write_parquet(crops_table(root, side), table)


def write_card(root: Path, card: Mapping[str, Any]) -> None:
    """Write the card. It has to be written last, so that a data set with a card is complete."""
    write_json(root / _CARD, {"format": FORMAT, **card})


def has_card(root: Path) -> bool:
    """Whether a data set is finished."""
    return (root / _CARD).is_file()


def remove_card(root: Path) -> None:
    """Mark a data set as unfinished by deleting its card, if there is one."""
    (root / _CARD).unlink(missing_ok=True)


def _read_card(root: Path) -> dict[str, Any]:
    if not has_card(root):
        state = "unfinished: run the command that prepares it again" if root.is_dir() else "missing"
        raise DatasetError(f"{root}: not a data set, or {state}")
    try:
        card = json.loads((root / _CARD).read_text("utf-8"))
        found = card["format"]
    except PermissionError as error:
        raise DatasetError(f"{root / _CARD}: cannot be read: {error}") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DatasetError(f"{root / _CARD}: damaged: {error}; prepare it again") from error
    if found != FORMAT:
        raise DatasetError(
            f"{root}: data set format {found} is not supported; this version reads format {FORMAT}"
        )
    return dict(card)


def _write_parquet(path: Path, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink)
    write_atomically(path, sink.getvalue().to_pybytes())
