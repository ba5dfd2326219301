"""Data files: noted in few words, listed one by one, and never hung for."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scifish.dataset import files as files_module
from scifish.dataset.files import FileReferences, describe, described, expand, path_of
from tests.waiting import PATIENCE, eventually


def noted(*references: str) -> list[Any]:
    found = FileReferences()
    for reference in references:
        found.add(reference)
    return found.files()


@pytest.mark.parametrize(
    ("reference", "path"),
    [
        ("file:///data/img_0001.tif", "/data/img_0001.tif"),
        ("h5file:///data/scan.h5::entry/data", "/data/scan.h5"),
        ("h5file:/data/scan.h5::/entry", "/data/scan.h5"),
        ("h5file:///data/scan.h5", "/data/scan.h5"),
        ("/data/plain.h5", "/data/plain.h5"),
        ("https://example.org/a.h5", "https://example.org/a.h5"),
    ],
)
def test_the_path_in_a_value_reference(reference: str, path: str) -> None:
    assert path_of(reference) == path


def test_thousands_of_frames_are_one_mapping() -> None:
    (series,) = noted(*(f"file:///data/run2/img_07_{index:05d}_c1.tif" for index in range(3, 12_003)))
    assert series == {"pattern": "/data/run2/img_07_{index:05d}_c1.tif", "first": 3, "count": 12_000}
    files = expand([series])
    assert (files[0], files[-1], len(files)) == (
        "/data/run2/img_07_00003_c1.tif",
        "/data/run2/img_07_12002_c1.tif",
        12_000,
    )


def test_a_container_is_one_file_however_many_frames_are_in_it() -> None:
    assert noted(*(f"h5file:///data/a.h5::entry/frame_{index}" for index in range(1000))) == ["/data/a.h5"]


@pytest.mark.parametrize(
    "names",
    [
        ["/d/a_1.tif"],
        ["/d/a_8.tif", "/d/a_9.tif", "/d/a_10.tif", "/d/a_11.tif"],
        ["/d/a_08.tif", "/d/a_09.tif", "/d/a_10.tif", "/d/a_99.tif", "/d/a_100.tif"],
        ["/d/a_099.tif", "/d/a_0100.tif"],
        ["/d/a_1.tif", "/d/a_3.tif", "/d/a_5.tif"],
        ["/d/a_3.tif", "/d/a_2.tif", "/d/a_1.tif"],
        ["/d/a_1.tif", "/d/b_2.tif", "/d/b_3.tif", "/d/b_5.tif", "/d/b_6.tif"],
        ["/d/x{1}_1.tif", "/d/x{1}_2.tif", "/d/x{1}_3.tif"],
        ["/d/1/2.tif", "/d/2/3.tif"],
    ],
)
def test_what_is_noted_is_what_was_written(names: list[str]) -> None:
    assert expand(noted(*names)) == names


@given(
    st.lists(
        st.builds(
            "/d{}/f_{}{}".format,
            st.sampled_from(["", "1", "{0}", "%s"]),
            st.one_of(st.integers(0, 12).map(str), st.integers(0, 120).map("{:02d}".format)),
            st.sampled_from([".h5", ".tif", ""]),
        ),
        max_size=40,
    )
)
def test_no_file_is_lost_or_made_up(names: list[str]) -> None:
    assert sorted(expand(noted(*names))) == sorted(set(names))


def test_a_file_that_many_records_mention_is_listed_once() -> None:
    assert noted("/d/a.h5", "/d/b.h5", "/d/a.h5", "/d/b.h5") == ["/d/a.h5", "/d/b.h5"]
    assert expand(
        ["file:///d/a_1.h5", {"path": "/d/a_1.h5"}, {"pattern": "/d/a_{index}.h5", "first": 1, "count": 2}]
    ) == [
        "/d/a_1.h5",
        "/d/a_2.h5",
    ]


@pytest.mark.parametrize(
    "series",
    [
        {"pattern": "/d/{index}.h5"},
        {"pattern": "/d/{number}.h5", "first": 0, "count": 2},
        {"pattern": "/d/{index:q}.h5", "first": 0, "count": 2},
        {"pattern": "/d/{index}.h5", "first": 0, "count": 10**12},
        {"pattern": None, "first": "x", "count": []},
    ],
)
def test_a_series_that_is_none_is_listed_and_says_so(series: dict[str, Any]) -> None:
    (file,) = described(expand([series]))
    assert "not a series of files" in file["error"]
    assert file["path"] == str(series["pattern"])


def test_expand_takes_one_or_several_or_nothing() -> None:
    assert expand(None) == []
    assert expand("/d/a.h5") == ["/d/a.h5"]
    assert expand([Path("/d/a.h5"), "/d/a.h5", {}]) == [Path("/d/a.h5"), {}]


def test_ten_thousand_files_are_described_quickly(tmp_path: Path) -> None:
    for index in range(100):
        (tmp_path / f"{index}").write_bytes(b"x" * index)
    found = described(expand({"pattern": f"{tmp_path}/{{index}}", "first": 0, "count": 10_000}))
    assert [file["size"] for file in found[:100]] == list(range(100))
    assert all(file["error"] == "No such file or directory" for file in found[100:])
    assert len(found) == 10_000


class Server:
    """A file server whose folder `/hangs` does not answer until `answers` is set."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.hangs = threading.Event()
        self.asked: list[str] = []

    def stat(self, path: str) -> os.stat_result:
        self.asked.append(path)
        if path.startswith("/hangs"):
            self.hangs.set()
            self.answers.wait()
        return os.stat("/")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    found = Server()
    real = os.stat

    def stat(path: Any, **options: Any) -> os.stat_result:
        return found.stat(path) if str(path).startswith(("/hangs", "/works")) else real(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(files_module.os, "stat", stat)
        yield found
        found.answers.set()
        for thread in threading.enumerate():
            if thread.name == "scifish-files":
                thread.join(PATIENCE)


def test_a_file_server_that_hangs_is_not_waited_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"path": "/hangs/c", "time": "2026-01-01T00:00:00Z", "size": 5}

    def join(look: threading.Thread, timeout: float) -> None:
        """The time is over when it hangs, however busy the machine is."""
        assert server.hangs.wait(PATIENCE)

    with monkeypatch.context() as patch:
        patch.setattr(files_module._FileCheck, "join", join)
        found = described(["/works/a", "/hangs/a", "/hangs/b", known], timeout=0.3)
    assert [file.get("error") for file in found] == [
        None,
        *["not checked: /hangs did not answer within 0.3 s"] * 2,
        None,
    ]
    assert found[3]["size"] == 5
    (again,) = described(["/works/b"], timeout=3600.0)
    assert again["error"] == "not checked: /hangs still does not answer"
    assert sum(thread.name == "scifish-files" for thread in threading.enumerate()) == 1
    server.answers.set()
    assert eventually(lambda: "error" not in described(["/works/b"], timeout=PATIENCE)[0])
    assert "/hangs/b" not in server.asked  # given up, it asks for no more


