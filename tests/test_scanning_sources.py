"""What becomes an item, in which order, and what is refused with a reason."""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from trueshot.errors import TruncatedImageError
from trueshot.files import sanitize, sanitize_unique
from trueshot.images import find_images
from trueshot.scanning import archives
from trueshot.scanning.archives import read_member
from trueshot.scanning.item import Item, Member
from trueshot.scanning.sources import items


def names(*paths: str | Path, **more: object) -> list[str]:
    return [item.name for item in items([*paths], **more)]  # type: ignore[arg-type]


def reasons(*paths: str | Path) -> list[str]:
    found = [item.reason for item in items([*paths])]
    assert all(found)
    return [str(reason) for reason in found]


def touch(folder: Path, *files: str) -> None:
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.encode("utf-8", "surrogateescape"))


def archive(path: Path, members: Sequence[tuple[str, bytes]], **how: int) -> Path:
    with zipfile.ZipFile(path, "w", **how) as file:  # type: ignore[arg-type]
        for name, data in members:
            file.writestr(name, data)
    return path


def unpacked(item: Item) -> bytes:
    assert item.member is not None
    return read_member(item.path, item.member)


def test_a_folder_is_listed_as_find_images_lists_it(tmp_path: Path) -> None:
    touch(tmp_path, "b.jpg", "a/z.PNG", "a.tif", "a/b/c.webp", "ab/x.jpeg", "notes.txt", "a/.h.jpg")
    touch(tmp_path, ".hidden/x.jpg", "a0.jpg", "ü.jpg", "A.jpg")
    touch(tmp_path, "ab/photograph", "z.data")
    (tmp_path / "ab" / "photograph").write_bytes(b"\xff\xd8\xff\xe0")
    others: list[Path] = []
    listed = find_images(tmp_path, others)
    assert listed[-4:-2] == [tmp_path / "ab" / "photograph", tmp_path / "ab" / "x.jpeg"]
    assert others == [tmp_path / "notes.txt", tmp_path / "z.data"]
    *found, told = items([tmp_path])
    assert [Path(item.path) for item in found] == listed
    assert told.passed_over == 3, "these two, and a hidden folder"
    assert [item.state.size for item in found] == [path.stat().st_size for path in listed]


def test_a_file_that_is_named_is_an_item_whatever_its_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "notes.txt", ".hidden")
    assert names(tmp_path / "notes.txt", tmp_path / ".hidden") == [
        str(tmp_path / "notes.txt"),
        str(tmp_path / ".hidden"),
    ]


def test_what_is_named_twice_is_one_item(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.jpg", "b/c.jpg")
    archive(tmp_path / "z.zip", [("c.jpg", b"c")])
    monkeypatch.chdir(tmp_path)
    given = ("b", ".", "a.jpg", tmp_path / "a.jpg", "*.jpg", "**/*.jpg", "./b/../a.jpg", "z.zip")
    assert names(*given) == ["b/c.jpg", "./a.jpg", "./z.zip!/c.jpg"]


def test_patterns_stand_for_what_the_shell_would_have_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "1.jpg", "2.jpg", "3.txt", "d/4.jpg", "d/e/5.jpg", ".6.jpg", "d/.f/7.jpg")
    touch(tmp_path, "[1].jpg")
    monkeypatch.chdir(tmp_path)
    assert names("?.jpg") == ["1.jpg", "2.jpg"]
    assert names("[12].jpg") == ["1.jpg", "2.jpg"]
    assert names("[1].jpg") == ["[1].jpg"], "a file of that very name comes first"
    assert names("**/*.jpg") == ["1.jpg", "2.jpg", "[1].jpg", "d/4.jpg", "d/e/5.jpg"]
    assert names("d*") == ["d/4.jpg", "d/e/5.jpg", "d"]
    assert list(items("d"))[-1].reason == "1 file is not an image, or is hidden: .f"
    assert names(f"{tmp_path}/d/*/5*") == [f"{tmp_path}/d/e/5.jpg"]
    assert reasons("*.bmp") == ["nothing matches this pattern; check it"]


def test_circles_of_links_are_not_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "d/a.jpg")
    for name in ("x", "y", "d/x", "d/y.jpg"):
        (tmp_path / name).symlink_to(tmp_path)
    (tmp_path / "d" / "loop.jpg").symlink_to("loop.jpg")
    monkeypatch.chdir(tmp_path)
    assert names(".") == ["./d/a.jpg", "./d/loop.jpg", "./d/y.jpg"]
    assert "d/a.jpg" in names("**/*.jpg")


