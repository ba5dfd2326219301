"""Exports as users make them: keys, mouse, and the result in the file, on the clipboard and in Elogy."""

from __future__ import annotations

import csv
import io
import json
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot
from taurus.external.qt import Qt

from ingest.scicat import SciCat
from taurus_widgets.scanlog import ScanLog
from taurus_widgets.scanlog.exporting import save_dialog
from taurus_widgets.scanlog.exporting.elogy_dialog import ElogyDialog
from taurus_widgets.scanlog.exporting.save_dialog import SaveDialog
from taurus_widgets.scanlog.exporting.settings import ExportSettings
from taurus_widgets.scanlog.features.exporting import Exporting
from tests.builders.scicat_datasets import Json, scan
from tests.servers.catalogue import Catalogue
from tests.servers.elogy import Server, Store, stand_in
from tests.servers.proxy import Proxy, proxy
from tests.ui.accounts import INGESTOR
from tests.ui.pictures.exporting import plot
from tests.waiting import PATIENCE

Shown = Callable[[int], None]
COUNT = 12


@pytest.fixture
def made(scicat: SciCat, proposal: str) -> list[Json]:
    """Newest first, as in the table."""
    rows = []
    for number in range(COUNT):
        rows.append(scan(number, time.time() - 60 * (COUNT - number), proposal=proposal, comment=f"=row {number}"))
        scicat.create_dataset(rows[-1])
    return rows[::-1]


@pytest.fixture
def log(scanLog: ScanLog, scicat: SciCat, proposal: str, made: list[Json], shown: Shown) -> ScanLog:
    scanLog.setCatalogue(scicat, proposal)
    shown(COUNT)
    scanLog.activateWindow()
    scanLog.table.setFocus()
    return scanLog


@pytest.fixture
def part(log: ScanLog) -> Exporting:
    return log.exporting


@pytest.fixture
def clipboard(qtbot: QtBot) -> Qt.QClipboard:
    found = Qt.QApplication.clipboard()
    found.clear()
    return found


def press(qtbot: QtBot, log: ScanLog, key: int, *modifiers: Any) -> None:
    held = Qt.Qt.ControlModifier
    for modifier in modifiers:
        held |= modifier
    qtbot.keyClick(log.table, key, held)


def click_row(qtbot: QtBot, log: ScanLog, row: int, modifier: Any = Qt.Qt.NoModifier) -> None:
    place = log.table.visualRect(log.scans.index(row, 1)).center()
    qtbot.mouseClick(log.table.viewport(), Qt.Qt.LeftButton, modifier, place)


class TestClipboard:
    def test_the_selected_rows_by_key(
        self, qtbot: QtBot, log: ScanLog, part: Exporting, clipboard: Qt.QClipboard
    ) -> None:
        click_row(qtbot, log, 1)
        click_row(qtbot, log, 3, Qt.Qt.ShiftModifier)
        press(qtbot, log, Qt.Qt.Key_C)
        qtbot.waitUntil(lambda: part.note.text() == "3 rows copied")
        rows = list(csv.reader(io.StringIO(clipboard.text()), dialect="excel-tab"))
        scan_column, comment = rows[0].index("Scan"), rows[0].index("Comment")
        assert [row[scan_column] for row in rows[1:]] == ["10", "9", "8"]
        assert rows[1][comment] == "'=row 10"
        assert clipboard.mimeData().html().count("<tr>") == 4

    def test_all_rows_by_key(self, qtbot: QtBot, log: ScanLog, part: Exporting, clipboard: Qt.QClipboard) -> None:
        press(qtbot, log, Qt.Qt.Key_C, Qt.Qt.ShiftModifier)
        qtbot.waitUntil(lambda: part.note.text() == f"{COUNT} rows copied")
        assert len(clipboard.text().splitlines()) == COUNT + 1

    def test_the_visible_columns_in_their_order(
        self, qtbot: QtBot, log: ScanLog, part: Exporting, clipboard: Qt.QClipboard
    ) -> None:
        header = log.table.horizontalHeader()
        titles = [column.title for column in log.scans.columns]
        header.hideSection(titles.index("Command"))
        header.moveSection(header.visualIndex(titles.index("Rating")), 0)
        click_row(qtbot, log, 0)
        press(qtbot, log, Qt.Qt.Key_C)
        qtbot.waitUntil(lambda: part.note.text() == "One row copied")
        expected = ["Rating", *(title for title in titles if title not in ("Rating", "Command", "Picture"))]
        assert clipboard.text().splitlines()[0].split("\t") == expected

    def test_an_empty_selection_is_reported(self, qtbot: QtBot, log: ScanLog, part: Exporting) -> None:
        press(qtbot, log, Qt.Qt.Key_C)
        assert part.note.text() == "No row is selected"
        assert part.note.isVisible()


