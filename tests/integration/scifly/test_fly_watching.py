"""Watches a tree while programs write into it: each finished file is reported once, by both methods."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from scifly.watching import FinishedFile, watch
from tests.integration.scifly.fly_programs import PIECE, REGIONS, run, running
from tests.integration.scifly.fly_watching import INTERVAL, SETTLE, Watched, elsewhere, wait_until, watching

BOTH = pytest.mark.parametrize("method", ["inotify", "polling"])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


@pytest.fixture(params=["inotify", "polling"])
def watched(root: Path, request: pytest.FixtureRequest) -> Iterator[Watched]:
    with watching(root, request.param) as watched:
        watched.look_again()
        yield watched


def sizes(watched: Watched, name: str) -> list[int]:
    return [file.size for file in watched.files if os.path.relpath(file.path, watched.root) == name]


# ----------------------------------------------------------------- how programs write


def test_a_file_is_found_once_when_its_program_has_finished_it(watched: Watched) -> None:
    programs = ("slowly", "renaming", "linking", "header")
    with ExitStack() as open_programs:
        for name in programs:
            open_programs.enter_context(running(name, watched.root / f"slow {name} 0001.txt"))
        watched.wait_for(*(f"slow {name} 0001.txt" for name in programs))
    for found in watched.files:
        if "slow" in found.path:
            stat = os.stat(found.path)
            assert found == FinishedFile(
                found.path, stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_dev, found.seen
            )


def test_a_file_whose_program_is_killed_halfway_is_found_as_it_is(watched: Watched) -> None:
    with running("held", watched.root / "Ag.txt") as program:
        program.wait_ready()
        program.process.kill()
        watched.wait_for("Ag.txt")
    assert sizes(watched, "Ag.txt") == [(watched.root / "Ag.txt").stat().st_size]


def test_a_file_that_gets_regions_one_by_one_is_found_after_each(watched: Watched) -> None:
    with running("regions", watched.root / "Ag.txt") as program:
        for number in range(REGIONS):
            program.wait_ready()
            watched.wait_for(*["Ag.txt"] * (number + 1))
            program.go_on()
        program.end()
    watched.wait_for(*["Ag.txt"] * REGIONS)
    assert sizes(watched, "Ag.txt") == [(number + 1) * (11 + len(PIECE)) for number in range(REGIONS)]


@pytest.mark.parametrize(
    ("program", "name", "waits"),
    [("held", "Ag.txt", REGIONS), ("late", "Ag.txt", 1), ("folder_held", "new/folders/Ag.txt", 1)],
)
def test_with_inotify_a_file_is_not_found_while_its_program_has_it_open(
    root: Path, program: str, name: str, waits: int
) -> None:
    with watching(root, "inotify") as watched:
        watched.look_again()
        with running(program, root / name) as writer:
            for _ in range(waits):
                writer.wait_ready()
                watched.look_again()
                watched.look_again()
                assert not watched.found
                writer.go_on()
            writer.end()
        watched.wait_for(name)
        assert sizes(watched, name) == [(root / name).stat().st_size]


@BOTH
def test_size_and_time_decide_for_a_file_that_was_open_before_the_watch(root: Path, method: str) -> None:
    with running("held", root / "Ag.txt") as program:
        program.wait_ready()
        with watching(root, method) as watched:
            watched.wait_for("Ag.txt")
            for _ in range(REGIONS):
                program.go_on()
            program.end()
            whole = (root / "Ag.txt").stat().st_size
            wait_until(lambda: sizes(watched, "Ag.txt")[-1] == whole, lambda: sizes(watched, "Ag.txt"))
            watched.look_again()
        found = sizes(watched, "Ag.txt")  # in between, too, where its program had to wait for the processor
        assert (len(found) > 1, found) == (True, sorted(set(found)))


def test_a_file_that_is_only_opened_for_writing_is_not_found_again(watched: Watched) -> None:
    file = watched.root / "Ag.txt"
    file.write_bytes(PIECE)
    watched.wait_for("Ag.txt")
    file.open("ab").close()
    file.chmod(0o640)
    watched.wait_for("Ag.txt")


def test_a_replaced_or_recreated_file_is_found_again(watched: Watched) -> None:
    file = watched.root / "Ag.txt"
    file.write_bytes(PIECE)
    watched.wait_for("Ag.txt")
    other = watched.root / "Ag.txt.tmp"
    other.write_bytes(PIECE)
    other.rename(file)
    watched.wait_for("Ag.txt", "Ag.txt")
    file.unlink()
    watched.look_again()
    file.write_bytes(b"other")
    watched.wait_for(*["Ag.txt"] * 3)


def test_a_file_that_is_gone_before_it_is_finished_is_forgotten(watched: Watched) -> None:
    file = watched.root / "slow.txt"
    file.write_bytes(PIECE)
    wait_until(lambda: watched.watch.pending == 1, lambda: watched.watch.pending)
    file.unlink()
    watched.wait_for()


def test_an_empty_file_is_a_file(watched: Watched) -> None:
    (watched.root / "empty.txt").touch()
    watched.wait_for("empty.txt")


# --------------------------------------------------------------------------- many files


def test_folders_that_are_filled_as_they_are_made(watched: Watched) -> None:
    run("folders", watched.root)
    below = ("b/c/one.txt", "b/c/two.txt", "b/three.txt")
    watched.wait_for(*(f"{number}/{name}" for number in range(100) for name in below))


def test_a_burst(watched: Watched) -> None:
    run("burst", watched.root)
    watched.wait_for(*(f"{n // 100 * 100:05}/frame_{n:05}.h5" for n in range(5_000)))


def test_random_changes_the_last_state_of_each_file_is_found_once(watched: Watched) -> None:
    with ExitStack() as open_programs:
        programs = []
        for folder in (watched.root / "1", watched.root / "2"):
            folder.mkdir()
            programs.append(open_programs.enter_context(running("anything", folder)))
        for program in programs:
            program.end()
    there = {
        os.path.join(folder, name): os.stat(os.path.join(folder, name)).st_size
        for folder, _, names in os.walk(watched.root)
        for name in names
    }

    def wrong() -> dict[str, int]:
        last = {file.path: file.size for file in list(watched.files)}
        return {path: size for path, size in there.items() if last.get(path) != size}

    wait_until(lambda: not wrong(), wrong)
    watched.look_again()
    assert len(set(watched.files)) == len(watched.files)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Counter[str]]]:
    """A tree with 100,000 files of a year ago."""
    root = tmp_path_factory.mktemp("full")
    names: Counter[str] = Counter()
    for folder in map(str, range(10)):
        (root / folder).mkdir()
        first = root / folder / "first.h5"
        first.write_bytes(PIECE)
        os.utime(first, (time.time() - 365 * 86_400,) * 2)
        names[f"{folder}/first.h5"] = 1
        for number in range(1, 10_000):
            # Names of few files: as many questions as with 100,000 files, and made in less time.
            name = f"{folder}/frame_{number:05}.h5"
            os.link(first, root / name)
            names[name] = 1
    yield root, names
    shutil.rmtree(root)


@pytest.mark.parametrize("method", ["inotify", pytest.param("polling", marks=pytest.mark.long)])
def test_a_tree_with_100000_files(full: tuple[Path, Counter[str]], method: str) -> None:
    root, names = full
    with watching(root, method) as watched:
        watched.wait_for(*names)
        old, new = root / "3" / "frame_00017.h5", root / "9" / "z.h5"
        new.write_bytes(PIECE)
        watched.wait_for(*names, "9/z.h5")
        new.unlink()
        old.unlink()
        old.write_bytes(b"another")
        watched.wait_for(*names, "9/z.h5", "3/frame_00017.h5")
        old.unlink()
        os.link(root / "3" / "first.h5", old)


@BOTH
def test_a_rescan_finds_nothing_twice(root: Path, method: str) -> None:
    for number in range(50):
        (root / f"{number}.txt").write_bytes(PIECE)
    with watching(root, method) as watched:
        watched.watch.rescan()
        watched.wait_for(*(f"{number}.txt" for number in range(50)))
        watched.watch.rescan()
        watched.wait_for(*(f"{number}.txt" for number in range(50)))


def test_a_full_queue_of_the_kernel_loses_nothing(root: Path) -> None:
    """The watch's process is stopped while more happens than the kernel's queue can hold."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 100_000:
        pytest.skip(f"this kernel keeps {limit} events")
    names = Counter({f"{number}.txt": 1 for number in range(limit // 2)})
    (root / "gone.txt").write_bytes(PIECE)
    with elsewhere(root, "inotify") as other:
        other.wait_for("found", "gone.txt")
        with running("held", root / "held.txt") as program:
            program.wait_ready()
            with other.without_processor():
                for name in names:
                    (root / name).write_bytes(b"x")
                (root / "gone.txt").unlink()
                (root / "folder").mkdir()
                (root / "folder" / "new.txt").write_bytes(b"x")
            other.wait_for("log", "the kernel dropped events")
            expected = names + Counter(["gone.txt", "folder/new.txt"])
            wait_until(lambda: other.found == expected, lambda: (expected - other.found, other.found - expected))
            for _ in range(REGIONS):
                program.go_on()
            program.end()
        other.wait_for("found", "held.txt")
        other.end()
    assert other.found == expected + Counter(["held.txt"])


# --------------------------------------------------------------------- names and links

NAMES = (
    *("two words.txt", "Ångström 試料.txt", "A\u030a.txt", "-rf", "a\nb\\n\t.txt", "quote'\".txt", "*?[x].txt"),
    *(os.fsdecode(b"latin \xe5\xff.txt"), "x" * 251 + ".txt", "no ending", "UPPER.TXT"),
)


def test_names_of_all_kinds(watched: Watched) -> None:
    for name in NAMES:
        folder = watched.root / f"in {name}"[:200]
        folder.mkdir()
        (folder / name).write_bytes(PIECE)
        (watched.root / name).write_bytes(PIECE)
    watched.wait_for(*NAMES, *(f"{f'in {name}'[:200]}/{name}" for name in NAMES))


def test_hidden_temporary_and_unwanted_names_are_not_found(watched: Watched) -> None:
    for name in (
        ".Ag.txt",
        "Ag.txt~",
        "Ag.TMP",
        "Ag.h5.part",
        "~$Ag.xlsx",
        "Ag.log",
        ".hidden/Ag.txt",
        "Ag.tmp/Ag.txt",
    ):
        path = watched.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(PIECE)
    watched.wait_for()
    (watched.root / ".hidden").rename(watched.root / "shown")
    watched.wait_for("shown/Ag.txt")


def test_symbolic_links_are_not_followed(watched: Watched, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "folder").mkdir(parents=True)
    (outside / "folder" / "secret.txt").write_bytes(PIECE)
    inside = watched.root / "inside"
    inside.mkdir()
    (inside / "Ag.txt").write_bytes(PIECE)
    (inside / "loop").symlink_to(watched.root)
    (inside / "outside").symlink_to(outside)
    (inside / "file.txt").symlink_to(outside / "folder" / "secret.txt")
    (inside / "same.txt").symlink_to("Ag.txt")
    (inside / "dangling.txt").symlink_to("nowhere")
    watched.wait_for("inside/Ag.txt")
    (outside / "folder" / "later.txt").write_bytes(PIECE)
    inside.rename(tmp_path / "moved")
    inside.symlink_to(outside)
    (outside / "more.txt").write_bytes(PIECE)
    watched.wait_for("inside/Ag.txt")


def test_pipes_and_sockets_are_not_found(watched: Watched) -> None:
    os.mkfifo(watched.root / "pipe.txt")
    watched.wait_for()


# -------------------------------------------------------------------- folders that move


def test_a_folder_that_is_renamed_is_followed(watched: Watched) -> None:
    (watched.root / "a" / "b").mkdir(parents=True)
    (watched.root / "a" / "b" / "1.txt").write_bytes(PIECE)
    watched.wait_for("a/b/1.txt")
    (watched.root / "a").rename(watched.root / "c")
    watched.wait_for("a/b/1.txt", "c/b/1.txt")
    (watched.root / "c" / "b" / "2.txt").write_bytes(PIECE)
    (watched.root / "a" / "b").mkdir(parents=True)
    (watched.root / "a" / "b" / "1.txt").write_bytes(PIECE)
    watched.wait_for("a/b/1.txt", "c/b/1.txt", "c/b/2.txt", "a/b/1.txt")


def test_a_folder_moved_out_is_no_longer_watched_and_one_moved_in_is(watched: Watched, tmp_path: Path) -> None:
    (watched.root / "a").mkdir()
    (watched.root / "a" / "1.txt").write_bytes(PIECE)
    watched.wait_for("a/1.txt")
    (watched.root / "a").rename(tmp_path / "a")
    watched.look_again()
    (tmp_path / "a" / "2.txt").write_bytes(PIECE)
    watched.wait_for("a/1.txt")
    (tmp_path / "a").rename(watched.root / "back")
    watched.wait_for("a/1.txt", "back/1.txt", "back/2.txt")


def test_a_folder_that_is_removed_and_recreated(watched: Watched) -> None:
    for number in range(1, 4):
        (watched.root / "a" / "b").mkdir(parents=True)
        (watched.root / "a" / "b" / "1.txt").write_bytes(PIECE * number)
        watched.wait_for(*["a/b/1.txt"] * number)
        shutil.rmtree(watched.root / "a")


@BOTH
def test_a_folder_that_is_moved_into_a_new_one_while_the_watch_has_no_processor(root: Path, method: str) -> None:
    """The new folder, with the moved one in it, is listed before the event of the move is read."""
    (root / "a").mkdir()
    (root / "a" / "1.txt").write_bytes(PIECE)
    with elsewhere(root, method) as other:
        other.wait_for("found", "a/1.txt")
        with other.without_processor():
            (root / "new").mkdir()
            (root / "a").rename(root / "new" / "b")
        other.wait_for("found", "new/b/1.txt")
        (root / "new" / "b" / "2.txt").write_bytes(PIECE)
        other.wait_for("found", "new/b/2.txt")
        other.end()
    assert other.found == Counter(["a/1.txt", "new/b/1.txt", "new/b/2.txt"])


def test_polling_sees_a_second_file_that_leaves_the_time_of_the_folder_as_it_was(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on file systems whose times have a resolution of a second or two."""
    monkeypatch.setattr("scifly.watching.polling.COARSE_TIMESTAMP_SECONDS", 600.0)
    with watching(root, "polling") as watched:
        folder = root / "a"
        folder.mkdir()
        (folder / "1.txt").write_bytes(PIECE)
        watched.wait_for("a/1.txt")
        stat = folder.stat()
        (folder / "2.txt").write_bytes(PIECE)
        os.utime(folder, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        watched.wait_for("a/1.txt", "a/2.txt")


# -------------------------------------------------------------------------- the root


@BOTH
def test_a_root_that_does_not_exist_yet(tmp_path: Path, method: str) -> None:
    root = tmp_path / "proposal" / "visit" / "raw"
    with watching(root, method) as watched:
        wait_until(lambda: watched.troubles == [f"{root} does not exist (yet)"], lambda: watched.troubles)
        root.mkdir(parents=True)
        (root / "Ag.txt").write_bytes(PIECE)
        watched.wait_for("Ag.txt")
        wait_until(lambda: watched.troubles[-1] == "", lambda: watched.troubles)


def test_a_root_that_vanishes_and_comes_back(watched: Watched, tmp_path: Path) -> None:
    root = watched.root
    (root / "a").mkdir()
    (root / "a" / "1.txt").write_bytes(PIECE)
    watched.wait_for("a/1.txt")
    root.rename(tmp_path / "away")
    watched.wait_for_trouble(f"{root} does not exist")
    (tmp_path / "away" / "a" / "2.txt").write_bytes(PIECE)
    (tmp_path / "away").rename(root)
    watched.wait_for("a/1.txt", "a/2.txt")
    (root / "a" / "3.txt").write_bytes(PIECE)
    watched.wait_for("a/1.txt", "a/2.txt", "a/3.txt")


def test_a_root_that_is_replaced(watched: Watched, tmp_path: Path) -> None:
    root = watched.root
    (root / "a").mkdir()
    (root / "a" / "1.txt").write_bytes(PIECE)
    watched.wait_for("a/1.txt")
    with running("held", root / "a" / "open.txt") as program:
        program.wait_ready()
        polled = watched.watch.method == "polling"
        if polled:  # it is quiet
            watched.wait_for("a/1.txt", "a/open.txt")
        other = tmp_path / "other"
        (other / "a").mkdir(parents=True)
        (other / "a" / "2.txt").write_bytes(PIECE)
        (other / "a" / "open.txt").write_bytes(PIECE)
        root.rename(tmp_path / "away")
        other.rename(root)
        wait_until(lambda: watched.found["a/2.txt"] == 1, lambda: watched.found)
        (tmp_path / "away" / "a" / "not ours.txt").write_bytes(PIECE)
        (root / "a" / "3.txt").write_bytes(PIECE)
        watched.wait_for("a/1.txt", "a/2.txt", "a/3.txt", *["a/open.txt"] * (1 + polled))


def test_a_root_that_turns_into_a_file_and_back(watched: Watched) -> None:
    shutil.rmtree(watched.root)
    watched.root.write_bytes(PIECE)
    watched.wait_for_trouble(f"{watched.root} is not a folder")
    watched.root.unlink()
    watched.root.mkdir()
    (watched.root / "Ag.txt").write_bytes(PIECE)
    watched.wait_for("Ag.txt")
    assert watched.watch.trouble == ""


@BOTH
def test_a_root_that_is_a_symbolic_link_to_another_folder_now(tmp_path: Path, method: str) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.txt").write_bytes(PIECE)
    root = tmp_path / "raw"
    root.symlink_to("one")
    with watching(root, method) as watched:
        watched.wait_for("one.txt")
        (tmp_path / "link").symlink_to("two")
        (tmp_path / "link").rename(root)
        watched.wait_for("one.txt", "two.txt")
        (tmp_path / "one" / "late.txt").write_bytes(PIECE)
        (root / "new.txt").write_bytes(PIECE)
        watched.wait_for("one.txt", "two.txt", "new.txt")


def as_other_account() -> list[str]:
    """The command for a process to which permissions apply, even if the tests run as root."""
    if os.geteuid():
        return []
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-U", "true"]).returncode:
        pytest.skip("root may read everything, and there are no user namespaces here")
    return ["unshare", "-U"]


@BOTH
def test_a_root_and_a_folder_that_may_not_be_read_for_a_while(root: Path, method: str) -> None:
    (root / "a").mkdir()
    (root / "a" / "1.txt").write_bytes(PIECE)
    with elsewhere(root, method, as_other_account()) as other:
        other.wait_for("found", "a/1.txt")
        (root / "b").mkdir(0o000)
        other.wait_for("trouble", f"{root}/b: Permission denied")
        (root / "b").chmod(0o755)
        (root / "b" / "2.txt").write_bytes(PIECE)
        other.wait_for("found", "b/2.txt")
        root.chmod(0o000)
        other.wait_for("trouble", f"{root} cannot be read: permission denied")
        root.chmod(0o755)
        (root / "3.txt").write_bytes(PIECE)
        other.wait_for("found", "3.txt")
        assert [line["trouble"] for line in other.lines if "trouble" in line][-1] == ""
        other.end()
    assert other.found == Counter(["a/1.txt", "b/2.txt", "3.txt"])


# ------------------------------------------------------------------ limits, errors, end


def in_namespace(command: str) -> list[str]:
    """Run under a shell that may set limits, and mount, for itself and its children only."""
    under = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", f'{command} && exec "$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*under, "true"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip(f"not possible here: {command}")
    return under


@pytest.mark.parametrize(("limit", "value"), [("watches", 20), ("instances", 0)])
def test_at_the_kernels_limit_polling_is_used(root: Path, limit: str, value: int) -> None:
    under = in_namespace(f"echo {value} > /proc/sys/user/max_inotify_{limit}")
    with elsewhere(root, "auto", under) as other:
        for number in range(30):
            (root / str(number)).mkdir()
            (root / str(number) / "1.txt").write_bytes(PIECE)
        expected = Counter(f"{number}/1.txt" for number in range(30))
        wait_until(lambda: other.found == expected, lambda: other.lines)
        other.wait_for("trouble", f"fs.inotify.max_user_{limit}")
        (root / "29" / "2.txt").write_bytes(PIECE)
        other.wait_for("found", "29/2.txt")
        assert other.lines[-1]["method"] == "polling"
        other.end()
    assert other.found == expected + Counter(["29/2.txt"])


def test_auto_uses_inotify_on_a_local_disk(root: Path) -> None:
    with watching(root, "auto") as watched:
        watched.look_again()
        assert watched.watch.method == "inotify"


def test_another_method_is_refused(root: Path) -> None:
    with pytest.raises(ValueError, match="'fanotify': write one of auto, inotify, polling"):
        watch(str(root), bool, len, print, "fanotify")  # type: ignore[arg-type]


@BOTH
def test_a_file_that_could_not_be_processed_is_reported_again(
    root: Path, method: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("scifly.watching.watcher.STAT_RETRY_SECONDS", 0.1)
    given: list[str] = []

    def take(found: FinishedFile) -> None:
        given.append(found.path)
        if len(given) == 1:
            raise OSError("no room")

    watched = watch(str(root), bool, lambda path: SETTLE, take, method, interval=INTERVAL)  # type: ignore[arg-type]
    watched.start()
    (root / "Ag.txt").write_bytes(PIECE)
    wait_until(lambda: "could not be processed" in watched.trouble, lambda: watched.trouble)
    wait_until(lambda: len(given) == 2 and not watched.trouble, lambda: (given, watched.trouble))
    watched.stop()
    assert "no room" in caplog.text


@BOTH
def test_an_exception_of_a_callback_is_reported_and_survived(
    root: Path, method: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("scifly.watching.watcher.STAT_RETRY_SECONDS", 0.1)
    found: list[FinishedFile] = []
    asked: list[str] = []

    def wanted(path: str) -> bool:
        asked.append(path)
        if len(asked) == 1:
            raise KeyError("pattern")
        return True

    watched = watch(str(root), wanted, lambda path: SETTLE, found.append, method, interval=INTERVAL)  # type: ignore[arg-type]
    watched.start()
    (root / "Ag.txt").write_bytes(PIECE)
    wait_until(lambda: len(found) == 1 and not watched.trouble, lambda: watched.trouble)
    watched.stop()
    assert "KeyError: 'pattern'" in caplog.text


@BOTH
def test_after_the_stop_nothing_is_reported_even_if_the_callback_hangs(root: Path, method: str) -> None:
    taken: list[str] = []
    go_on = threading.Event()

    def take(found: FinishedFile) -> None:
        taken.append(found.path)
        go_on.wait()

    watched = watch(str(root), bool, lambda path: SETTLE, take, method, interval=INTERVAL)  # type: ignore[arg-type]
    watched.start()
    for number in range(3):
        (root / f"{number}.txt").write_bytes(PIECE)
    wait_until(lambda: len(taken) == 1, lambda: taken)
    watched.stop()
    go_on.set()
    watched.stop()
    assert len(taken) == 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("scifly-")]


@BOTH
def test_a_hanging_file_server_is_reported_and_does_not_prevent_the_stop(root: Path, method: str) -> None:
    """A file system (FUSE) without a server: each call waits forever."""
    options = "fd=9,rootmode=40000,user_id=0,group_id=0"
    mount = f"exec 9<>/dev/fuse && mount -i -t fuse -o {options} none '{root}'"
    with elsewhere(root, method, in_namespace(mount)) as other:
        other.wait_for("trouble", f"the file server of {root} does not answer")
        assert other.process.stdin is not None
        other.process.stdin.close()
        other.wait_for("stopped", str(root))
    assert not other.found