def test_links_are_followed_inside_a_folder_and_not_out_of_it(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.jpg", "out/b.jpg")
    (tmp_path / "in" / "inner.jpg").symlink_to("a.jpg")
    (tmp_path / "in" / "outer.jpg").symlink_to(tmp_path / "out" / "b.jpg")
    (tmp_path / "in" / "folder").symlink_to(tmp_path / "out")
    (tmp_path / "in" / "nowhere.jpg").symlink_to("nothing")
    found = {Path(item.path).name: item.reason for item in items([tmp_path / "in"])}
    assert found["a.jpg"] is found["inner.jpg"] is None
    assert "is a link to outside the folder" in str(found["outer.jpg"])
    assert "is a link to outside the folder" in str(found["folder"]), (
        "or 0 could hide what lies there"
    )
    assert "cannot be read" in str(found["nowhere.jpg"])
    assert len(found) == 5
    (tmp_path / "in" / "within").symlink_to(tmp_path / "in")
    assert len(list(items([tmp_path / "in"]))) == 5, "what is found without it"
    (tmp_path / "in" / "text").symlink_to("/etc/passwd")
    assert [item.passed_over for item in items([tmp_path / "in"])] == [0] * 5 + [1]
    assert str(tmp_path / "in" / "folder") in names(tmp_path / "in/**/*")
    (tmp_path / "named").symlink_to(tmp_path / "out")
    assert names(tmp_path / "named") == [f"{tmp_path}/named/b.jpg"], "a link that is named is meant"


@pytest.mark.parametrize("named", ["", "link.jpg", "link", "*"])
def test_a_link_that_cannot_be_followed_is_an_item_and_ends_nothing(
    tmp_path: Path, named: str
) -> None:
    touch(tmp_path, "z.jpg")
    for link in ("link.jpg", "link"):  # asked about, the system does not say that there is nothing
        (tmp_path / link).symlink_to("x" * 300)
    found = {item.path: item.reason for item in items([tmp_path / "z.jpg", tmp_path / named])}
    assert found.pop(str(tmp_path / "z.jpg")) is None
    wanted = {"link", "link.jpg"} if named in ("", "*") else {named}
    assert {Path(path).name for path in found} == wanted
    assert all("cannot be read (File name too long)" in str(why) for why in found.values())


def test_two_stars_at_the_end_of_a_pattern_stand_for_all_files_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "d/4.jpg", "d/e/5.jpg", "d/e/.6.jpg", "f/e/7.txt")
    (tmp_path / "empty" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for pattern in ("d/**", "d/**/", "d/**/*", "d/**/**"):
        assert names(pattern) == ["d/4.jpg", "d/e/5.jpg"], pattern
    for pattern in ("empty/**", "empty/**/*", "d/**/e"):
        assert reasons(pattern) == ["nothing matches this pattern; check it"], pattern


def test_a_file_has_one_identity_however_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a.jpg", "d/b.jpg", "d/-", "d/a.jpg", "e/f/c.jpg")
    (tmp_path / "link").symlink_to("e/f")
    monkeypatch.chdir(tmp_path / "d")
    (near,), (far,), (round_about,) = (
        items([name]) for name in ("b.jpg", tmp_path / "d" / "b.jpg", "../d/./b.jpg")
    )
    assert near.identity == far.identity == round_about.identity
    (piped,), (other,), (file,) = items(["-"], piped=b"1"), items(["-"], piped=b"2"), items(["./-"])
    assert len({piped.identity, other.identity, file.identity}) == 3
    assert len(list(items(["-", "./-"], piped=b"1"))) == 2
    # After a link, .. leads to another folder than in the text.
    touch(tmp_path, "e/a.jpg")
    monkeypatch.chdir(tmp_path)
    assert names("link/../a.jpg", "a.jpg") == ["link/../a.jpg", "a.jpg"]


def test_what_is_missing_empty_or_closed_is_an_item_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    touch(tmp_path, "file")
    assert (
        reasons(tmp_path / "no", tmp_path / "file" / "below", "zero\0byte")
        == ["there is no such file; check the path"] * 3
    )
    assert "holds no photographs" in reasons(tmp_path / "empty")[0]
    assert "File name too long" in reasons("x" * 5000)[0]


def test_folders_deeper_than_recursion_goes_are_walked(tmp_path: Path) -> None:
    made = [str(tmp_path)]
    try:
        for _ in range(1200):
            made.append(f"{made[-1]}/d")
            os.mkdir(made[-1])  # noqa: PTH102
        touch(Path(made[-1]), "a.jpg")
        assert names(tmp_path) == [f"{made[-1]}/a.jpg"]
    finally:
        (Path(made[-1]) / "a.jpg").unlink(missing_ok=True)
        for place in reversed(made[1:]):  # what clears up afterwards does recurse
            os.rmdir(place)  # noqa: PTH106


def test_folders_whose_path_is_too_long_are_errors(tmp_path: Path) -> None:
    above = os.open(tmp_path, os.O_RDONLY)
    for _ in range(25):
        os.mkdir("d" * 200, dir_fd=above)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=above)
        os.close(above)
        above = below
    os.close(above)
    (said,) = reasons(tmp_path)
    assert "File name too long" in said