def test_a_file_given_with_time_and_size_is_not_looked_at(server: Server) -> None:
    found = describe({"path": "/works/a", "time": "2026-01-01T00:00:00Z", "size": "7"})
    assert found == {"path": "/works/a", "time": "2026-01-01T00:00:00.000Z", "size": 7}
    assert server.asked == []


def test_what_is_wrong_in_an_entry_is_reported_with_the_entry(tmp_path: Path) -> None:
    file = tmp_path / "a.dat"
    file.write_bytes(b"1234")
    found = describe({"path": str(file), "time": "yesterday", "size": -3})
    assert found["size"] == 4
    assert found["error"] == "yesterday is not a time; -3 is not a size in bytes"
    huge = describe({"path": str(file), "size": 10**5000})
    assert (huge["size"], "is not a size" in huge["error"]) == (4, True)
    gone = describe({"path": str(tmp_path / "b.dat"), "size": "many"})
    assert gone["error"] == "many is not a size in bytes; No such file or directory"


def test_entries_without_a_path_are_listed_each() -> None:
    found = [describe(one) for one in expand([None, {"size": 3}, {"path": "", "size": 3}])]
    assert [one["path"] for one in found] == ["unknown"] * 3
    assert [one["error"] for one in found] == [
        "no path is given: None",
        "no path is given: {'size': 3}",
        "no path is given: {'path': '', 'size': 3}",
    ]
