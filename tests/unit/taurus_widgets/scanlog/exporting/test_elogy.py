"""Exports into Elogy exactly once, whatever is lost on the way.

Both Elogys are compared in tests/contract/test_elogy.py.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from taurus_widgets.scanlog.exporting import elogy_entry
from taurus_widgets.scanlog.exporting.elogy import Author, Elogy, ElogyError, Stale
from taurus_widgets.scanlog.exporting.elogy_entry import DuplicateEntry, ElogyExport, ElogyTarget, UncertainWrite, send
from taurus_widgets.scanlog.exporting.elogy_lock import one_export_at_a_time
from taurus_widgets.scanlog.exporting.pictures import PictureFile
from taurus_widgets.scanlog.exporting.progress import Cancelled, ExportProgress
from tests.servers.elogy import RunningElogy, Server, stand_in
from tests.waiting import PATIENCE

ADA = Author("Ada Lovelace", "ada")
PICTURES = [("scizoo/1", PictureFile(f"scan-1-{number}", "image/png", "", bytes([number]))) for number in (1, 2, 3)]


@pytest.fixture
def running() -> Iterator[RunningElogy]:
    with stand_in() as found:
        found.server.store.add_logbook({"name": "CoSAXS"})  # type: ignore[union-attr]
        yield found


@pytest.fixture
def server(running: RunningElogy) -> Server:
    assert running.server is not None
    return running.server


@pytest.fixture
def elogy(running: RunningElogy) -> Elogy:
    return Elogy(running.url, timeout=PATIENCE)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elogy_entry, "CHECK_PAUSES_SECONDS", (0.01, 0.05, 0.1))
    monkeypatch.setattr(elogy_entry, "APPEND_SETTLE_SECONDS", 0.0)


NEW = ElogyTarget(1, None, "Night", (ADA,))


def export(cell: str = "first", with_pictures: bool = False) -> ElogyExport:
    return ElogyExport("Scan log", ["Comment"], ["scizoo/1"], [[cell]], PICTURES if with_pictures else [])


def once(method: str, ending: str, what: str, times: int = 1) -> Callable[[str, str], str]:
    """A fault in the first calls of one kind."""
    left = [times]

    def fault(called: str, path: str) -> str:
        if called == method and path.endswith(ending) and left[0]:
            left[0] -= 1
            return what
        return ""

    return fault


class TestNew:
    def test_an_answer_that_was_lost_is_found(self, elogy: Elogy, server: Server) -> None:
        server.fault = once("POST", "/entries/", "after")
        done = send(elogy, NEW, export(), ExportProgress())
        assert len(server.store.entries) == 1
        assert done.entry == 1

    @pytest.mark.parametrize("what", ["before", "500", "502"])
    def test_one_that_may_still_come_is_never_sent_again_by_itself(
        self, elogy: Elogy, server: Server, what: str
    ) -> None:
        server.fault = once("POST", "/entries/", what)
        with pytest.raises(UncertainWrite, match="first searches for it"):
            send(elogy, NEW, export(), ExportProgress())
        assert [call for call in server.calls if call[0] == "POST"] == [("POST", "/api/logbooks/1/entries/")]
        send(elogy, NEW, export(), ExportProgress())
        assert len(server.store.entries) == 1

    def test_one_that_came_late_is_found_by_the_next_try(self, elogy: Elogy, server: Server) -> None:
        real = server.store.add_entry
        sent: list[tuple[Any, ...]] = []

        def late(*arguments: Any) -> dict[str, object]:
            sent.append(arguments)
            raise ConnectionResetError

        server.store.add_entry = late  # type: ignore[method-assign, assignment]
        with pytest.raises(UncertainWrite):
            send(elogy, NEW, export(), ExportProgress())
        real(*sent[0])
        done = send(elogy, NEW, export(), ExportProgress())
        assert (done.before, len(server.store.entries)) == (True, 1)

    def test_two_windows_of_one_user_make_one_entry(self, elogy: Elogy, server: Server, tmp_path: Path) -> None:
        done: list[bool] = []
        real = server.store.add_entry

        def slow(*arguments: Any) -> Any:
            time.sleep(0.3)  # the others come meanwhile
            return real(*arguments)

        server.store.add_entry = slow  # type: ignore[method-assign]

        def window() -> None:
            with one_export_at_a_time(tmp_path, ExportProgress()):
                done.append(send(elogy, NEW, export(), ExportProgress()).before)

        windows = [threading.Thread(target=window) for _ in range(3)]
        for one in windows:
            one.start()
        for one in windows:
            one.join(PATIENCE)
        assert done == [False, True, True]
        assert len(server.store.entries) == 1

    def test_who_waits_for_a_turn_can_stop(self, tmp_path: Path) -> None:
        progress = ExportProgress()
        progress.cancel()
        with (
            one_export_at_a_time(tmp_path, ExportProgress()),
            pytest.raises(Cancelled),
            one_export_at_a_time(tmp_path, progress),
        ):
            pytest.fail("two at once")

    def test_without_a_place_for_locks_it_goes_on(self) -> None:
        with one_export_at_a_time(Path("/proc/nowhere"), ExportProgress()):
            pass

    def test_the_same_rows_of_two_people_at_one_moment_are_reported(
        self, elogy: Elogy, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        send(elogy, NEW, export(), ExportProgress())
        real, looks = elogy.marked, iter([None])
        monkeypatch.setattr(elogy, "marked", lambda *of: next(looks, "real") and real(*of))
        with pytest.raises(DuplicateEntry, match="in entry 1, and in entry 2, which can be deleted"):
            send(elogy, NEW, export(), ExportProgress())

    def test_a_refusal_is_reported_at_once(self, elogy: Elogy, server: Server) -> None:
        with pytest.raises(ElogyError, match="authors"):
            send(elogy, ElogyTarget(1), export(), ExportProgress())
        assert server.store.entries == {}

    def test_an_archived_entry_does_not_count(self, elogy: Elogy, server: Server) -> None:
        first = send(elogy, NEW, export(), ExportProgress()).entry
        server.store.entries[first]["archived"] = True
        assert send(elogy, NEW, export(), ExportProgress()).entry != first

    def test_a_cancelled_one_writes_nothing(self, elogy: Elogy, server: Server) -> None:
        progress = ExportProgress()
        progress.cancel()
        with pytest.raises(Cancelled):
            send(elogy, NEW, export(), progress)
        assert server.calls == []


class TestAppended:
    @pytest.fixture
    def there(self, elogy: Elogy) -> ElogyTarget:
        return ElogyTarget(
            1, elogy.create(1, {"title": "Day", "content": "<p>old</p>", "authors": [ADA.as_json()]}), "", (ADA,)
        )

    def content(self, server: Server) -> str:
        return str(server.store.entries[1]["content"])

    def test_somebody_elses_change_is_kept(self, elogy: Elogy, server: Server, there: ElogyTarget) -> None:
        change = {"revision_n": 0, "content": "<p>old and theirs</p>"}
        faults = iter([lambda: server.store.change_entry(1, change, "10.0.0.1")])

        def fault(method: str, path: str) -> str:
            if method == "PUT":
                next(faults, str)()
            return ""

        server.fault = fault
        send(elogy, there, export(), ExportProgress())
        assert "theirs" in self.content(server)
        assert "first" in self.content(server)

    def test_an_answer_that_was_lost_adds_nothing_twice(self, elogy: Elogy, server: Server, there: ElogyTarget) -> None:
        server.fault = once("PUT", "/", "after")
        assert not send(elogy, there, export(), ExportProgress()).before
        assert self.content(server).count("first") == 1

    def test_one_that_did_not_arrive_is_sent_again(self, elogy: Elogy, server: Server, there: ElogyTarget) -> None:
        server.fault = once("PUT", "/", "before")
        send(elogy, there, export(), ExportProgress())
        assert self.content(server).count("first") == 1

    def test_one_that_a_change_of_the_same_moment_overwrites_is_done_again(
        self, elogy: Elogy, server: Server, there: ElogyTarget
    ) -> None:
        theirs_read, ours_written = threading.Event(), threading.Event()

        class Appended(ExportProgress):
            def pause(self, seconds: float) -> None:
                """Our rows are in the entry now. The other change was made from the entry without them."""
                ours_written.set()
                other.join(PATIENCE)

        def between() -> None:
            server.store.between = lambda: None
            theirs_read.set()
            ours_written.wait(PATIENCE)

        server.store.between = between
        change = {"revision_n": 0, "content": "<p>old and theirs</p>"}
        other = threading.Thread(target=server.store.change_entry, args=(1, change, "10.0.0.1"))
        other.start()
        assert theirs_read.wait(PATIENCE)
        assert not send(elogy, there, export(), Appended()).before
        assert "theirs" in self.content(server)
        assert self.content(server).count("first") == 1

    @pytest.mark.parametrize("address", ["10.0.0.7", "127.0.0.1"])
    def test_a_locked_entry_is_reported_with_who_has_it(
        self, elogy: Elogy, server: Server, there: ElogyTarget, monkeypatch: pytest.MonkeyPatch, address: str
    ) -> None:
        monkeypatch.setattr(elogy_entry, "MAX_APPEND_TRIES", 2)
        server.store.locked[1] = address
        with pytest.raises(Stale, match=rf"edited by somebody else .*{re.escape(address)}"):
            send(elogy, there, export(), ExportProgress())
        assert "first" not in self.content(server)
        assert server.store.locked == {1: address}

    def test_waiting_for_a_lock_can_be_cancelled(self, elogy: Elogy, server: Server, there: ElogyTarget) -> None:
        server.store.locked[1] = "10.0.0.7"
        progress = ExportProgress()
        threading.Timer(0.1, progress.cancel).start()
        with pytest.raises(Cancelled):
            send(elogy, there, export(), progress)


class TestPictures:
    def names(self, server: Server) -> list[str]:
        return [file["filename"] for file in server.store.entries[1]["attachments"]]

    @pytest.mark.parametrize("what", ["after", ""])
    def test_each_arrives_once_and_overwrites_none(self, elogy: Elogy, server: Server, what: str) -> None:
        server.fault = once("POST", "/attachments/", what)
        send(elogy, NEW, export(with_pictures=True), ExportProgress())
        assert len(self.names(server)) == len(set(self.names(server))) == 3
        assert sorted(server.store.files.values()) == [b"\x01", b"\x02", b"\x03"]

    @pytest.mark.parametrize("what", ["before", "500", "413"])
    def test_what_is_missing_is_reported_and_sent_by_the_next_try(
        self, elogy: Elogy, server: Server, what: str
    ) -> None:
        server.fault = once("POST", "/attachments/", what)
        with pytest.raises(ElogyError, match="rows are in entry 1, not all of the pictures"):
            send(elogy, NEW, export(with_pictures=True), ExportProgress())
        done = send(elogy, NEW, export(with_pictures=True), ExportProgress())
        assert (done.entry, len(server.store.entries)) == (1, 1)
        assert len(self.names(server)) == len(set(self.names(server))) == 3

    def test_a_cancelled_one_says_what_is_there(self, elogy: Elogy, server: Server) -> None:
        progress = ExportProgress()

        def fault(method: str, path: str) -> str:
            if path.endswith("/attachments/"):
                progress.cancel()
            return ""

        server.fault = fault
        with pytest.raises(Cancelled, match="rows are in entry 1, not all"):
            send(elogy, NEW, export(with_pictures=True), progress)
        assert len(self.names(server)) == 1


class TestAnswers:
    @pytest.mark.parametrize("address", ["", "elogy.example.org", "ftp://elogy", "https://"])
    def test_an_address_that_is_none(self, address: str) -> None:
        with pytest.raises(ValueError, match="not an address of Elogy"):
            Elogy(address)

    def test_nobody_there(self) -> None:
        with pytest.raises(ElogyError, match=r"Elogy does not answer \(connection refused\)"):
            Elogy("http://127.0.0.1:9").logbooks()

    @pytest.mark.parametrize("path", ["", "/deeper"])
    def test_something_else_there(self, catalogue_page: str, path: str) -> None:
        with pytest.raises(ElogyError, match="not Elogy"):
            Elogy(catalogue_page + path).logbooks()


@pytest.fixture
def catalogue_page(running: RunningElogy, monkeypatch: pytest.MonkeyPatch) -> str:
    """Another server that answers every request with a page of its own."""
    monkeypatch.setattr("tests.servers.elogy.Handler._found", lambda self, body: {"message": "welcome"})
    return running.url
