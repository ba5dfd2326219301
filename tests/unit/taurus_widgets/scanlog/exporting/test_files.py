"""Rows as files: their contents, for all programs that read them."""

from __future__ import annotations

import csv
import errno
import hashlib
import html
import io
import json
import re
import threading
import tracemalloc
import zipfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.data.cells import PLAIN_NUMBER, Sheet, exact, guarded, plain_value, readable
from taurus_widgets.scanlog.data.columns import LogColumn
from taurus_widgets.scanlog.exporting import pictures, saving
from taurus_widgets.scanlog.exporting.clipboard import copied
from taurus_widgets.scanlog.exporting.csv_file import Style
from taurus_widgets.scanlog.exporting.eln_file import ElnWriter
from taurus_widgets.scanlog.exporting.pictures import PictureFile
from taurus_widgets.scanlog.exporting.progress import Cancelled, ExportProgress
from tests.builders.scicat_datasets import Json, scan
from tests.waiting import PATIENCE

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
START = 1_763_800_000.0
CATALOGUE = "https://scicat.example.org"


def columns(*names: str) -> list[LogColumn]:
    """Columns of the table by their titles, and of the metadata by their paths."""
    known = {column.title: column for column in cols.default_columns()}
    return [known[name] if name in known else cols.metadata_column(name) for name in names]


def sheet(*names: str) -> Sheet:
    return Sheet(columns(*names), "Scan log", CATALOGUE)


def datasets(count: int, **fields: Any) -> list[Json]:
    return [scan(number, START + 60 * number, **fields) for number in range(1, count + 1)]


def one_picture(dataset: Json) -> list[PictureFile]:
    return [PictureFile(f"scan-{dataset['runNumber']}-1", "image/png", "a <plot>", PNG)]


def saved(path: Path, used: Sheet, rows: list[Json], **options: Any) -> bytes:
    assert saving.save(path, used, [rows], ExportProgress(len(rows)), **options) == len(rows)
    return path.read_bytes()


class TestCells:
    def test_a_time_has_its_date(self) -> None:
        dataset = scan(1, START)
        assert re.fullmatch(r"2025-11-2\d \d\d:\d\d:\d\d", exact(columns("Started")[0], dataset))

    def test_numbers_have_all_their_digits_for_programs_and_few_for_people(self) -> None:
        dataset = scan(1, START)
        dataset["scientificMetadata"]["Optics"]["Energy"] = {"value": 7.11212345678, "unit": "keV"}
        energy = cols.metadata_column("Optics/Energy").named_by(dataset)
        assert exact(energy, dataset) == "7.11212345678"
        assert readable(energy, dataset) == "7.11212"
        assert plain_value(energy, dataset) == 7.11212345678

    def test_a_unit_other_than_the_headers_stays_with_the_value(self) -> None:
        dataset, other = scan(1, START), scan(2, START)
        for place, (value, unit) in ((dataset, (7.1, "keV")), (other, (7100.123456789, "eV"))):
            place["scientificMetadata"]["Optics"]["Energy"] = {"value": value, "unit": unit}
        assert exact(cols.metadata_column("Optics/Energy").named_by(dataset), other) == "7100.123456789 eV"

    def test_a_rating_is_a_number_for_programs_and_stars_for_people(self) -> None:
        rating, dataset = columns("Rating")[0], scan(1, START, dataQualityMetrics=1.5)
        assert (exact(rating, dataset), readable(rating, dataset)) == ("1.5", "★½☆")
        assert exact(rating, scan(1, START)) == ""

    def test_the_group_is_before_the_name(self) -> None:
        assert sheet("A/Energy", "B/Energy", "Scan").headings == ["A / Energy", "B / Energy", "Scan"]

    def test_two_columns_of_one_name_have_different_headings(self) -> None:
        dataset = scan(1, START)
        for name in ("a", "b"):
            dataset["scientificMetadata"]["Optics"][name] = {"value": 1, "unit": "mm", "human_name": "Slit"}
        two = [cols.metadata_column(f"Optics/{name}").named_by(dataset) for name in ("a", "b")]
        headings = Sheet(two, "", "").headings
        assert headings == ["Optics / Slit (mm) [Optics / a]", "Optics / Slit (mm) [Optics / b]"]

    @pytest.mark.parametrize("text", ["=1+1", "+49 40", "-x", "@SUM(A1)", "-1 → -2", "\uff1d1", "--1", "-1-1", "=-1"])
    def test_a_formula_is_disarmed(self, text: str) -> None:
        assert guarded(text) == f"'{text}"

    @pytest.mark.parametrize("text", ["-1", "-0.25", "+3", "-1e-05", "1=1", "a-b", "", "-.5"])
    def test_a_number_and_a_text_stay(self, text: str) -> None:
        assert guarded(text) == text

    @given(st.text(max_size=12))
    def test_only_numbers_start_like_a_formula(self, text: str) -> None:
        result = guarded(text)
        assert result.endswith(text)
        assert PLAIN_NUMBER.fullmatch(result) or not result.startswith(("=", "+", "-", "@", "\t", "\r"))


