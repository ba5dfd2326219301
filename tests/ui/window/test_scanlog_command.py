"""The command `scanlog` as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from deploy.demo.processes import Processes
from ingest.scicat import SciCat
from taurus_widgets import cli
from tests.builders.scicat_datasets import scan
from tests.servers.catalogue import Catalogue
from tests.servers.proxy import proxy
from tests.ui.accounts import INGESTOR
from tests.waiting import PATIENCE

SCANLOG = str(Path(sys.executable).with_name("scanlog"))


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SCIZOO_")}
    return subprocess.run(
        [SCANLOG, *arguments], env=clean | variables, capture_output=True, text=True, timeout=2 * PATIENCE, check=False
    )


def handles_signals(pid: int) -> bool:
    """Whether the process has a handler for SIGTERM: the window is about to open."""
    caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text("ascii"))
    return caught is not None and bool(int(caught.group(1), 16) >> (signal.SIGTERM - 1) & 1)


class TestTerminal:
    def test_the_table_is_printed(self, scicat: SciCat, account: dict[str, str], proposal: str) -> None:
        now = time.time()
        scicat.create_dataset(scan(1, now - 60, proposal=proposal, status="failed", dataQualityMetrics=2.5))
        scicat.create_dataset(scan(2, now - 30, proposal=proposal, comment="[bold]not markup[/bold] \x1b[31m"))
        done = run("--terminal", "--proposal", proposal, "--column", "Machine/Ring current", **account)
        assert (done.returncode, done.stderr) == (0, "")
        first, second = (line for line in done.stdout.splitlines() if "ascan mot01" in line)
        assert "✓ completed" in first
        assert "[bold]not markup[/bold] [31m" in first
        assert "✗ failed" in second
        assert "★★½" in second
        assert "Ring current (mA)" in done.stdout
        assert "\x1b" not in done.stdout

    def test_an_empty_catalogue_is_reported(self, account: dict[str, str]) -> None:
        done = run("--terminal", "--proposal", "nothing", **account)
        assert done.returncode == 0
        assert "No datasets of proposal nothing" in done.stdout

    def test_a_password_file_can_be_used(
        self, scicat: SciCat, catalogue: Catalogue, password_file: Path, proposal: str
    ) -> None:
        scicat.create_dataset(scan(1, time.time(), proposal=proposal))
        login = ("--url", catalogue.url, "--username", INGESTOR.username, "--password-file", str(password_file))
        login += ("--proposal", proposal)
        assert "ascan mot01" in run("--terminal", *login).stdout
        password_file.chmod(0o644)
        refused = run("--terminal", *login)
        assert refused.returncode == 2
        assert "can be read by others" in refused.stderr

    def test_a_missing_password_is_asked_for_without_echo(
        self, scicat: SciCat, catalogue: Catalogue, proposal: str
    ) -> None:
        scicat.create_dataset(scan(1, time.time(), proposal=proposal))
        mine, its = os.openpty()
        command = [SCANLOG, "--terminal", "--url", catalogue.url, "--username", INGESTOR.username]
        command += ["--proposal", proposal]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=its, stdout=pipe, stderr=its, text=True, start_new_session=True) as asked:
            os.close(its)
            seen = ""
            while "Password of" not in seen:
                seen += os.read(mine, 1000).decode()
            os.write(mine, f"{INGESTOR.password}\n".encode())
            assert asked.stdout is not None
            table = asked.stdout.read()
            seen += os.read(mine, 1000).decode()
        os.close(mine)
        assert asked.returncode == 0, seen
        assert f"Password of {INGESTOR.username} in SciCat" in seen
        assert INGESTOR.password not in seen
        assert "ascan mot01" in table


Here = Callable[..., Result]


class TestMistakes:
    @pytest.fixture
    def here(self, monkeypatch: pytest.MonkeyPatch) -> Here:
        """The command in this process: it ends before there is a window."""
        monkeypatch.setattr(cli, "LOGIN_CHECK_SECONDS", PATIENCE)
        for name in [name for name in os.environ if name.startswith("SCIZOO_")]:
            monkeypatch.delenv(name)

        def run_here(*arguments: str, **variables: str) -> Result:
            done = CliRunner().invoke(cli.scanlog_cmd, arguments, env=variables)
            assert isinstance(done.exception, SystemExit), done.exception
            return done

        return run_here

    def test_no_address(self, here: Here) -> None:
        done = here("--terminal")
        assert done.exit_code == 2
        assert "--url" in done.output
        assert "SCIZOO_SCICAT_URL" in done.output

    def test_an_address_without_http(self, here: Here) -> None:
        assert "https://scicat.example.org" in here("--url", "scicat.example.org").output

    def test_an_address_of_elogy_without_http(self, here: Here) -> None:
        done = here("--url", "http://127.0.0.1:9", "--elogy-url", "elogy.example.org")
        assert done.exit_code == 2
        assert "https://elogy.example.org" in done.output

    def test_no_password(self, here: Here, catalogue: Catalogue) -> None:
        done = here("--terminal", "--url", catalogue.url, "--username", "ada")
        assert done.exit_code == 2
        assert "SCIZOO_SCICAT_PASSWORD" in done.output

    @pytest.mark.parametrize("terminal", [[], ["--terminal"]])
    def test_a_wrong_password(self, here: Here, account: dict[str, str], terminal: list[str]) -> None:
        done = here(*terminal, **account | {"SCIZOO_SCICAT_PASSWORD": "wrong"})
        assert done.exit_code == 1
        assert "name or password is wrong" in done.output

    def test_a_wrong_column(self, here: Here, account: dict[str, str]) -> None:
        done = here("--column", "Machine//x", **account)
        assert done.exit_code == 2
        assert "GROUP/NAME" in done.output

    def test_an_unavailable_server_gives_no_table(self) -> None:
        done = run("--terminal", "--url", "http://127.0.0.1:9")
        assert done.returncode == 1
        assert "does not answer (connection refused)" in done.stderr
        assert "Traceback" not in done.stderr


class HangingUp(socketserver.ThreadingTCPServer):
    """A server that hangs up at once; `calls` is how often it was called."""

    daemon_threads = True
    calls = 0

    def process_request(self, request: object, client_address: object) -> None:
        self.calls += 1
        self.shutdown_request(request)  # type: ignore[arg-type]


@pytest.fixture
def hanging_up() -> Iterator[HangingUp]:
    with HangingUp(("127.0.0.1", 0), socketserver.BaseRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class TestWindow:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_it_cleanly(self, tmp_path: Path, account: dict[str, str], number: signal.Signals) -> None:
        with Processes(tmp_path / "logs") as processes:
            window = processes.start("scanlog", [SCANLOG], {**os.environ, **account})
            window.wait_for(lambda: handles_signals(window.pid))
            os.kill(window.pid, number)
            assert window.wait(PATIENCE) == 0
            assert "Traceback" not in window.text

    def test_it_starts_without_server_and_password(self, tmp_path: Path, hanging_up: HangingUp) -> None:
        with Processes(tmp_path / "logs") as processes:
            url = f"http://127.0.0.1:{hanging_up.server_address[1]}"
            window = processes.start("scanlog", [SCANLOG, "--url", url, "--username", "ada", "--beamline", "cosaxs"])
            window.wait_for(lambda: hanging_up.calls > 4)  # it runs, and retries
            window.terminate()
            assert window.wait(PATIENCE) == 0

    def test_it_starts_and_exits_without_door_and_pathfixer(self, tmp_path: Path, account: dict[str, str]) -> None:
        nobody = "tango://127.0.0.1:9/door/demo/1"
        with Processes(tmp_path / "logs") as processes:
            command = [SCANLOG, "--door", nobody, "--pathfixer", nobody.replace("door", "pathfixer")]
            with proxy(account["SCIZOO_SCICAT_URL"]) as between:
                there = account | {"SCIZOO_SCICAT_URL": between.url}
                window = processes.start("scanlog", command, {**os.environ, **there})
                window.wait_for(lambda: between.calls > 10)  # it runs, and has checked several times
                window.terminate()
                assert window.wait(PATIENCE) == 0
            assert "Traceback" not in window.text

    @pytest.mark.parametrize("parent", ["taurus", pytest.param("sardanactl", marks=pytest.mark.long)])
    def test_it_is_a_command_of_taurus_and_sardana(self, parent: str) -> None:
        command = str(Path(sys.executable).with_name(parent))
        done = subprocess.run(
            [command, "scanlog", "--help"], capture_output=True, text=True, timeout=2 * PATIENCE, check=False
        )
        assert done.returncode == 0
        assert "--proposal" in done.stdout
        assert "SCIZOO_DOOR" in done.stdout
