"""Truncated, damaged, huge or hostile files, and what is not a file: SciFly's readers report it, and nothing worse."""

from __future__ import annotations

import io
import itertools
import os
import resource
import sqlite3
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scifly import readers
from scifly.model import Header
from scifly.readers import READERS, read, source, stem
from tests.builders.instrument_files import (
    packed,
    prodigy_region,
    prodigy_sle,
    prodigy_xml,
    prodigy_xy,
    ses_text,
    ses_wave,
    ses_zip,
    wave,
)
from tests.unit.scifly.readers.headers import LUND, header_of

GIGABYTE = 1 << 30


def sle() -> bytes:
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"scifly-{os.getpid()}.sle"
    prodigy_sle(path)
    try:
        return path.read_bytes()
    finally:
        path.unlink()


WHOLE: dict[str, tuple[str, bytes]] = {
    "a.txt": ("ses", ses_text(("Ag3d", "C1s"), slices=2, blocks=2).encode()),
    "b.txt": ("ses", ses_text(("Ag3d", "C1s")).replace("\n", "\r\n").encode("utf-16")),
    "c.ibw": ("ses", ses_wave()),
    "d.ibw": ("ses", wave("note: 1", version=2)),
    "e.pxt": ("ses", packed([ses_wave("Ag3d")])),
    "f.zip": ("ses", ses_zip()),
    "g.xy": (
        "prodigy",
        prodigy_xy(groups=[("g", [prodigy_region("O1s", "08/24/23 14:00:00")])]).encode(),
    ),
    "h.xml": ("prodigy", prodigy_xml(("O1s",)).encode()),
    "i.sle": ("prodigy", sle()),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


# ------------------------------------------------------------------------- any content


@pytest.mark.parametrize("name", list(WHOLE))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_cut_off_anywhere(folder: Path, name: str, data: st.DataObject) -> None:
    reader, whole = WHOLE[name]
    assert header_of(folder, name, whole, reader).complete
    length = data.draw(st.integers(0, len(whole) - 1))
    header = header_of(folder, name, whole[:length], reader)
    # Within its last line of numbers nobody can know how long that is.
    if length < len(whole) - 100:
        assert not header.complete
        assert header.problems


@pytest.mark.parametrize("name", list(WHOLE))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_anywhere(folder: Path, name: str, data: st.DataObject) -> None:
    reader, whole = WHOLE[name]
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(whole) - 1) | st.integers(0, min(len(whole) - 1, 400)))
        damaged[place : place + 4] = data.draw(
            st.sampled_from([b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0" * 4, b"9999"])
        )
    header_of(folder, name, bytes(damaged), reader)


@pytest.mark.parametrize("suffix", ["txt", "ibw", "pxt", "zip", "xy", "xml", "sle", ""])
@pytest.mark.parametrize("reader", READERS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=600) | st.text(alphabet="[]Info Region1=#:\n\r\v<>&;PK\x03\x04", max_size=600))
def test_anything(folder: Path, reader: str, suffix: str, content: bytes | str) -> None:
    header_of(folder, f"any.{suffix}", content.encode() if isinstance(content, str) else content, reader)


@given(name=st.text(max_size=60), reader=st.sampled_from(READERS))
def test_any_name_has_a_stem(name: str, reader: str) -> None:
    assert name.startswith(stem(reader, name))


# -------------------------------------------------------------------- of any size


@pytest.fixture
def bounded(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A check of the memory used since the test's start. A busy machine gets the time that it needs."""
    monkeypatch.setattr(readers, "READ_SECONDS", 3600.0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def check() -> None:
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # kB

    return check


def huge(path: Path, head: bytes, tail: bytes = b"", size: int = GIGABYTE) -> str:
    """A file with a hole in the middle."""
    with path.open("wb") as file:
        file.write(head)
        file.truncate(size)
        file.seek(0, os.SEEK_END)
        file.write(tail)
    return str(path)


def test_an_endless_line(tmp_path: Path, bounded: Callable[[], None]) -> None:
    head, _, tail = ses_text(("Ag3d", "C1s")).partition("Dimension 1 scale=")
    header = read(
        "ses", [huge(tmp_path / "a.txt", head.encode(), b"\n" + tail.encode(), GIGABYTE // 4)], LUND, str(tmp_path)
    )
    bounded()
    assert header.problems == ()
    assert "Region 2 C1s" in header.metadata


def test_endless_numbers_between_two_regions(tmp_path: Path, bounded: Callable[[], None]) -> None:
    one, two = ses_text(("Ag3d", "C1s")).split("[Region 2]")
    header = read(
        "ses",
        [huge(tmp_path / "a.txt", one.encode(), b"\n[Region 2]" + two.encode(), GIGABYTE // 4)],
        LUND,
        str(tmp_path),
    )
    bounded()
    assert header.complete
    assert "Region 2 C1s" in header.metadata


def test_endless_scans(tmp_path: Path, bounded: Callable[[], None]) -> None:
    second = prodigy_region("C1s", "08/24/23 14:00:00 UTC")
    header = read(
        "prodigy",
        [huge(tmp_path / "a.xy", prodigy_xy().encode(), b"\n" + second.encode(), GIGABYTE // 4)],
        LUND,
        str(tmp_path),
    )
    bounded()
    assert "Region 2 C1s" in header.metadata


def test_a_wave_of_a_gigabyte(tmp_path: Path, bounded: Callable[[], None]) -> None:
    whole = ses_wave(shape=(1 << 27,), data=b"")
    head = bytearray(whole[:384])
    struct.pack_into("<i", head, 4, 320 + GIGABYTE)
    path = huge(tmp_path / "a.ibw", bytes(head), whole[384:], GIGABYTE + 384)
    header = read("ses", [path], LUND, str(tmp_path))
    bounded()
    assert header.problems == ()
    assert header.metadata["Region 1 Ag3d"]["Axis 1 points"] == 1 << 27


def test_endless_counts_in_xml(tmp_path: Path, bounded: Callable[[], None]) -> None:
    head, _, tail = prodigy_xml(("O1s",), count="COUNTS").partition("COUNTS")
    path = tmp_path / "a.xml"
    with path.open("wb") as file:
        file.write(head.encode())
        for _ in range(20):
            file.write(b"1234\n" * (1 << 20))
        file.write(tail.encode())
    header = read("prodigy", [str(path)], LUND, str(tmp_path))
    bounded()
    assert header.problems == ()


def test_reading_stops_at_the_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: float(next(looks)))  # each look at it takes a second
    monkeypatch.setattr(readers, "time", clock)
    monkeypatch.setattr(source, "time", clock)
    one, two = ses_text(("Ag3d", "C1s")).split("[Region 2]")
    first = huge(tmp_path / "a.txt", one.encode(), b"\n[Region 2]" + two.encode(), 4 * GIGABYTE)
    header = read("ses", [first, str(tmp_path / "b.txt")], LUND, str(tmp_path))
    assert header.problems == (
        "1 files were not read, because there was no time left",
        "a.txt: not read to its end: too large for the available time",
    )
    assert header.complete  # nobody knows better
    assert "Region 1 Ag3d" in header.metadata


def test_lines_at_every_offset_in_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The result does not change if blocks end within a line end, a mark, or a character."""
    text = ses_text(("Ag3d", "C1s"), slices=2).replace("User=AN", "User=Åsa").replace("\n", "\r\n")
    expected = header_of(tmp_path, "a.txt", text.encode())
    assert expected.complete
    for size in (1, 2, 3, 5, 7, 64, 1000):
        monkeypatch.setattr(source, "BLOCK_BYTES", size)
        for encoding in ("utf-8", "utf-16"):
            assert header_of(tmp_path, "a.txt", text.encode(encoding)) == expected


def test_endless_headers(tmp_path: Path, bounded: Callable[[], None]) -> None:
    with (tmp_path / "a.txt").open("wb") as file:
        file.write(b"[Info]\nNumber of Regions=1\n")
        for number in range(200):
            file.write(b"[Info %d]\n" % number + b"a%d=" % number + b"x" * (1 << 20) + b"\n")
    header = read("ses", [str(tmp_path / "a.txt")], LUND, str(tmp_path))
    bounded()
    assert header.problems[0] == "a.txt: not read to its end: more than 64 MB of headers"


def test_endless_blanks_in_a_section_mark(tmp_path: Path, bounded: Callable[[], None]) -> None:
    header_of(tmp_path, "a.txt", b"[Info]\n" + (b"[Region" + b" " * 500_000 + b"x\n") * 4)
    bounded()


def test_a_million_regions(tmp_path: Path, bounded: Callable[[], None]) -> None:
    header = header_of(tmp_path, "a.txt", b"[Info]\n" + b"".join(b"[Region %d]\na=1\n" % n for n in range(1, 300_000)))
    bounded()
    assert len(header.metadata) < 100


# ---------------------------------------------------------------------------- hostile


ENTITIES = "".join(f'<!ENTITY {b} "{f"&{a};" * 20}">' for a, b in zip("abcdefghi", "bcdefghiz", strict=True))
LAUGHS = """<?xml version="1.0"?><!DOCTYPE any [<!ENTITY a "ha">%s]><any><struct type_name="RegionData">
<string name="name">&z;</string></struct></any>"""


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (
            LAUGHS % "".join(f'<!ENTITY {b} "{f"&{a};" * 20}">' for a, b in zip("abcdefghi", "bcdefghiz", strict=True)),
            "entit",
        ),
        ('<!DOCTYPE any [<!ENTITY z SYSTEM "file:///etc/passwd">]><any>&z;</any>', "entit"),
        ('<!DOCTYPE any [<!ENTITY % z SYSTEM "http://127.0.0.1:9/x.dtd"> %z;]><any/>', "entit"),
        ('<!DOCTYPE any SYSTEM "file:///etc/passwd"><any/>', "is not an XML file of SpecsLab"),
        ("<a>" * 5000, "nested elements"),
        (f'<any x="{"y" * (20 << 20)}"/>', "a tag of more than"),
        ("<any><unclosed></any>", "is not XML"),
        ("<html><body>hello</body></html>", "is not an XML file of SpecsLab"),
    ],
)
def test_hostile_xml(tmp_path: Path, content: str, why: str, bounded: Callable[[], None]) -> None:
    header = header_of(tmp_path, "a.xml", content.encode(), "prodigy")
    assert why in header.problems[0]
    assert "root:" not in str(header)


def test_a_zip_bomb(tmp_path: Path, bounded: Callable[[], None]) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("bomb.ini", "w") as bomb:
        bomb.write(b"[SES]\nLens Mode=Angular30\n")
        for _ in range(300):
            bomb.write(bytes(1 << 20))
    header = header_of(tmp_path, "a.zip", made.getvalue())
    bounded()
    assert header.metadata["Region 1"]["Lens mode"] == "Angular30"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_methods_are_refused(tmp_path: Path, method: int) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        archive.writestr("a.ini", "[SES]\n")
    assert "compressed in a way" in header_of(tmp_path, "a.zip", made.getvalue()).problems[0]


def test_a_zip_of_another_program(tmp_path: Path) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("../../etc/passwd", "hello")
    header = header_of(tmp_path, "a.zip", made.getvalue())
    assert header.problems == ("a.zip: is not a zip file of Scienta SES: it has no .ini with a section [SES]",)
    assert header.complete


@pytest.mark.parametrize("place", [4, 8, 12, 16, 20, 52])
@pytest.mark.parametrize("size", [-1, -(2**31), 2**31 - 1])
def test_wrong_sizes_in_a_wave(tmp_path: Path, place: int, size: int, bounded: Callable[[], None]) -> None:
    """igor2 would read and unpack whatever the header declares."""
    damaged = bytearray(ses_wave())
    struct.pack_into("<i", damaged, place, size)
    header = header_of(tmp_path, "a.ibw", bytes(damaged))
    bounded()
    assert header.problems or place == 52  # of the last one nothing is read


def test_a_note_as_large_as_the_file_is_not_read(tmp_path: Path, bounded: Callable[[], None]) -> None:
    damaged = bytearray(ses_wave())
    struct.pack_into("<i", damaged, 12, 1 << 29)
    header = read("ses", [huge(tmp_path / "a.ibw", bytes(damaged))], LUND, str(tmp_path))
    bounded()
    assert "is damaged" in header.problems[0]


def test_an_error_of_igor2_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from igor2 import binarywave

    def load(_: object) -> object:
        raise AssertionError(("size", 3))

    monkeypatch.setattr(binarywave, "load", load)
    header = header_of(tmp_path, "a.ibw", ses_wave())
    assert header.problems == ("a.ibw: is damaged: AssertionError ('size', 3)",)
    assert caplog.records == []


def test_without_igor2_the_problem_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "igor2", None)
    assert "pip install '.[fly]'" in header_of(tmp_path, "a.ibw", ses_wave()).problems[0]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW Configuration AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
        "SELECT 'Version' AS Key, x AS Value FROM n WHERE x < 0",
        "CREATE VIEW Configuration AS SELECT 'Schedule' AS Key, zeroblob(1000000000) AS Value",
        "CREATE TABLE Other (Key)",
    ],
)
def test_a_hostile_database(
    tmp_path: Path, statement: str, bounded: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "READ_SECONDS", 1.0)
    database = sqlite3.connect(tmp_path / "a.sle")
    database.execute(statement)
    database.commit()
    database.close()
    header = read("prodigy", [str(tmp_path / "a.sle")], LUND, str(tmp_path))
    bounded()
    assert "not a .sle file of Prodigy" in header.problems[0]


# --------------------------------------------------------------------- no files at all


def test_a_missing_file_and_what_is_not_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "folder.txt").mkdir()
    (tmp_path / "good.txt").write_text(ses_text())
    (tmp_path / "link.txt").symlink_to(tmp_path / "good.txt")
    names = ["folder.txt", "gone.txt", "good.txt", "link.txt", "pipe.txt"]
    header = read("ses", [str(tmp_path / name) for name in names], LUND, str(tmp_path))
    assert "Region 1 Ag3d" in header.metadata
    assert [problem.partition(":")[0] for problem in header.problems] == [
        "folder.txt",
        "gone.txt",
        "link.txt",
        "pipe.txt",
    ]
    assert header.problems[1] == "gone.txt: No such file or directory"
    assert header.problems[2] == "link.txt: is a symbolic link, which is not followed"
    assert header.problems[3] == "pipe.txt: is not a file"


def test_nothing_outside_of_the_folder_is_read_when_a_folder_becomes_a_link(tmp_path: Path) -> None:
    outside, watched = tmp_path / "outside", tmp_path / "watched"
    for folder in (outside, watched):
        folder.mkdir()
    (outside / "a.txt").write_text(ses_text())
    (watched / "raw").symlink_to(outside)
    header = read("ses", [str(watched / "raw" / "a.txt"), str(outside / "a.txt")], LUND, str(watched))
    assert not header.metadata
    assert sorted(header.problems) == [
        "a.txt: is behind a symbolic link, which is not followed",
        f"a.txt: is not below {watched}",
    ]


def test_a_file_that_is_deleted_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text(ses_text(("Ag3d", "C1s")))
    original = source.Lines.skip_to

    def vanish(lines: source.Lines, mark: bytes) -> int:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(source.Lines, "skip_to", vanish)
    assert read("ses", [str(path)], LUND, str(tmp_path)).problems == ("a.txt: Stale file handle",)

    def shrink(lines: source.Lines, mark: bytes) -> int:
        os.truncate(path, 300)
        return original(lines, mark)

    monkeypatch.setattr(source.Lines, "skip_to", shrink)
    monkeypatch.setattr(source, "BLOCK_BYTES", 64)
    assert not read("ses", [str(path)], LUND, str(tmp_path)).complete


@pytest.mark.parametrize("name", [b"Ag \xe5\xff_0001.txt", "Ag å 日本 0001.txt".encode(), b"Ag\n\x1b[31m.txt"])
def test_names_of_any_bytes(tmp_path: Path, name: bytes) -> None:
    path = os.path.join(os.fsencode(tmp_path), name)
    with open(path, "wb") as file:
        file.write(ses_text(announced=2).encode())
    header = read("ses", [os.fsdecode(path)], LUND, str(tmp_path))
    assert "Region 1 Ag3d" in header.metadata
    assert header.problems[0].encode().endswith(b": 2 regions are announced, but there are 1")


def test_empty_files_are_not_complete(tmp_path: Path) -> None:
    for reader, name in (("ses", "a.txt"), ("ses", "a.ibw"), ("prodigy", "a.xy"), ("prodigy", "a.sle")):
        assert header_of(tmp_path, name, b"", reader) == Header(complete=False, problems=(f"{name}: is empty",))


def test_thousands_of_problems_are_summarised(tmp_path: Path) -> None:
    header = read("ses", [str(tmp_path / f"{number}.txt") for number in range(3000)], LUND, str(tmp_path))
    assert len(header.problems) == 21
    assert header.problems[-1] == "and 2980 more problems"


def test_a_database_with_texts_that_are_not_utf8(tmp_path: Path) -> None:
    whole = WHOLE["i.sle"][1]
    latin = header_of(tmp_path, "a.sle", whole.replace(b"4.37.2-r68309", b"4.37.\xe5-r68309"), "prodigy")
    assert latin.data_format == "SPECS Prodigy experiment 4.37.å-r68309"
    assert "Region 1 Sb 3d" in latin.metadata
    damaged = whole.replace(b"CREATE TABLE NodeData", b"CREATE TABLE Node\xffata")
    assert "is damaged" in header_of(tmp_path, "a.sle", damaged, "prodigy").problems[0]
