"""Manifests are read as others write them, or refused with what was found and what is wanted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from trueshot.calibrating.photographs import photographs_of
from trueshot.datasets.photos import Photo, photos_in_manifest, refuse_one_class
from trueshot.errors import DatasetError
from trueshot.tasks import task_named
from trueshot.tasks.recapture import RECAPTURE

ROWS = [
    ("p/0.jpg", "original", "s0"),
    ("p/1.jpg", "recaptured", "s0"),
    ("p/é.jpg", "original", "s1"),
]
HEADER = ("path", "label", "source")


def text(
    delimiter: str = ",",
    header: tuple[str, ...] = HEADER,
    before: str = "",
    after: str = "",
    end: str = "\n",
    path: Callable[[str], str] = str,
) -> str:
    lines = [header, *((path(name), *more) for name, *more in ROWS)]
    return before + "".join(delimiter.join(line) + end for line in lines) + after


READ = {
    "plain": text().encode(),
    "byte order mark": text().encode("utf-8-sig"),
    "UTF-16": text().encode("utf-16"),
    "UTF-16 without a mark": text().encode("utf-16-le"),
    "UTF-16, big end first": text().encode("utf-16-be"),
    "Latin-1": text().encode("latin-1"),
    "lines of Windows": text(end="\r\n").encode(),
    "lines of old Macs": text(end="\r").encode(),
    "semicolons": text(";").encode(),
    "tabs": text("\t").encode(),
    "bars": text("|").encode(),
    "blanks": text(" , ", header=(" path", "label", "source ")).encode(),
    "sep=": text(";", before="sep=;\r\n").encode(),
    "sep= of another delimiter": text("~", before="SEP=~\n").encode(),
    "comments": text(before="# cameras\n\n#\n", after="# the end\n").encode(),
    "capitals": text(header=("Path", "LABEL", "Source")).encode(),
    "quotes": text(header=('"path"', '"Label"', '"source"')).encode(),
    "empty last rows": text(after=",,\n\n,,,,\n").encode(),
    "empty last columns": text(end=",,\n").encode(),
    "backslashes": text(path=lambda name: name.replace("/", "\\")).encode(),
    "backslashes from here": text(path=lambda name: ".\\" + name.replace("/", "\\")).encode(),
    "other labels": text().replace(",original", ",Original").encode(),
}


def write(folder: Path, data: bytes, name: str = "list.csv") -> Path:
    (folder / "p").mkdir(exist_ok=True)
    for place, _, _ in ROWS:
        (folder / place).write_bytes(b"")
    (folder / name).write_bytes(data)
    return folder / name


def assert_read(photos: list[Photo], folder: Path) -> None:
    found = [(photo.path.resolve(), photo.label, photo.source) for photo in photos]
    assert found == [((folder / place).resolve(), *more) for place, *more in ROWS]


@pytest.mark.parametrize("name", READ)
def test_what_is_plain_is_read(tmp_path: Path, name: str) -> None:
    manifest = write(tmp_path, READ[name])
    assert_read(photos_in_manifest(manifest), tmp_path)
    sources = [photograph.source for photograph in photographs_of(manifest, "validation")]
    assert sources == [source for _, _, source in ROWS], "by bundle, too"


def test_a_path_as_a_uri_is_a_path(tmp_path: Path) -> None:
    data = text(path=lambda name: (tmp_path / name).as_uri()).encode()
    assert b"%C3%A9" in data
    assert_read(photos_in_manifest(write(tmp_path, data)), tmp_path)


def test_a_backslash_that_is_part_of_a_name_stays_one(tmp_path: Path) -> None:
    manifest = write(tmp_path, text(path=lambda name: name.replace("0", "a\\b")).encode())
    (tmp_path / "p" / "a\\b.jpg").write_bytes(b"")
    assert photos_in_manifest(manifest)[0].path == tmp_path / "p" / "a\\b.jpg"


def test_a_path_too_long_for_a_file_costs_no_other_row(tmp_path: Path) -> None:
    listed = f"path,label\n{'a' * 300}.jpg,original\nb.jpg,recaptured\n"
    photos = photos_in_manifest(write(tmp_path, listed.encode()))
    assert [len(photo.name) for photo in photos] == [304, 5]


def test_a_photograph_whose_name_begins_as_a_comment_is_one(tmp_path: Path) -> None:
    manifest = write(tmp_path, text(path=lambda name: name.replace("p/0", "#0")).encode())
    assert photos_in_manifest(manifest)[0].name == "#0.jpg"


@pytest.mark.parametrize("suffix", ["pq", "parquet", "PARQUET", "data"])
@pytest.mark.parametrize("kind", [pa.string(), pa.binary(), pa.large_string()])
def test_parquet_is_known_by_content_and_read_with_binary_columns(
    tmp_path: Path, suffix: str, kind: pa.DataType
) -> None:
    columns = {
        name.upper(): pa.array([row[place].encode() for row in ROWS], pa.binary()).cast(kind)
        for place, name in enumerate(HEADER)
    }
    manifest = write(tmp_path, b"", f"list.{suffix}")
    pyarrow.parquet.write_table(pa.table(columns), manifest)
    assert_read(photos_in_manifest(manifest), tmp_path)
    assert len(photographs_of(manifest, "test")) == 3


WINDOWS = "is a Windows path, which does not exist on this system; use paths"
REFUSED = {
    "no path": (
        b"file,label\na.jpg,original\n",
        "lacks the column path: its first line is 'file,label', but should be a header such as",
    ),
    "no label": (b"path,class\na.jpg,original\n", "lacks the column label"),
    "a short first row": (
        b"path,label\na.jpg\nb.jpg,original\n",
        "row 1 (a.jpg): unknown label ''; use one of original, recaptured",
    ),
    "a URI that is none": (
        b"path,label\nfile://[nas/a.jpg,original\n",
        "row 1: file://[nas/a.jpg: Invalid IPv6 URL; use paths relative to the manifest",
    ),
    "nothing": (b"", "lists no photographs"),
    "a header alone": (b"path,label\n,\n", "lists no photographs"),
    "columns twice": (b"path,Path,label\na,b,original\n", "has the column path twice"),
    "too many columns": (
        b"path,label\na,b,original\n",
        "row 1: has 3 columns, but the header has 2",
    ),
    "a drive": (
        text(path=lambda name: "C:\\photos\\" + name).encode(),
        rf"row 1: C:\photos\p/0.jpg {WINDOWS}",
    ),
    "a drive with slashes": (text(path=lambda name: "C:/photos/" + name).encode(), WINDOWS),
    "a share": (text(path=lambda name: "\\\\server\\" + name).encode(), WINDOWS),
    "a drive as a URI": (
        text(path=lambda name: "file:///C:/photos/" + name).encode(),
        "is on another machine; use paths",
    ),
    "another machine": (text(path=lambda name: "file://nas/" + name).encode(), "another machine"),
    "a network": (
        text(path=lambda name: "https://example.org/" + name).encode(),
        "is a network address, and nothing is downloaded",
    ),
    "Excel": (b"PK\3\4 and so on", "is an Excel workbook, or another zip archive; save it as CSV"),
    "JSON": (b'[{"path": "a.jpg"}]', "is JSON; save it as CSV"),
    "a photograph": (b"\xff\xd8\xff\xe1" + bytes(range(129, 160)), "cannot be read as a manifest"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_plain_is_refused_with_what_was_found(tmp_path: Path, name: str) -> None:
    data, words = REFUSED[name]
    manifest = write(tmp_path, data)
    with pytest.raises(DatasetError) as caught:
        photos_in_manifest(manifest)
    with pytest.raises(DatasetError) as caught_by_bundle:
        photographs_of(manifest, "test")
    assert str(caught.value) == str(caught_by_bundle.value)
    assert str(caught.value).startswith(str(manifest))
    assert words in str(caught.value)


def test_a_task_that_makes_its_examples_needs_no_label(tmp_path: Path) -> None:
    manifest = write(tmp_path, b"sep=;\r\nPATH\r\np/0.jpg\r\n")
    (photo,) = photos_in_manifest(manifest, task_named("manipulation"))
    assert photo.path == tmp_path / "p" / "0.jpg"


def test_one_class_alone_is_said_to_be_that(tmp_path: Path) -> None:
    manifest = write(tmp_path, b"path,label\na.jpg,original\nb.jpg,original\n")
    words = "all 2 photographs are original, and none is recaptured; list photographs of"
    with pytest.raises(DatasetError, match=words):
        refuse_one_class(manifest, photos_in_manifest(manifest), RECAPTURE)
    with pytest.raises(DatasetError, match="has no recaptured photograph for test"):
        photographs_of(manifest, "test")
