"""What the scan log needs of Elogy, on the stand-in and on one given by SCIZOO_ELOGY_URL (tests.servers.elogy)."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from taurus_widgets.scanlog.exporting import elogy_entry
from taurus_widgets.scanlog.exporting.elogy import Author, Elogy, ElogyError, Stale
from taurus_widgets.scanlog.exporting.elogy_entry import ElogyExport, ElogyTarget, send
from taurus_widgets.scanlog.exporting.pictures import PictureFile
from taurus_widgets.scanlog.exporting.progress import ExportProgress
from tests.paths import SHARED
from tests.servers.elogy import KINDS, RunningElogy, given_elogy, stand_in
from tests.waiting import PATIENCE

SCRIPT = SHARED / "contracts" / "elogy_contract.py"
ADA = Author("Ada Lovelace", "ada", "ada@example.org")
GRACE = Author("Grace Hopper", "grace")
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6364f8cf500f0003060180"
    "5a347d6b0000000049454e44ae426082"
)


@pytest.fixture(scope="module", params=KINDS)
def running(request: pytest.FixtureRequest) -> Iterator[RunningElogy]:
    if request.param == "given":
        yield given_elogy()
        return
    with stand_in() as found:
        yield found


@pytest.fixture
def elogy(running: RunningElogy) -> Elogy:
    return Elogy(running.url)


@pytest.fixture
def logbook(running: RunningElogy) -> int:
    return new_logbook(running)


def new_logbook(running: RunningElogy, **fields: Any) -> int:
    body = {"name": f"Beamline {uuid.uuid4().hex[:8]}", "description": "tests", "parent_id": None, **fields}
    answer = requests.post(f"{running.url}/api/logbooks/", json=body, timeout=PATIENCE)
    return int(answer.json()["logbook"]["id"])


def export(*cells: str, pictures: list[PictureFile] | None = None) -> ElogyExport:
    rows = [["1", cell] for cell in cells or ("<b>first</b>",)]
    taken = [("scizoo/1", picture) for picture in pictures or []]
    return ElogyExport("Scan log", ["Scan", "Comment"], [f"scizoo/{row}" for row in range(len(rows))], rows, taken)


def test_the_recorded_contract_holds(running: RunningElogy) -> None:
    if not SCRIPT.exists():
        pytest.skip("shared/contracts/elogy_contract.py is not beside this checkout")
    command = [sys.executable, str(SCRIPT), "--base-url", running.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "checks hold" in done.stdout


class TestReading:
    def test_the_tree_and_the_attributes(self, running: RunningElogy, elogy: Elogy, logbook: int) -> None:
        options = {"type": "option", "required": True, "options": ["a", "b"]}
        inside = new_logbook(running, parent_id=logbook, attributes=[{"name": "Kind", **options}])
        outer = next(book for book in elogy.logbooks() if book.id == logbook)
        assert [child.id for child in outer.children] == [inside]
        attribute = elogy.logbook(inside).attributes[0]
        assert (attribute.name, attribute.kind, attribute.required) == ("Kind", "option", True)
        assert attribute.options == ("a", "b")

    def test_entries_by_words_in_their_title(self, elogy: Elogy, logbook: int) -> None:
        for title in ("Alignment (1.5 mm)", "Nothing"):
            send(elogy, ElogyTarget(logbook, None, title, (ADA,)), export(title), ExportProgress())
        assert [line.title for line in elogy.headlines(logbook, "alignment (1.5")] == ["Alignment (1.5 mm)"]
        assert {line.title for line in elogy.headlines(logbook)} == {"Alignment (1.5 mm)", "Nothing"}

    def test_metadata_is_compared_exactly(self, elogy: Elogy, logbook: int) -> None:
        entry = {"title": "t", "content": "c", "authors": [ADA.as_json()], "attributes": {}}
        elogy.create(logbook, entry | {"metadata": {"export": "axb"}})
        right = elogy.create(logbook, entry | {"metadata": {"export": "a_b"}})
        found = elogy.marked(logbook, "export", "a_b")
        assert found is not None
        assert found["id"] == right
        assert elogy.marked(logbook, "export", "%") is None

    @pytest.mark.parametrize(("key", "value"), [("a.b", "x"), ("a", "x:y"), ("a:b", "x")])
    def test_what_cannot_be_searched_is_not_searched(self, elogy: Elogy, logbook: int, key: str, value: str) -> None:
        with pytest.raises(ValueError, match="cannot search"):
            elogy.marked(logbook, key, value)


class TestNew:
    def test_an_entry_with_a_picture(self, elogy: Elogy, logbook: int) -> None:
        picture = PictureFile("scan-1-1", "image/png", "the detector", PNG)
        done = send(elogy, ElogyTarget(logbook, None, "", (ADA, GRACE)), export(pictures=[picture]), ExportProgress())
        entry = elogy.entry(done.entry)
        assert entry["title"] == "Exported from Scanlog"
        assert "&lt;b&gt;first&lt;/b&gt;" in entry["content"]
        assert [author["name"] for author in entry["authors"]] == ["Ada Lovelace", "Grace Hopper"]
        assert [file["filename"][:9] for file in entry["attachments"]] == ["scan-1-1-"]
        assert not done.before

    def test_a_file_arrives_as_it_is(self, running: RunningElogy, elogy: Elogy, logbook: int) -> None:
        if running.server is None:
            pytest.skip("where a real Elogy keeps its files is its own affair")
        done = send(elogy, ElogyTarget(logbook, None, "", (ADA,)), export(), ExportProgress())
        data = bytes(range(256)) * 3
        elogy.attach(elogy.entry(done.entry), "all.bin", "application/octet-stream", data, {"caption": "é"})
        assert running.server.store.files[elogy.entry(done.entry)["attachments"][0]["path"]] == data

    def test_never_twice(self, elogy: Elogy, logbook: int) -> None:
        target = ElogyTarget(logbook, None, "Same", (ADA,))
        first = send(elogy, target, export("same"), ExportProgress())
        again = send(elogy, target, export("same"), ExportProgress())
        assert (again.entry, again.before) == (first.entry, True)
        assert len(elogy.headlines(logbook)) == 1
        other = send(elogy, target, export("changed"), ExportProgress())
        assert other.entry != first.entry

    def test_the_second_time_brings_the_pictures_that_are_missing(self, elogy: Elogy, logbook: int) -> None:
        target, picture = ElogyTarget(logbook, None, "", (ADA,)), PictureFile("scan-1-1", "image/png", "", PNG)
        first = send(elogy, target, export(), ExportProgress())
        for _ in range(2):
            assert send(elogy, target, export(pictures=[picture]), ExportProgress()).entry == first.entry
        assert len(elogy.entry(first.entry)["attachments"]) == 1

    def test_a_missing_attribute_is_reported(self, running: RunningElogy, elogy: Elogy) -> None:
        logbook = new_logbook(running, attributes=[{"name": "Proposal", "type": "text", "required": True}])
        with pytest.raises(ElogyError, match="Proposal"):
            send(elogy, ElogyTarget(logbook, None, "", (ADA,)), export(), ExportProgress())
        done = send(elogy, ElogyTarget(logbook, None, "", (ADA,), {"Proposal": "20250001"}), export(), ExportProgress())
        assert elogy.entry(done.entry)["attributes"] == {"Proposal": "20250001"}


class TestAppended:
    @pytest.fixture
    def entry(self, elogy: Elogy, logbook: int) -> int:
        fields = {"content_type": "text/html; charset=UTF-8", "priority": 100, "metadata": {"mine": "kept"}}
        return elogy.create(logbook, {"title": "Night", "content": "<p>dark</p>", "authors": [ADA.as_json()]} | fields)

    def test_all_that_was_there_stays(self, elogy: Elogy, logbook: int, entry: int) -> None:
        done = send(elogy, ElogyTarget(logbook, entry, "More", (GRACE,)), export(), ExportProgress())
        assert done.entry == entry
        found = elogy.entry(entry)
        assert found["title"] == "Night"
        assert found["content"].index("dark") < found["content"].index("More") < found["content"].index("first")
        assert (found["content_type"], found["priority"]) == ("text/html; charset=UTF-8", 100)
        assert found["metadata"]["mine"] == "kept"
        assert [author["name"] for author in found["authors"]] == ["Ada Lovelace", "Grace Hopper"]

    def test_never_twice_but_others_too(self, elogy: Elogy, logbook: int, entry: int) -> None:
        target = ElogyTarget(logbook, entry, "", (ADA,))
        for cell in ("one", "two", "one"):
            last = send(elogy, target, export(cell), ExportProgress())
        assert last.before
        content = elogy.entry(entry)["content"]
        assert (content.count("one"), content.count("two")) == (1, 1)

    def test_a_stale_revision_is_refused(self, elogy: Elogy, entry: int) -> None:
        old = elogy.entry(entry)
        elogy.change(old, {"content": "<p>new</p>"})
        with pytest.raises(Stale):
            elogy.change(old, {"content": "<p>old</p>"})

    def test_one_that_is_open_for_editing_is_left_alone(
        self, running: RunningElogy, elogy: Elogy, logbook: int, entry: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also by somebody whom Elogy sees at the same address, as it sees all behind a proxy."""
        monkeypatch.setattr(elogy_entry, "MAX_APPEND_TRIES", 2)
        lock = f"{running.url}/api/entries/{entry}/lock"
        assert requests.post(lock, timeout=PATIENCE).status_code == 200
        with pytest.raises(Stale, match=r"being edited by somebody else \(it is locked by 127\.0\.0\.1"):
            send(elogy, ElogyTarget(logbook, entry, "", (ADA,)), export(), ExportProgress())
        assert requests.get(lock, timeout=PATIENCE).json()["lock"]["owned_by_ip"] == "127.0.0.1"
        assert "first" not in elogy.entry(entry)["content"]

    def test_of_several_at_once_none_is_lost(
        self, running: RunningElogy, elogy: Elogy, logbook: int, entry: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cells = [f"row {number}" for number in range(4)]
        if running.server is not None:
            monkeypatch.setattr(running.server.store, "between", lambda: time.sleep(0.02))  # so that calls meet
        with ThreadPoolExecutor(len(cells)) as pool:
            sent = [
                pool.submit(
                    send, Elogy(running.url), ElogyTarget(logbook, entry, "", (ADA,)), export(cell), ExportProgress()
                )
                for cell in cells
            ]
            assert {each.result().entry for each in sent} == {entry}
        content = elogy.entry(entry)["content"]
        assert [content.count(cell) for cell in cells] == [1] * len(cells)

    def test_a_wide_table_scrolls_and_times_stay_on_one_line(self, elogy: Elogy, logbook: int) -> None:
        rows = ElogyExport(
            "Scan log", ["Start", "Comment"], ["scizoo/1"], [["2026-11-22 10:00:00", "a b"]], [], frozenset({0})
        )
        content = elogy.entry(send(elogy, ElogyTarget(logbook, None, "", (ADA,)), rows, ExportProgress()).entry)[
            "content"
        ]
        assert re.search(r'<div style="overflow-x: ?auto;?">\s*<table', content), content
        assert re.search(r'<td style="white-space: ?nowrap;?">2026-11-22 10:00:00</td>\s*<td>a b</td>', content), (
            content
        )

    def test_the_same_picture_is_attached_once(self, elogy: Elogy, logbook: int, entry: int) -> None:
        picture = PictureFile("scan-1-1", "image/png", "", PNG)
        for heading in ("Before lunch", "After lunch"):
            target = ElogyTarget(logbook, entry, heading, (ADA,))
            send(elogy, target, export(pictures=[picture]), ExportProgress())
        found = elogy.entry(entry)
        assert found["content"].count("first") == 2
        assert len(found["attachments"]) == 1

    def test_plain_text_stays_plain_text(self, elogy: Elogy, logbook: int) -> None:
        fields = {"title": "Plain", "content": "dark", "content_type": "text/plain", "authors": [ADA.as_json()]}
        entry = elogy.create(logbook, fields)
        send(elogy, ElogyTarget(logbook, entry, "", (ADA,)), export("<b>", "second"), ExportProgress())
        found = elogy.entry(entry)
        assert found["content_type"] == "text/plain"
        assert found["content"].splitlines()[-3:] == ["Scan  Comment", "1     <b>", "1     second"]