@pytest.fixture
def save(qtbot: QtBot, log: ScanLog, part: Exporting) -> SaveDialog:
    """The dialog, with nothing selected."""
    press(qtbot, log, Qt.Qt.Key_S)
    assert isinstance(part.dialog, SaveDialog)
    return part.dialog


def typed(qtbot: QtBot, line: Qt.QLineEdit, text: str) -> None:
    line.setFocus()
    line.selectAll()
    qtbot.keyClicks(line, text)


class TestFiles:
    def test_a_csv_by_keys_alone(self, qtbot: QtBot, save: SaveDialog, tmp_path: Path) -> None:
        typed(qtbot, save.file, str(tmp_path / "rows.csv"))
        qtbot.keyClick(save.file, Qt.Qt.Key_Return)
        qtbot.waitUntil(lambda: f"{COUNT} rows are in rows.csv" in save.message.text())
        rows = list(csv.reader(io.StringIO((tmp_path / "rows.csv").read_text("utf-8-sig"))))
        assert len(rows) == COUNT + 1
        assert rows[1][rows[0].index("Comment")] == f"'=row {COUNT - 1}"
        qtbot.keyClick(save, Qt.Qt.Key_Escape)
        assert not save.isVisible()

    def test_the_selected_rows_are_offered_first_and_follow_the_selection(
        self, qtbot: QtBot, log: ScanLog, part: Exporting, tmp_path: Path
    ) -> None:
        click_row(qtbot, log, 0)
        press(qtbot, log, Qt.Qt.Key_S)
        dialog = part.dialog
        assert isinstance(dialog, SaveDialog)
        assert [button.text() for button in dialog.rows] == ["Selected rows (1)", f"All rows of the table ({COUNT})"]
        click_row(qtbot, log, 4, Qt.Qt.ControlModifier)
        assert dialog.rows[0].text() == "Selected rows (2)"
        typed(qtbot, dialog.file, str(tmp_path / "two.csv"))
        qtbot.mouseClick(dialog.go, Qt.Qt.LeftButton)
        qtbot.waitUntil(lambda: "2 rows are in" in dialog.message.text())
        assert (tmp_path / "two.csv").read_text("utf-8-sig").count("=row") == 2

    def test_the_format_sets_the_suffix_and_pictures_are_included(
        self, qtbot: QtBot, save: SaveDialog, tmp_path: Path, scicat: SciCat, made: list[Json]
    ) -> None:
        scicat.attach(made[0]["pid"], made[0]["ownerGroup"], "a plot", plot())
        typed(qtbot, save.file, str(tmp_path / "rows.csv"))
        save.format.setFocus()
        qtbot.keyClicks(save.format, "ELN")
        assert save.file.text() == str(tmp_path / "rows.eln")
        save.pictures.setFocus()
        qtbot.keyClick(save.pictures, Qt.Qt.Key_Space)
        qtbot.mouseClick(save.go, Qt.Qt.LeftButton)
        qtbot.waitUntil(lambda: "rows are in rows.eln" in save.message.text())
        with zipfile.ZipFile(tmp_path / "rows.eln") as archive:
            graph = json.loads(archive.read("rows/ro-crate-metadata.json"))["@graph"]
        assert sum(node["@type"] == "File" for node in graph) == 1
        assert sum(node["@type"] == "Dataset" for node in graph) == COUNT + 1

    def test_csv_has_the_names_of_the_pictures_or_no_column_of_them(
        self, qtbot: QtBot, save: SaveDialog, tmp_path: Path, scicat: SciCat, made: list[Json]
    ) -> None:
        for caption in ("a plot", " "):
            scicat.attach(made[0]["pid"], made[0]["ownerGroup"], caption, plot())
        assert save.pictures.text() == "With the names of the pictures of each dataset"
        found = []
        for tick in (False, True):
            typed(qtbot, save.file, str(tmp_path / f"{tick}.csv"))
            save.pictures.setFocus()
            if tick:
                qtbot.keyClick(save.pictures, Qt.Qt.Key_Space)
            assert ("Picture" in save.columns.text()) is tick
            qtbot.mouseClick(save.go, Qt.Qt.LeftButton)
            qtbot.waitUntil(lambda name=f"{tick}.csv": f"rows are in {name}" in save.message.text())  # type: ignore[misc]
            with (tmp_path / f"{tick}.csv").open(encoding="utf-8-sig", newline="") as file:
                found.append(list(csv.DictReader(file)))
        plain, named = found
        assert "Picture" not in plain[0]
        assert sorted(named[0]["Picture"].split(", ")) == ["a plot", "scan-11-2.png"]
        assert {row["Picture"] for row in named[1:]} == {""}

    def test_a_file_that_would_be_replaced_is_reported(self, qtbot: QtBot, save: SaveDialog, tmp_path: Path) -> None:
        (tmp_path / "old.csv").write_text("old")
        typed(qtbot, save.file, str(tmp_path / "old.csv"))
        assert save.note.text() == "old.csv exists already and will be replaced."
        typed(qtbot, save.file, str(tmp_path / "new.csv"))
        assert not save.note.isVisible()

    def test_a_missing_folder_is_reported(self, qtbot: QtBot, save: SaveDialog, tmp_path: Path) -> None:
        typed(qtbot, save.file, str(tmp_path / "no" / "rows.csv"))
        qtbot.keyClick(save.file, Qt.Qt.Key_Return)
        qtbot.waitUntil(lambda: "cannot be written" in save.message.text())
        assert save.go.isVisible()

    def test_it_is_stopped_by_escape_and_leaves_nothing(
        self, qtbot: QtBot, log: ScanLog, save: SaveDialog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held = threading.Event()

        def slow(scicat: SciCat, dataset: Json) -> list[Any]:
            held.wait(PATIENCE)
            return []

        monkeypatch.setattr(save_dialog.pictures, "read", slow)
        save.format.setCurrentIndex(save.format.findData(".html"))
        save.pictures.setChecked(True)
        typed(qtbot, save.file, str(tmp_path / "rows.html"))
        qtbot.keyClick(save.file, Qt.Qt.Key_Return)
        qtbot.waitUntil(lambda: list(tmp_path.glob(".rows.html.*.part")) != [])
        assert save.closeButton.text() == "Cancel"
        assert not save.body.isEnabled()
        click_row(qtbot, log, 2)  # the window responds meanwhile
        assert log.details.isVisible()
        qtbot.keyClick(save, Qt.Qt.Key_Escape)
        assert save.isVisible()
        held.set()
        qtbot.waitUntil(lambda: save.message.text() == "Stopped. Nothing was written.")
        assert [path for path in tmp_path.iterdir() if path.is_file()] == []

    def test_closing_the_window_stops_it(
        self, qtbot: QtBot, log: ScanLog, save: SaveDialog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        began = threading.Event()

        def slow(scicat: SciCat, dataset: Json) -> list[Any]:
            began.set()
            time.sleep(0.05)  # reading a picture takes a while
            return []

        monkeypatch.setattr(save_dialog.pictures, "read", slow)
        save.format.setCurrentIndex(save.format.findData(".html"))
        save.pictures.setChecked(True)
        typed(qtbot, save.file, str(tmp_path / "rows.html"))
        qtbot.keyClick(save.file, Qt.Qt.Key_Return)
        assert began.wait(PATIENCE)
        log.close()
        assert [path for path in tmp_path.iterdir() if path.is_file()] == []

    def test_the_choices_are_kept(self, qtbot: QtBot, save: SaveDialog, tmp_path: Path) -> None:
        save.style.setCurrentIndex(1)
        typed(qtbot, save.file, str(tmp_path / "rows.csv"))
        qtbot.keyClick(save.file, Qt.Qt.Key_Return)
        qtbot.waitUntil(lambda: "rows are in" in save.message.text())
        kept = ExportSettings()
        assert (kept.style().separator, kept.folder(), kept.format()) == (";", tmp_path, ".csv")


class TestMany:
    """More rows than the table reads at once."""

    MANY = 230

    @pytest.fixture
    def many(self, scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown) -> ScanLog:
        for number in range(self.MANY):
            scicat.create_dataset(scan(number, time.time() - 60 * (self.MANY - number), proposal=proposal))
        scanLog.setCatalogue(scicat, proposal)
        shown(self.MANY)
        scanLog.table.setFocus()
        return scanLog

    @pytest.mark.parametrize("key", [Qt.Qt.Key_A, None])
    def test_all_rows_are_saved_with_and_without_a_selection(
        self, qtbot: QtBot, many: ScanLog, tmp_path: Path, key: int | None
    ) -> None:
        if key is not None:
            press(qtbot, many, key)
        press(qtbot, many, Qt.Qt.Key_S)
        dialog = many.exporting.dialog
        assert f"({self.MANY})" in dialog.rows[0 if key else 1].text()
        typed(qtbot, dialog.file, str(tmp_path / "rows.csv"))
        qtbot.mouseClick(dialog.go, Qt.Qt.LeftButton)
        qtbot.waitUntil(lambda: f"{self.MANY} rows are in" in dialog.message.text())
        rows = list(csv.reader(io.StringIO((tmp_path / "rows.csv").read_text("utf-8-sig"))))
        numbers = [int(row[rows[0].index("Scan")]) for row in rows[1:]]
        assert numbers == list(range(self.MANY))[::-1]


class TestAway:
    """SciCat answers, until it does not."""

    @pytest.fixture
    def between(self, catalogue: Catalogue) -> Iterator[Proxy]:
        with proxy(catalogue.url) as found:
            yield found

    @pytest.fixture
    def cut(self, scanLog: ScanLog, between: Proxy, made: list[Json], proposal: str, shown: Shown) -> ScanLog:
        """A log with rows whose catalogue is no longer available."""
        scanLog.setCatalogue(SciCat(between.url, INGESTOR.username, INGESTOR.password), proposal)
        shown(COUNT)
        between.fault = lambda method, uuid: 503
        scanLog.table.setFocus()
        return scanLog

    def test_all_rows_cannot_be_saved_and_nothing_is_left(self, qtbot: QtBot, cut: ScanLog, tmp_path: Path) -> None:
        press(qtbot, cut, Qt.Qt.Key_S)
        dialog = cut.exporting.dialog
        typed(qtbot, dialog.file, str(tmp_path / "rows.csv"))
        qtbot.mouseClick(dialog.go, Qt.Qt.LeftButton)
        why = "SciCat reports an internal error (status 503). Nothing was exported"
        qtbot.waitUntil(lambda: dialog.message.text() == why)
        assert [path for path in tmp_path.iterdir() if path.is_file()] == []

    def test_rows_in_memory_can_be_copied(self, qtbot: QtBot, cut: ScanLog, clipboard: Qt.QClipboard) -> None:
        click_row(qtbot, cut, 2)
        press(qtbot, cut, Qt.Qt.Key_C)
        qtbot.waitUntil(lambda: "=row 9" in clipboard.text())


@pytest.fixture
def server() -> Iterator[Server]:
    """An Elogy with two logbooks, one in the other."""
    with stand_in() as running:
        assert running.server is not None
        wanted = [{"name": "Proposal", "type": "text", "required": True}]
        running.server.store.add_logbook({"name": "Beamlines"})
        running.server.store.add_logbook({"name": "CoSAXS", "parent_id": 1, "attributes": wanted})
        yield running.server


@pytest.fixture
def elogy(qtbot: QtBot, log: ScanLog, part: Exporting, server: Server) -> ElogyDialog:
    """The dialog for two selected rows, with the logbook chosen."""
    part.setElogy(f"http://127.0.0.1:{server.server_port}")
    click_row(qtbot, log, 0)
    click_row(qtbot, log, 1, Qt.Qt.ShiftModifier)
    press(qtbot, log, Qt.Qt.Key_E)
    dialog = part.dialog
    assert isinstance(dialog, ElogyDialog)
    qtbot.waitUntil(lambda: dialog.logbooks.tree.topLevelItemCount() == 1)
    qtbot.keyClicks(dialog.logbooks.search, "saxs")
    tree = dialog.logbooks.tree
    item = tree.topLevelItem(0).child(0)
    qtbot.mouseClick(tree.viewport(), Qt.Qt.LeftButton, pos=tree.visualItemRect(item).center())
    qtbot.waitUntil(lambda: "Proposal" in dialog.attributes.fields)
    return dialog


def choose_author(qtbot: QtBot, dialog: ElogyDialog, typed_text: str) -> None:
    dialog.activateWindow()
    dialog.authors.search.setFocus()
    qtbot.waitUntil(dialog.authors.search.hasFocus)
    qtbot.keyClicks(dialog.authors.search, typed_text)
    popup = dialog.authors.completer.popup()
    qtbot.waitUntil(popup.isVisible)
    qtbot.keyClick(popup, Qt.Qt.Key_Down)
    qtbot.keyClick(popup, Qt.Qt.Key_Return)


def entries(server: Server) -> list[Json]:
    store: Store = server.store
    return list(store.entries.values())


class TestElogy:
    def test_a_new_entry_without_a_title(
        self, qtbot: QtBot, elogy: ElogyDialog, server: Server, scicat: SciCat, made: list[Json], proposal: str
    ) -> None:
        scicat.attach(made[1]["pid"], made[1]["ownerGroup"], "a plot", plot())
        assert not elogy.go.isEnabled()
        assert elogy.go.toolTip() == "Elogy requires an author"
        choose_author(qtbot, elogy, "Lovel")
        assert [author.login for author in elogy.authors.authors()] == ["ada"]
        qtbot.mouseClick(elogy.go, Qt.Qt.LeftButton)
        qtbot.waitUntil(lambda: "The rows are in" in elogy.message.text())
        entry = entries(server)[0]
        assert entry["title"] == "Exported from Scanlog"
        assert entry["logbook"] == 2
        assert entry["attributes"] == {"Proposal": proposal}
        assert "=row 11" in entry["content"]
        assert "=row 10" in entry["content"]
        assert "=row 9" not in entry["content"]
        assert "Ring current" not in entry["content"]
        assert [file["filename"][:9] for file in entry["attachments"]] == ["scan-10-1"]
        assert f"/logbooks/2/entries/{entry['id']}/" in elogy.message.text()

    def test_rows_are_never_exported_twice(self, qtbot: QtBot, elogy: ElogyDialog, server: Server) -> None:
        choose_author(qtbot, elogy, "ada")
        for text in ("The rows are in", "in <a href"), ("already", "are in"):
            qtbot.mouseClick(elogy.go, Qt.Qt.LeftButton)
            qtbot.waitUntil(lambda text=text: all(part in elogy.message.text() for part in text))
        assert len(entries(server)) == 1

    def test_appended_to_an_entry_that_is_found(self, qtbot: QtBot, elogy: ElogyDialog, server: Server) -> None:
        for title in ("Night shift", "Morning"):
            given = {"title": title, "content": "<p>dark</p>", "authors": [{"name": "Grace Hopper"}]}
            server.store.add_entry(2, given | {"attributes": {"Proposal": "1"}}, None)
        choose_author(qtbot, elogy, "ada")
        qtbot.mouseClick(elogy.append, Qt.Qt.LeftButton, pos=Qt.QPoint(8, elogy.append.height() // 2))
        qtbot.waitUntil(lambda: elogy.entries.list.count() == 2)
        assert elogy.go.toolTip() == "Choose an entry"
        qtbot.keyClicks(elogy.entries.search, "night")
        qtbot.waitUntil(lambda: elogy.entries.list.count() == 1)
        elogy.entries.list.setFocus()
        qtbot.keyClick(elogy.entries.list, Qt.Qt.Key_Down)
        qtbot.keyClick(elogy.entries.list, Qt.Qt.Key_Space)
        typed(qtbot, elogy.title, "Detector <b>")
        qtbot.mouseClick(elogy.go, Qt.Qt.LeftButton)
        qtbot.waitUntil(lambda: "The rows are in" in elogy.message.text())
        night = entries(server)[0]
        assert night["content"].startswith("<p>dark</p>")
        assert "Detector &lt;b&gt;" in night["content"]
        assert "=row 11" in night["content"]
        assert [author["name"] for author in night["authors"]] == ["Grace Hopper", "Ada Lovelace"]
        assert len(entries(server)) == 2

    def test_a_required_attribute_is_asked_for(self, qtbot: QtBot, elogy: ElogyDialog) -> None:
        choose_author(qtbot, elogy, "ada")
        field = elogy.attributes.fields["Proposal"]
        assert isinstance(field, Qt.QLineEdit)
        field.clear()
        assert not elogy.go.isEnabled()
        assert elogy.go.toolTip() == "This logbook requires: Proposal"
        qtbot.keyClicks(field, "20250001")
        assert elogy.go.isEnabled()

    def test_an_author_by_mouse(self, qtbot: QtBot, elogy: ElogyDialog) -> None:
        elogy.activateWindow()
        elogy.authors.search.setFocus()
        qtbot.waitUntil(elogy.authors.search.hasFocus)
        qtbot.keyClicks(elogy.authors.search, "grace")
        popup = elogy.authors.completer.popup()
        qtbot.waitUntil(popup.isVisible)
        place = popup.visualRect(popup.model().index(0, 0)).center()
        qtbot.mouseClick(popup.viewport(), Qt.Qt.LeftButton, pos=place)
        assert [author.login for author in elogy.authors.authors()] == ["grace"]
        assert elogy.authors.search.text() == ""

    def test_an_author_is_removed_by_a_key(self, qtbot: QtBot, elogy: ElogyDialog) -> None:
        choose_author(qtbot, elogy, "ada")
        elogy.authors.list.setCurrentRow(0)
        elogy.authors.list.setFocus()
        qtbot.keyClick(elogy.authors.list, Qt.Qt.Key_Delete)
        assert elogy.authors.authors() == []
        assert not elogy.go.isEnabled()

    def test_enter_in_the_search_adds_the_name_and_exports_nothing(
        self, qtbot: QtBot, elogy: ElogyDialog, server: Server
    ) -> None:
        qtbot.keyClicks(elogy.authors.search, "Visiting Scientist")
        qtbot.keyClick(elogy.authors.search, Qt.Qt.Key_Return)
        qtbot.keyClick(elogy.authors.search, Qt.Qt.Key_Return)
        assert [author.name for author in elogy.authors.authors()] == ["Visiting Scientist"]
        assert elogy.progress is None
        qtbot.mouseClick(elogy.go, Qt.Qt.LeftButton)
        qtbot.waitUntil(lambda: "The rows are in" in elogy.message.text())  # by now, and not already
        assert len(entries(server)) == 1

    def test_a_lock_is_reported(
        self, qtbot: QtBot, elogy: ElogyDialog, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("taurus_widgets.scanlog.exporting.elogy_entry.MAX_APPEND_TRIES", 1)
        given = {"title": "Night", "content": "", "authors": [{"name": "x"}], "attributes": {"Proposal": "1"}}
        server.store.add_entry(2, given, None)
        server.store.locked[1] = "10.0.0.9"
        choose_author(qtbot, elogy, "ada")
        elogy.append.setChecked(True)
        qtbot.waitUntil(lambda: elogy.entries.list.count() == 1)
        elogy.entries.list.setCurrentRow(0)
        qtbot.mouseClick(elogy.go, Qt.Qt.LeftButton)
        qtbot.waitUntil(lambda: "10.0.0.9" in elogy.message.text())

    def test_address_logbook_and_authors_are_kept(
        self, qtbot: QtBot, log: ScanLog, part: Exporting, elogy: ElogyDialog, server: Server
    ) -> None:
        choose_author(qtbot, elogy, "ada")
        qtbot.mouseClick(elogy.go, Qt.Qt.LeftButton)
        qtbot.waitUntil(lambda: "The rows are in" in elogy.message.text())
        elogy.reject()
        part.setElogy("")
        press(qtbot, log, Qt.Qt.Key_E)
        again = part.dialog
        assert isinstance(again, ElogyDialog)
        assert again.address.text() == f"http://127.0.0.1:{server.server_port}"
        assert [author.login for author in again.authors.authors()] == ["ada"]
        qtbot.waitUntil(lambda: again.logbooks.current() is not None)
        assert again.logbooks.current().id == 2  # type: ignore[union-attr]

    def test_an_unavailable_elogy_is_reported_and_the_window_responds(
        self, qtbot: QtBot, log: ScanLog, part: Exporting
    ) -> None:
        part.setElogy("http://127.0.0.1:9")
        press(qtbot, log, Qt.Qt.Key_E)
        dialog = part.dialog
        assert isinstance(dialog, ElogyDialog)
        qtbot.waitUntil(lambda: "Elogy does not answer (connection refused)" in dialog.message.text())