def test_standard_input_is_one_photograph_or_a_list_of_names(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "new\nline.jpg", "d/b.jpg")
    (item,) = items(["-"], piped=b"bytes")
    assert (item.name, item.data) == ("-", b"bytes")
    lines = f"{tmp_path}/a.jpg\r\n\n{tmp_path}/d\n{tmp_path}/*.jpg\n-\n".encode()
    found = list(items(["-"], piped=lines, piped_names=True))
    assert [item.name for item in found[:2]] == [f"{tmp_path}/a.jpg", f"{tmp_path}/d/b.jpg"]
    assert [bool(item.reason) for item in found] == [False, False, True, True]
    zeros = f"{tmp_path}/new\nline.jpg\0{tmp_path}/a.jpg".encode()
    assert [item.path for item in items(["-"], piped=zeros, piped_names=True)] == [
        f"{tmp_path}/new\nline.jpg",
        f"{tmp_path}/a.jpg",
    ]


def test_names_with_a_zero_byte_after_each_are_taken_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "a.jpg\r", " ", "\n")
    found = list(items(["-"], piped=b"a.jpg\r\0 \0\n\0", piped_names=True))
    assert [(item.path, item.reason) for item in found] == [
        (n, None) for n in ("a.jpg\r", " ", "\n")
    ]


def test_names_are_printable_and_files_are_found_by_their_true_ones(tmp_path: Path) -> None:
    evil = [b"a\x1b[31m.jpg", b"b\nc.jpg", b"d\xff.jpg", "e\u202egpj.jpg".encode()]
    for name in evil:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b"1")
    found = list(items([tmp_path]))
    assert [os.fsencode(item.path).rpartition(b"/")[2] for item in found] == sorted(
        evil, key=os.fsdecode
    )
    assert [item.name.rpartition("/")[2] for item in found] == [
        "a\\x1b[31m.jpg",
        "b\\nc.jpg",
        "d\\udcff.jpg",
        "e\\u202egpj.jpg",
    ]


@given(some.text(some.characters(codec=None)))
def test_plain_text_has_one_line_and_no_control_character(text: str) -> None:
    shown = sanitize(text)
    assert len(shown.splitlines()) <= 1
    assert not any(ord(each) < 32 or 0x7F <= ord(each) < 0xA0 for each in shown)
    shown.encode("utf-8")
    assert sanitize(shown) == shown


TRICKY = some.text(some.sampled_from(["\\", "x", "1", "b", "n", "u", "2", "0", "e", "\x1b", "\n"]))


@given(TRICKY | some.text(), TRICKY | some.text())
def test_no_two_names_are_shown_alike(one: str, other: str) -> None:
    assert (sanitize_unique(one) == sanitize_unique(other)) == (one == other)
    assert sanitize(sanitize_unique(one)) == sanitize_unique(one)


def test_a_name_that_looks_like_an_escaped_one_is_told_from_it(tmp_path: Path) -> None:
    touch(tmp_path, "a\x1b.jpg", r"a\x1b.jpg", r"folder\photo.jpg")
    assert [name.rpartition("/")[2] for name in names(tmp_path)] == [
        r"a\x1b.jpg",
        r"a\\x1b.jpg",
        r"folder\photo.jpg",
    ]


