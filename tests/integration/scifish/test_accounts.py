"""Recording, and the command `scifish`, by an account of which the machine knows little, as in a container.

Its uid is in no list of accounts. It may read all files, as Python may be in a home, and write only what is its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from scifish.spool.database import Spool
from tests.builders.messages import message
from tests.servers.kafka import Kafka
from tests.servers.topic import Topic
from tests.waiting import PATIENCE

UID = "54321"

NOT_ROOT = os.geteuid() != 0 or shutil.which("setpriv") is None

pytestmark = pytest.mark.skipif(NOT_ROOT, reason="only root may become another account, by setpriv")

SCIFISH = str(Path(sys.executable).with_name("scifish"))

PROGRAM = """
import os, sys
import scifish.spool.executor
from scifish import SciFish
scifish.spool.executor.DISK_WAIT_SECONDS = 60.0  # a busy machine's slow disk is not to be reported
os.umask(int(sys.argv[1], 8))
fish = SciFish()
fish.start_scan("by nobody")
fish.end_scan()
os.kill(os.getpid(), 9)
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    tmp_path.chmod(0o777)
    settings = tmp_path / "scifish.yaml"
    settings.write_text(f"Beamline: lab\nKafkaBootstrapServers: 127.0.0.1:9\nSpoolDirectory: {tmp_path}/spool\n")

    def as_nobody(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        may_read = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
        account = ["setpriv", "--reuid", UID, "--regid", UID, "--clear-groups", *may_read]
        return subprocess.run(
            [*account, *command],
            env={"SCIFISH_CONFIG": str(settings), **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    return as_nobody


@pytest.mark.parametrize(
    ("home", "umask"),
    [
        (None, "022"),
        ("/usr", "077"),
        *(pytest.param(home, "077", marks=pytest.mark.long) for home in (None, "", "/nonexistent", "relative")),
    ],
)
def test_the_folder_that_is_set_has_the_spool(run: Run, tmp_path: Path, home: str | None, umask: str) -> None:
    environment = {} if home is None else {"HOME": home}
    done = run(sys.executable, "-c", PROGRAM, umask, **environment)
    assert (done.returncode, done.stderr) == (-9, "")
    assert len(list((tmp_path / "spool").glob("*.spool"))) == 1
    status = run(SCIFISH, "status", **environment)
    assert status.returncode == 1 or "datasets are being recorded" in status.stdout
    assert f"{tmp_path}/spool: " in status.stdout
    assert "1 spools" in status.stdout
    assert status.stderr == ""
    assert not [path for path in tmp_path.iterdir() if path.name not in ("spool", "scifish.yaml")]


@pytest.mark.parametrize(
    ("command", "settings"),
    [
        *((["status"], settings) for settings in ("", "~/scifish.yaml", "/nonexistent/scifish.yaml")),
        *((command, "") for command in (["list"], ["list", "--json"], ["flush", "--timeout", "0"])),
    ],
)
def test_the_command_ends_with_a_sentence(run: Run, command: list[str], settings: str) -> None:
    done = run(SCIFISH, *command, SCIFISH_CONFIG=settings)
    assert "Traceback" not in done.stderr
    assert done.returncode == (2 if settings else 0)
    if settings:
        assert done.stderr.startswith("scifish: the settings /")
        assert done.stderr.endswith(f"{settings} cannot be read: No such file or directory\n")


def test_a_spool_of_another_account_is_not_shown_as_nothing(tmp_path: Path) -> None:
    closed = tmp_path / "spool"
    closed.mkdir(mode=0o700)
    tmp_path.chmod(0o777)
    # This process itself becomes the account: one that may read all files would see the spool.
    program = (
        "import os, sys; from scifish.cli import main\n"
        f"os.chdir({str(closed.parent)!r}); os.setgroups([]); os.setgid({UID}); os.setuid({UID})\n"
        "sys.exit(main(['--spool', 'spool', 'status']))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (2, "")
    assert "spool: cannot be read: Permission denied\n" in done.stdout


def test_what_another_account_has_left_is_said(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    folder.chmod(0o777)
    spool = Spool(folder / "killed.spool", message()["origin"])
    spool.put("t", message())
    for command in (["status"], ["flush", "--timeout", "0"]):
        assert "belongs to the account" not in run(SCIFISH, *command).stdout  # its program is running
    spool.close()
    for command in (["status"], ["flush", "--timeout", "0"]):
        done = run(SCIFISH, *command)
        assert done.returncode == 1
        assert "it belongs to the account root, whose program has exited; as this account, run: scifish" in done.stdout


GROUP = "54400"


def test_an_account_of_the_folders_group_adopts_what_another_one_has_left(tmp_path: Path, kafka: Kafka) -> None:
    tmp_path.chmod(0o777)
    folder = tmp_path / "spool"
    folder.mkdir()
    os.chown(folder, -1, int(GROUP))
    folder.chmod(0o2770)
    topic = Topic(kafka.bootstrap, f"scifish-accounts-{uuid4().hex[:8]}")
    settings = tmp_path / "scifish.yaml"

    def configure(brokers: str) -> None:
        settings.write_text(
            f"Beamline: lab\nTopic: {topic.name}\nKafkaBootstrapServers: {brokers}\nSpoolDirectory: {folder}\n"
        )

    def run(uid: int, *command: str) -> subprocess.CompletedProcess[str]:
        may_read = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
        account = ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--groups", GROUP, *may_read]
        environment = {"SCIFISH_CONFIG": str(settings), "XDG_STATE_HOME": str(tmp_path / str(uid))}
        return subprocess.run(
            [*account, *command],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            start_new_session=True,
        )

    configure("127.0.0.1:9")
    together_with_its_companion = PROGRAM.replace("os.kill(os.getpid(), 9)", "os.killpg(0, 9)")
    done = run(
        54322, sys.executable, "-c", together_with_its_companion.replace("fish.end_scan()", "fish.send_start()"), "077"
    )
    assert (done.returncode, done.stderr) == (-9, "")
    (spool,) = folder.glob("*.spool")
    assert spool.stat().st_uid == 54322
    configure(kafka.bootstrap)
    assert run(54323, SCIFISH, "flush").returncode == 0
    ended = topic.wait_for(lambda m: m["type"] == "ended")
    assert (ended["datasetName"], ended["status"]) == ("by nobody", "interrupted")
    assert not list(folder.glob("*.spool"))
    topic.close()