class TestCsv:
    def test_what_excel_needs(self, tmp_path: Path) -> None:
        rows = datasets(1, comment='Å "good",\n=1+1', sampleId="=HYPERLINK(1)")
        content = saved(tmp_path / "a.csv", sheet("Scan", "Sample", "Comment"), rows)
        assert content.startswith(b"\xef\xbb\xbf")
        assert content.count(b"\r\n") == 2
        head, row = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        assert head == ["Scan", "Sample", "Comment"]
        assert row == ["1", "'=HYPERLINK(1)", 'Å "good",\n=1+1']

    def test_columns_in_their_order(self, tmp_path: Path) -> None:
        content = saved(tmp_path / "a.csv", sheet("Points", "Scan"), datasets(2)).decode("utf-8-sig")
        assert content.splitlines() == ["Points,Scan", "21,1", "21,2"]

    def test_where_the_decimal_sign_is_a_comma(self, tmp_path: Path) -> None:
        rows = datasets(1, comment="3.5 mm")
        rows[0]["scientificMetadata"]["Optics"]["Energy"] = {"value": -7.25, "unit": "keV"}
        used = Sheet([column.named_by(rows[0]) for column in columns("Optics/Energy", "Comment")], "", CATALOGUE)
        content = saved(tmp_path / "a.csv", used, rows, style=Style.COMMA).decode("utf-8-sig")
        assert content.splitlines()[1] == "-7,25;3.5 mm"

    @given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
    def test_any_comments_can_be_read_back(self, tmp_path_factory: pytest.TempPathFactory, comments: list[str]) -> None:
        rows = [scan(number, START, comment=comment) for number, comment in enumerate(comments)]
        content = saved(tmp_path_factory.mktemp("csv") / "a.csv", sheet("Scan", "Comment"), rows)
        read = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))[1:]
        expected = [guarded(readable(columns("Comment")[0], row)) for row in rows]
        assert [row[1] for row in read] == expected