def test_members_of_an_archive_are_read_without_unpacking_it(tmp_path: Path) -> None:
    data = bytes(range(256)) * 100
    members = [("a.jpg", data), ("d/b.PNG", b"b"), ("notes.txt", b"n"), ("__MACOSX/._a.jpg", b"m")]
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path = archive(tmp_path / f"{method}.zip", members, compression=method)
        *found, told = items([path])
        assert [item.name for item in found] == [f"{path}!/a.jpg", f"{path}!/d/b.PNG"]
        assert told.reason == "1 file is not an image, or is hidden: notes.txt"
        assert [unpacked(item) for item in found] == [data, b"b"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["0.zip", "8.zip"]


PNG = b"\x89PNG\r\n\x1a\n"


def test_members_are_known_by_content_under_any_name(tmp_path: Path) -> None:
    jpeg = b"\xff\xd8\xff\xe0" + bytes(90)
    names_ = [
        "none",
        "..\\..\\a.jpg",
        ".\\b.jpg",
        "./c",
        "d.data",
        "C:\\e.jpg",
        ".hidden",
        "f.jpg\0",
    ]
    texts = [("g\0.jpg", b"text"), ("a/h.txt", b"text"), ("__MACOSX/._a.jpg", b"text"), ("i/", b"")]
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path = tmp_path / f"{method}.zip"
        with zipfile.ZipFile(path, "w", method) as file:
            for name, data in [*((name, jpeg) for name in names_), ("dir/", PNG), *texts]:
                file.writestr(zipfile.ZipInfo(name.replace("\0", "\x7f")), data, method)
        path.write_bytes(path.read_bytes().replace(b"\x7f", b"\0"))
        *found, told = items([path])
        assert [item.name.partition("!/")[2] for item in found] == [
            "none", r"..\..\a.jpg", r".\b.jpg", "./c", "d.data", r"C:\e.jpg", r"f.jpg\x00",
            "dir/",
        ]  # fmt: skip
        assert ["points outside" in str(item.note) for item in found].count(True) == 2
        assert unpacked(found[-1]) == PNG
        assert told.passed_over == 3
        assert told.reason == "3 files are not images, or are hidden: .hidden, g\\x00.jpg, a/h.txt"


@pytest.mark.parametrize("through_link", [False, True])
def test_what_a_scan_writes_itself_is_not_passed_over(tmp_path: Path, through_link: bool) -> None:
    folder, link = tmp_path / "in", tmp_path / "link"
    touch(folder, "a.jpg", "results.jsonl", "notes.txt", "report.html")
    link.symlink_to(folder)
    own = [folder / "results.jsonl", folder / "report.html"]
    found = list(items([link if through_link else folder], own=own))
    assert [(item.passed_over, item.reason) for item in found] == [
        (0, None), (1, "1 file is not an image, or is hidden: notes.txt")
    ]  # fmt: skip


def test_archives_lie_in_folders_too_and_a_photograph_called_zip_is_a_photograph(
    tmp_path: Path,
) -> None:
    archive(tmp_path / "b.zip", [("x.jpg", b"x")])
    touch(tmp_path, "a.jpg", "c.zip")
    assert names(tmp_path) == [f"{tmp_path}/a.jpg", f"{tmp_path}/b.zip!/x.jpg", f"{tmp_path}/c.zip"]


def test_names_that_lead_out_of_an_archive_are_only_names(tmp_path: Path) -> None:
    evil = ["../../evil.jpg", "/etc/evil.jpg", "a/../../evil.jpg"]
    path = archive(tmp_path / "a.zip", [(name, b"evil") for name in evil])
    found = list(items([path]))
    assert [item.name for item in found] == [f"{path}!/{name}" for name in evil]
    assert all("points outside the archive" in str(item.note) for item in found)
    assert [unpacked(item) for item in found] == [b"evil"] * 3


def test_what_cannot_be_read_in_an_archive_says_why(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", [("inner.zip", b"PK"), ("b.jpg", b"b" * 99)])
    with zipfile.ZipFile(path, "a") as file:
        link = zipfile.ZipInfo("link.jpg")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/passwd")
        file.writestr("odd.jpg", b"o" * 99, zipfile.ZIP_LZMA)
        file.writestr("bomb.jpg", bytes(70 * 2**20), zipfile.ZIP_DEFLATED)
    assert [item.reason and item.reason.split(";")[0] for item in items([path])] == [
        "is an archive inside an archive",
        None,
        "is a link, and links in archives are not followed",
        "uses compression method 14, which is not supported",
        f"unpacks to {70 * 2**20:,} bytes from {compressed(path, 'bomb.jpg'):,}, like a zip bomb",
    ]


def compressed(path: Path, name: str) -> int:
    with zipfile.ZipFile(path) as file:
        return file.getinfo(name).compress_size


def patched(data: bytes, *changes: tuple[bytes, int, bytes]) -> bytes:
    """Change bytes at so many after each place where a mark stands."""
    changed = bytearray(data)
    for mark, after, new in changes:
        at = -1
        while (at := data.find(mark, at + 1)) >= 0:
            changed[at + after : at + after + len(new)] = new
    return bytes(changed)


CENTRAL, LOCAL, END = b"PK\1\2", b"PK\3\4", b"PK\5\6"


def test_encrypted_members_say_so(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", [("a.jpg", b"a")])
    path.write_bytes(patched(path.read_bytes(), (CENTRAL, 8, b"\1\0"), (LOCAL, 6, b"\1\0")))
    assert "is encrypted" in reasons(path)[0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ((END, 12, struct.pack("<I", 2**31)), "damaged zip archive"),  # the list of members
        ((CENTRAL, 0, b"XX"), "damaged zip archive"),
        ((CENTRAL, 20, struct.pack("<I", 2**30)), "overlap"),
        ((CENTRAL, 24, struct.pack("<I", 2**32 - 2)), "like a zip bomb"),
    ],
)
def test_archives_that_lie_are_refused(
    tmp_path: Path, change: tuple[bytes, int, bytes], reason: str
) -> None:
    path = archive(tmp_path / "a.zip", [("a.jpg", b"a" * 999)])
    path.write_bytes(patched(path.read_bytes(), change))
    (said,) = reasons(path)
    assert reason in said


def test_an_archive_of_overlapping_members_is_refused(tmp_path: Path) -> None:
    kernel = archive(tmp_path / "a.zip", [("a.jpg", os.urandom(5000))]).read_bytes()
    at = kernel.index(CENTRAL)
    entry, end = kernel[at : kernel.index(END)], kernel[kernel.index(END) :]
    count = 50
    end = end[:8] + struct.pack("<HHI", count, count, len(entry) * count) + end[16:]
    (tmp_path / "a.zip").write_bytes(kernel[:at] + entry * count + end)
    assert reasons(tmp_path / "a.zip") == ["has overlapping members, like a zip bomb; leave it out"]


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_MEMBERS", 2)
    path = archive(tmp_path / "a.zip", [(f"{number}.jpg", b"") for number in range(3)])
    assert "has 3 members, more than the limit of 2" in reasons(path)[0]


def test_members_of_one_name_are_told_apart(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        path = archive(tmp_path / "a.zip", [("a.jpg", b"1"), ("a.jpg", b"2")])
    first, second = items([path])
    assert (first.name, second.name) == (f"{path}!/a.jpg", f"{path}!/a.jpg (2)")
    assert first.identity != second.identity
    assert [unpacked(first), unpacked(second)] == [b"1", b"2"]


def test_a_number_that_tells_members_apart_is_not_given_twice(tmp_path: Path) -> None:
    members = ["a.jpg", "a.jpg", "a.jpg (2)", "a.jpg"]
    with pytest.warns(UserWarning, match="Duplicate"):
        path = archive(tmp_path / "a.zip", [(name, b"\xff\xd8\xff\xe0") for name in members])
    given = ["a.jpg", "a.jpg (2)", "a.jpg (2) (2)", "a.jpg (3)"]
    assert names(path) == [f"{path}!/{name}" for name in given]


def test_members_whose_names_are_empty_or_begin_with_a_zero_byte_are_items(tmp_path: Path) -> None:
    data = b"\xff\xd8\xff\xe0"
    path = archive(tmp_path / "a.zip", [("folder/", b""), ("?.jpg", data)])
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(zipfile.ZipInfo(""), data)
    path.write_bytes(patched(path.read_bytes(), (b"?.jpg", 0, b"\0")))
    found = list(items([path]))
    assert [item.name for item in found] == [f"{path}!/\\x00.jpg", f"{path}!/(no name)"]
    assert [(unpacked(item), item.note, item.reason) for item in found] == [(data, None, None)] * 2


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_member_is_never_taken_for_a_whole_one(tmp_path: Path, method: int) -> None:
    path = archive(tmp_path / "a.zip", [("a.jpg", os.urandom(300))], compression=method)
    whole = path.read_bytes()
    (item,) = items([path])
    for at in range(whole.index(CENTRAL)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        try:
            data = unpacked(item)
        except TruncatedImageError:
            continue
        path.write_bytes(whole)
        assert data == unpacked(item), f"byte {at}"


def test_an_empty_archive_and_one_without_photographs_are_errors(tmp_path: Path) -> None:
    empty = archive(tmp_path / "empty.zip", [])
    texts = archive(tmp_path / "texts.zip", [("a.txt", b"a")])
    assert ["holds no photographs" in reason for reason in reasons(empty, texts)] == [True, True]


def test_a_pipe_called_zip_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.zip")
    assert names(tmp_path) == [f"{tmp_path}/a.zip"]


def test_requests_are_what_json_can_hold(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", [("a.jpg", b"1")])
    (item,) = items([path])
    request = item.request()
    assert request["path"] == str(path)
    assert Member(**request["member"]) == item.member
    assert io.BytesIO(unpacked(item)).read() == b"1"
