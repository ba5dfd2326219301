"""Which files make one measurement, and when it is complete; without threads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scifish.message.identity import files_uuid
from scifly.collector import MeasurementClaims, MeasurementCollector
from scifly.grouping import below, measurement_of, name_of
from scifly.journal import Journal
from scifly.model import JournalFile, Measurement, ProposalContext
from scifly.profiles import SHIPPED_PROFILES, Profile, profile_of, profiles_from

SES = replace(SHIPPED_PROFILES["ses"], settle=0.0)
FRAMES = Profile("frames", "*.h5", "folder")
SERIES = Profile("series", "*.tif", "series")
ANY = Profile("any", "*", "file")
PLACE = ProposalContext("20250001", "A", "visitors")


@pytest.mark.parametrize(
    ("profile", "path", "measurement", "name"),
    [
        (SES, "Ag_0001.txt", "Ag_0001", "Ag_0001"),
        (SES, "day 1/Ag_0001Ag__001.ibw", "day 1/Ag_0001", "Ag_0001"),
        (FRAMES, "eiger/scan_7/a_0001.h5", "eiger/scan_7", "scan_7"),
        (FRAMES, "a_0001.h5", "", "raw"),
        (SERIES, "a/img_2_0001.tif", "a/img_2_#.tif", "img_2"),
        (SERIES, "img_0001_dark.tif", "img_#_dark.tif", "img_#_dark"),
        (SERIES, "0001.tif", "#.tif", "#.tif"),
        (SERIES, "dark.tif", "dark.tif", "dark"),
        (SERIES, "run 3/dark.tif", "run 3/dark.tif", "dark"),
        (ANY, "a/b.tar.gz", "a/b.tar.gz", "b.tar.gz"),
        (replace(ANY, group="stem"), "a/sample_1.5K.h5", "a/sample_1.5K", "sample_1.5K"),
    ],
)
def test_the_common_path_of_files(profile: Profile, path: str, measurement: str, name: str) -> None:
    found = measurement_of(profile, path)
    assert found == measurement
    assert name_of(profile, f"/data/raw/{found}".rstrip("/")) == name


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


@given(PATHS, st.sampled_from(["stem", "folder", "series", "file"]), st.sampled_from(["ses", "prodigy", "none"]))
def test_a_measurement_is_in_the_folder_of_its_files_for_any_names(path: str, group: str, reader: str) -> None:
    profile = Profile("x", "*", group, reader=reader)
    found = measurement_of(profile, path)
    folder = os.path.dirname(path)
    assert found == folder if group == "folder" else os.path.dirname(found) == folder
    assert name_of(profile, f"/raw/{found}".rstrip("/"))


@given(PATHS, st.lists(st.integers(0, 99_999), min_size=2, max_size=5, unique=True))
def test_names_that_differ_in_their_running_number_only_are_one_series(path: str, numbers: list[int]) -> None:
    found = {measurement_of(SERIES, f"{path}x_{number:05}.tif") for number in numbers}
    assert len(found) == 1


def test_a_path_below_the_root() -> None:
    assert below("/raw/a/b", "/raw") == "a/b"
    assert below("/a/b", "/") == "a/b"


class Root:
    """A folder with files, and its collector."""

    def __init__(
        self, folder: Path, *profiles: Profile, claims: MeasurementClaims | None = None, catch_up: float = 3600.0
    ) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.journal = Journal(folder.parent / "lab.journal")
        self.passed_on: list[JournalFile] = []
        self.profiles = profiles
        self.collector = MeasurementCollector(
            str(folder),
            profiles,
            self.journal,
            "lab",
            catch_up,
            lambda path, made: PLACE,
            claims,
            lambda owner, file: self.passed_on.append(file),
        )

    def write(self, *names: str, content: str = "x") -> list[JournalFile]:
        return [self.file(name, content) for name in names]

    def file(self, name: str, content: str = "x") -> JournalFile:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        found = path.stat()
        return JournalFile.of(str(path), found.st_size, found.st_mtime_ns, found.st_ino)

    def due(self) -> dict[str, list[str]]:
        """The files of each measurement that is due."""
        for one in self.collector:
            one.turn = 0.0
        return {
            below(one.path, str(self.folder)): sorted(below(path, str(self.folder)) for path in one.files)
            for one in self.collector.due()
        }


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    found = Root(tmp_path / "raw", SES, FRAMES, SERIES)
    yield found
    found.journal.close()


def test_a_measurement_waits_for_existing_unfinished_files(root: Root) -> None:
    text, wave = root.write("Ag_0001.txt", "Ag_0001Ag__001.ibw")
    other, hidden = root.write("Ag_0002.txt", ".Ag_0002.txt.swp")
    assert hidden.size
    root.collector.take([text, other])
    assert root.due() == {"Ag_0002": ["Ag_0002.txt"]}
    root.collector.take([wave])
    assert root.due()["Ag_0001"] == ["Ag_0001.txt", "Ag_0001Ag__001.ibw"]


def test_it_does_not_wait_forever(root: Root) -> None:
    text, _ = root.write("Ag_0001.txt", "Ag_0001Ag__001.ibw")
    root.collector.take([text])
    assert root.due() == {}
    for one in root.collector:
        one.last -= SES.patience
    assert root.due() == {"Ag_0001": ["Ag_0001.txt"]}


def test_frames_of_a_folder_and_of_the_root_itself(root: Root) -> None:
    files = root.write("scan_1/a.h5", "scan_1/b.h5", "c.h5")
    root.collector.take(files[1:])
    assert root.due() == {"": ["c.h5"]}
    root.collector.take(files)
    assert root.due() == {"": ["c.h5"], "scan_1": ["scan_1/a.h5", "scan_1/b.h5"]}
    (measurement,) = (one.measurement for one in root.collector if one.path == str(root.folder))
    assert measurement.uuid == files_uuid("lab", str(root.folder), 0)


def test_each_frame_is_written_into_the_journal_once(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    found = root.journal.found

    def counted(begun: Iterable[tuple[Measurement, Iterable[JournalFile]]]) -> None:
        rows = [(measurement, list(files)) for measurement, files in begun]
        written.extend(file.path for _, files in rows for file in files)
        found(rows)

    monkeypatch.setattr(root.journal, "found", counted)
    frames = root.write(*(f"scan_1/{number}.h5" for number in range(20)))
    for frame in frames:
        root.collector.take([frame])
    assert written == [frame.path for frame in frames]
    ((_, files),) = root.journal.unfinished()
    assert len(files) == 20


def test_the_first_of_two_matching_profiles_is_used(root: Root) -> None:
    root.collector.take(root.write("Ag_0001.txt"))
    other = Root(root.folder, FRAMES, replace(ANY, group="stem"), SES)
    other.collector.take(other.write("x.h5.ibw"))
    ((one),) = other.collector
    assert one.profile.name == "any"
    other.collector.close()
    other.journal.close()


def test_a_measurement_found_by_two_roots_is_collected_by_one(tmp_path: Path) -> None:
    claims = MeasurementClaims()
    outer, inner = Root(tmp_path / "raw", SES, claims=claims), Root(tmp_path / "raw" / "deep", SES, claims=claims)
    (file,) = inner.write("Ag_0001.txt")
    outer.collector.take([file])
    inner.collector.take([file])
    assert (len(outer.collector), len(inner.collector)) == (1, 0)
    assert [one.path for one in inner.passed_on] == [file.path]
    (open_measurement,) = outer.collector
    outer.collector.done(open_measurement)
    inner.collector.take([file])
    assert len(inner.collector) == 1
    for one in (outer, inner):
        one.journal.close()


def test_an_earlier_run_is_continued(root: Root) -> None:
    files = root.write("Ag_0001.txt", "b_0001.tif", "b_0002.tif")
    root.collector.take(files)
    again = Root(root.folder, SES, SERIES)
    again.collector.restore()
    assert {one.path: len(one.files) for one in again.collector} == {
        str(root.folder / "Ag_0001"): 1,
        str(root.folder / "b_#.tif"): 2,
    }
    again.journal.close()


def test_recorded_unchanged_files_are_not_collected(root: Root) -> None:
    (file,) = root.write("Ag_0001.txt")
    root.collector.take([file])
    (open_measurement,) = root.collector
    root.journal.recorded([(open_measurement.measurement, open_measurement.files.values())])
    root.collector.done(open_measurement)
    # A file server that was mounted again may number its files anew.
    root.collector.take([replace(file, inode=file.inode + 1)])
    assert len(root.collector) == 0
    root.collector.take([root.file("Ag_0001.txt", "longer")])
    assert len(root.collector) == 1


def test_old_files_are_skipped_unless_they_were_just_copied(root: Root) -> None:
    old = root.file("Ag_0001.txt")
    os.utime(old.path, (1.0, 1.0))
    root.collector.take([replace(old, mtime_ns=10**9)])
    assert (root.collector.skipped, len(root.collector)) == (0, 1)  # it came here just now
    root.collector.take([replace(old, path=f"{root.folder}/gone.txt", mtime_ns=10**9)])
    assert root.collector.skipped == 1


def test_without_catch_up_files_written_from_now_on_are_taken(tmp_path: Path) -> None:
    root = Root(tmp_path / "raw", SES, catch_up=0.0)
    new = root.file("Ag_0001.txt")
    while new.mtime_ns / 1e9 <= root.collector._since:  # a file's time is that of the last tick of the kernel's clock
        new = root.file("Ag_0001.txt")
    root.collector.take([new])
    assert (root.collector.skipped, len(root.collector)) == (0, 1)
    root.journal.close()


def test_a_file_can_be_taken_at_once(root: Root) -> None:
    text, _ = root.write("Ag_0001.txt", "Ag_0001Ag__001.ibw")
    answer: Future[str] = Future()
    root.collector.take_now(text, answer)
    assert [one.now for one in root.collector.due()] == [answer]
    root.collector.take_now(root.file("plain.md"), Future())
    assert {one.profile.name for one in root.collector} == {"ses", "record now"}


STEMS = st.sampled_from([f"{name}_{number:04}" for name in ("Ag", "Si 2p", "\xe5") for number in range(3)])
FILES = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["", "a/", "a/b/"]), STEMS, st.sampled_from([".txt", "Ag__001.ibw", "Ag__002.ibw"])),
        st.tuples(st.sampled_from(["f/", "f/g/"]), STEMS, st.just(".h5")),
    ).map("".join),
    min_size=1,
    max_size=30,
    unique=True,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(files=FILES, data=st.data())
def test_in_whatever_order_files_are_finished_each_is_in_one_measurement(
    tmp_path_factory: pytest.TempPathFactory, files: list[str], data: st.DataObject
) -> None:
    root = Root(tmp_path_factory.mktemp("gather") / "raw", SES, FRAMES)
    try:
        there = {file.path: file for file in root.write(*files)}
        order = data.draw(st.permutations(sorted(there)))
        recorded: dict[str, list[str]] = {}
        while order:
            count = data.draw(st.integers(1, len(order)))
            now, order = order[:count], order[count:]
            root.collector.take(there[path] for path in now)
            for measurement, names in root.due().items():
                assert measurement not in recorded  # all of it was there from the beginning, and is one dataset
                recorded[measurement] = names
                (open_measurement,) = (
                    one for one in root.collector if below(one.path, str(root.folder)) == measurement
                )
                root.journal.recorded([(open_measurement.measurement, open_measurement.files.values())])
                root.collector.done(open_measurement)
        assert sorted(name for names in recorded.values() for name in names) == sorted(files)
        assert len(root.collector) == 0
        for measurement, names in recorded.items():
            profiles = [profile_of(root.profiles, name) for name in names]
            assert {measurement_of(one, name) for one, name in zip(profiles, names, strict=True) if one} == {
                measurement
            }
    finally:
        root.journal.close()


def test_the_default_of_the_device_is_ses_and_prodigy() -> None:
    profiles, _ = profiles_from(["ses", "prodigy"])
    assert profile_of(profiles, "x/MgFe2O4.xy") is profiles[1]
    assert profile_of(profiles, "x/y.h5") is None


def test_a_measurement_that_no_profile_matches_any_more_is_not_waited_for(root: Root) -> None:
    root.collector.take(root.write("Ag_0001.txt"))
    again = Root(root.folder, FRAMES)
    again.collector.restore()
    assert len(again.collector) == 0
    assert again.journal.unfinished() == []
    again.journal.close()