class Page(HTMLParser):
    """The cells of the rows, the tags, and the addresses of images."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.images: list[str] = []
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "img":
            self.images.append(dict(attrs)["src"] or "")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1] and data.strip():
            self.rows[-1][-1] += data


class TestHtml:
    def test_users_texts_are_escaped(self, tmp_path: Path) -> None:
        evil = "<script>alert(1)</script>"
        page = Page(saved(tmp_path / "a.html", sheet("Scan", "Comment"), datasets(2, comment=evil)))
        assert page.rows[0] == ["Scan", "Comment"]
        assert page.rows[1] == ["1", evil]
        assert "script" not in page.tags

    def test_it_is_self_contained(self, tmp_path: Path) -> None:
        content = saved(tmp_path / "a.html", sheet("Scan"), datasets(1), pictures=one_picture)
        page = Page(content)
        assert not page.tags & {"link", "script", "iframe"}
        assert [image[:22] for image in page.images] == ["data:image/png;base64,"]
        assert b"default-src 'none'" in content
        assert b'alt="a &lt;plot&gt;"' in content


class TestEln:
    def test_its_memory_does_not_grow_with_the_rows(self, tmp_path: Path) -> None:
        dataset = scan(1, START)

        def peak(rows: int) -> int:
            tracemalloc.start()
            with (
                (tmp_path / "many.eln").open("wb") as file,
                ElnWriter(file, sheet("Scan", "Comment"), "many", tmp_path) as writer,
            ):
                for number in range(rows):
                    writer.row({**dataset, "pid": f"scizoo/{number}"}, [])
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return found

        peak(10)  # what is loaded with the first one
        assert peak(600) < peak(200) + 20_000
        with zipfile.ZipFile(tmp_path / "many.eln") as archive:
            assert archive.testzip() is None
            assert len(json.loads(archive.read("many/ro-crate-metadata.json"))["@graph"][1]["hasPart"]) == 200

    @pytest.fixture
    def archive(self, tmp_path: Path) -> Iterator[zipfile.ZipFile]:
        path = tmp_path / "night shift.eln"
        rows = datasets(3, comment="good <b>")
        saved(path, sheet("Scan", "Started", "Comment", "Machine/Ring current"), rows, pictures=one_picture)
        with zipfile.ZipFile(path) as opened:
            yield opened

    @pytest.fixture
    def nodes(self, archive: zipfile.ZipFile) -> dict[str, Json]:
        metadata = json.loads(archive.read("night-shift/ro-crate-metadata.json"))
        assert metadata["@context"] == "https://w3id.org/ro/crate/1.1/context"
        found = {node["@id"]: node for node in metadata["@graph"]}
        assert len(found) == len(metadata["@graph"])
        return found

    def test_one_folder_is_at_the_root(self, archive: zipfile.ZipFile) -> None:
        assert archive.testzip() is None
        assert {name.split("/")[0] for name in archive.namelist()} == {"night-shift"}

    def test_the_metadata_describes_the_folder(self, nodes: dict[str, Json]) -> None:
        descriptor, root = list(nodes.values())[:2]
        assert descriptor["@id"] == "ro-crate-metadata.json"
        assert descriptor["about"] == {"@id": "./"}
        assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
        assert nodes[descriptor["sdPublisher"]["@id"]]["@type"] == "Organization"
        assert root["@id"] == "./"
        assert {"name", "description", "datePublished", "license"} <= root.keys()
        assert [nodes[part["@id"]]["identifier"] for part in root["hasPart"]] == [row["pid"] for row in datasets(3)]

    def test_each_file_is_there_as_it_is_described(self, archive: zipfile.ZipFile, nodes: dict[str, Json]) -> None:
        files = [node for node in nodes.values() if node["@type"] == "File"]
        assert len(files) == 3
        for node in files:
            data = archive.read(f"night-shift/{node['@id'].removeprefix('./')}")
            assert node["contentSize"] == str(len(data))
            assert node["sha256"] == hashlib.sha256(data).hexdigest()
            assert node["encodingFormat"] == "image/png"

    def test_each_dataset_has_a_folder_its_files_and_its_values(
        self, archive: zipfile.ZipFile, nodes: dict[str, Json]
    ) -> None:
        node = nodes["./00001-ascan-mot01-0-10-20-0.1/"]
        assert f"night-shift/{node['@id'].removeprefix('./')}" in archive.namelist()
        assert all(nodes[part["@id"]]["@type"] == "File" for part in node["hasPart"])
        values = {nodes[value["@id"]]["name"]: nodes[value["@id"]] for value in node["variableMeasured"]}
        assert values["Comment"]["value"] == "good <b>"
        assert values["Machine / Ring current"]["value"] == pytest.approx(500.0829)
        assert values["Machine / Ring current"]["unitText"] == "mA"
        assert values["Machine / Ring current"]["propertyID"] == "Machine.Ring current"
        assert html.escape("good <b>") in node["text"]

    def test_every_reference_leads_somewhere(self, nodes: dict[str, Json]) -> None:
        outside = {"https://w3id.org/ro/crate/1.1"}

        def references(found: Any) -> Iterator[str]:
            if isinstance(found, dict) and found.keys() == {"@id"}:
                yield found["@id"]
            elif isinstance(found, dict | list):
                for inner in found.values() if isinstance(found, dict) else found:
                    yield from references(inner)

        assert set(references(list(nodes.values()))) <= nodes.keys() | outside

    @pytest.mark.parametrize("name", ["...eln", "Müller.eln", "a b/../c.eln".replace("/", "_"), "-.eln"])
    def test_the_folder_has_a_name_for_any_system(self, tmp_path: Path, name: str) -> None:
        saved(tmp_path / name, sheet("Scan"), datasets(1))
        with zipfile.ZipFile(tmp_path / name) as archive:
            assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*/", archive.namelist()[0])


class TestPictures:
    def test_only_pictures_are_taken(self) -> None:
        uris = ["data:image/svg+xml;base64,PHN2Zz4=", "data:text/html;base64,aGk=", "data:image/png;base64,!", None, ""]
        good = "data:image/jpeg;base64,aGk="
        found = pictures.decoded(scan(7, START), [{"thumbnail": uri, "caption": "c"} for uri in [*uris, good]])
        assert [(picture.stem, picture.kind, picture.data) for picture in found] == [("scan-7-1", "image/jpeg", b"hi")]

    @given(st.text(max_size=60))
    def test_a_slug_is_a_name_for_any_system(self, text: str) -> None:
        assert re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?", pictures.slug(text))


class TestSaving:
    @pytest.mark.parametrize("suffix", [".csv", ".html", ".eln"])
    def test_the_existing_file_stays_until_all_is_written(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"a{suffix}"
        path.write_text("old")

        def pages() -> Iterator[list[Json]]:
            yield datasets(2)
            assert path.read_text() == "old"
            raise ConnectionError("gone")

        with pytest.raises(ConnectionError):
            saving.save(path, sheet("Scan"), pages(), ExportProgress(), pictures=one_picture)
        assert [file.name for file in tmp_path.iterdir()] == [path.name]
        assert path.read_text() == "old"

    @pytest.mark.parametrize("suffix", [".csv", ".html", ".eln"])
    def test_a_full_disk_is_reported_and_nothing_is_left(
        self, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / f"a{suffix}"
        real = saving.replacing(path)

        class Full(io.RawIOBase):
            """A disk with space for this number of bytes."""

            room = 20_000

            def writable(self) -> bool:
                return True

            def write(self, data: Any) -> int:
                Full.room -= len(data)
                if Full.room < 0:
                    raise OSError(errno.ENOSPC, "No space left on device")
                return len(data)

        class Replacing:
            def __enter__(self) -> io.BufferedWriter:
                self.file = real.__enter__()
                return io.BufferedWriter(Full())

            def __exit__(self, *error: Any) -> Any:
                return real.__exit__(*error)

        monkeypatch.setattr(saving, "replacing", lambda path: Replacing())
        rows = datasets(500, comment="".join(chr(33 + number % 90) for number in range(3000)))
        with pytest.raises(OSError, match="No space left") as error:
            saving.save(path, sheet("Scan", "Comment"), [rows], ExportProgress(), pictures=lambda _: [random_picture()])
        assert saving.file_problem(error.value, path) == f"The disk is full: {path.name} was not written to {tmp_path}"
        assert list(tmp_path.iterdir()) == []

    def test_a_cancelled_export_leaves_nothing(self, tmp_path: Path) -> None:
        progress = ExportProgress(1000)

        def pages() -> Iterator[list[Json]]:
            for page in range(10):
                if page == 3:
                    threading.Thread(target=progress.cancel).start()
                    progress.cancelled.wait(PATIENCE)
                yield [scan(page * 10 + row, START) for row in range(10)]

        with pytest.raises(Cancelled):
            saving.save(tmp_path / "a.csv", sheet("Scan"), pages(), progress)
        assert progress.done == 30
        assert list(tmp_path.iterdir()) == []

    def test_pages_that_overlap_give_each_dataset_once(self, tmp_path: Path) -> None:
        rows = datasets(4)
        path = tmp_path / "a.csv"
        assert saving.save(path, sheet("Scan"), [rows[:3], rows[2:]], ExportProgress()) == 4
        assert path.read_text("utf-8-sig").split() == ["Scan", "1", "2", "3", "4"]

    def test_a_file_keeps_its_mode_and_a_link_stays_a_link(self, tmp_path: Path) -> None:
        path, link = tmp_path / "a.csv", tmp_path / "link.csv"
        path.touch(mode=0o640)
        path.chmod(0o640)
        link.symlink_to(path)
        saved(link, sheet("Scan"), datasets(1))
        assert link.is_symlink()
        assert path.stat().st_mode & 0o777 == 0o640
        assert path.read_text("utf-8-sig").split() == ["Scan", "1"]

    def test_an_unknown_suffix_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"a\.xlsx ends with none"):
            saving.save(tmp_path / "a.xlsx", sheet("Scan"), [], ExportProgress())
        assert list(tmp_path.iterdir()) == []


def random_picture() -> PictureFile:
    return PictureFile("x-1", "image/png", "", bytes(range(256)) * 8)


class TestClipboard:
    def test_both_forms(self) -> None:
        rows = datasets(1, comment='two\n"lines"', sampleId="=1+1")
        both = copied(sheet("Scan", "Sample", "Comment"), rows, Style.POINT)
        assert both.text == 'Scan\tSample\tComment\r\n1\t\'=1+1\t"two\n""lines"""\r\n'
        page = Page(both.html.encode())
        assert page.rows == [["Scan", "Sample", "Comment"], ["1", "'=1+1", 'two"lines"']]
