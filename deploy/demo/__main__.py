"""`make demo`: a beamline on this machine, from a scan at the Door to a row in the scan log."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tango
from rich.console import Console
from rich.markup import escape

from deploy.demo.door import Door, MacroFailed
from deploy.demo.processes import STEP_TIMEOUT_SECONDS, Process, ProcessError, Processes
from deploy.demo.session import Session
from deploy.demo.stack import BEAMLINE, DOOR, MACROSERVER, OFFICE, PATHFIXER, SCIFLY, Account, Stack, own_group
from deploy.demo.summary import DemoComparison, Expected, expected_scans, wrong_owners
from ingest.scicat import SciCatError
from scifish.message.identity import files_uuid
from sdm.office import YamlOffice
from taurus_widgets.scanlog.data import columns
from taurus_widgets.scanlog.terminal import make_console, read_and_print

ANALYSERS = {"ses": ("Scienta SES", "fibre_0001"), "prodigy": ("SPECS Prodigy", "fibre_survey")}
"""Programs of other makers, by what `deploy.demo.analysers` calls them, and the measurement that each makes."""

_STYLES = {"warning": "yellow", "error": "red", "critical": "red"}

console = Console(highlight=False)


class Demo:
    """The run of the demo, from the first server to the summary."""

    def __init__(self, folder: Path, stack: Stack) -> None:
        self.folder = folder
        self.stack = stack
        self.notes = folder / "state" / "rows.jsonl"
        self.picture = folder / "scanlog.png"
        self.catalogue = Account("", "", "")
        self.start = time.time()
        self.scans: list[Expected] = []
        self.analysers: list[Process] = []

    def start_servers(self) -> None:
        stack = self.stack
        with _step("Tango database"):
            stack.start_database()
        with _step("simulated beamline: 8 devices, one of them dead"):
            stack.start_beamline()
        brokers = os.environ.get("SCIZOO_KAFKA", "")
        if brokers:
            console.print(f"  Kafka: {escape(brokers)} of SCIZOO_KAFKA")
            stack.use_own_topic()
        else:
            with _step("Kafka: librdkafka's mock cluster"):
                brokers = stack.start_mock_kafka()
        url = os.environ.get("SCIZOO_SCICAT_URL", "")
        if url:
            console.print(f"  catalogue: {escape(url)} of SCIZOO_SCICAT_URL")
            user, password = os.environ.get("SCIZOO_SCICAT_USERNAME", ""), os.environ.get("SCIZOO_SCICAT_PASSWORD", "")
            self.catalogue = Account(url, user, password)
            self.catalogue.client().login()
        else:
            with _step("catalogue: the embedded one"):
                self.catalogue = stack.start_catalogue()
        with _step("SciCow"):
            stack.start_scicow(brokers, self.catalogue)
        with _step("PathFixer, SciDog and SciFly"):
            stack.start_pathfixer([f"{{device: {MACROSERVER}, environment: ScanDir}}"])
            stack.start_scidog(brokers)
            stack.start_scifly()
        with _step("Sardana: Pool, MacroServer, Door"):
            stack.start_sardana()
        with _step("scan log"):
            self._start_scanlog()

    def _start_scanlog(self) -> None:
        arguments = [sys.executable, "-m", "deploy.demo.watch", str(self.notes), str(self.picture)]
        self.notes.touch()
        self.watch = self.stack.processes.start("scanlog", arguments, self._catalogue_env())
        self.watch.wait_for("watching")

    def _catalogue_env(self) -> dict[str, str]:
        return {
            **self.stack.env,
            "QT_QPA_PLATFORM": "offscreen",
            "SCIZOO_SCICAT_URL": self.catalogue.url,
            "SCIZOO_SCICAT_USERNAME": self.catalogue.username,
            "SCIZOO_SCICAT_PASSWORD": self.catalogue.password,
        }

    def measure(self) -> list[Expected]:
        """Run the session. Returns the datasets that must be in the catalogue afterwards."""
        door = Door(self.stack.name(DOOR))
        session = Session(door, lambda line: console.print(f"\n[bold cyan]Door> {escape(line)}"), self._analyse)
        try:
            with _step("sar_demo and the beamline's settings"):
                session.prepare(self.stack.folder / "data")
            door.say = _print_output
            session.perform()
            environment = session.environment(self._proxy(MACROSERVER))
        finally:
            door.close()
        (snapshot,) = environment["SciFishLastSnapshot"].values()  # by Door
        self.scans = expected_scans(environment["ScanHistory"], self.stack.name(MACROSERVER))
        last = Expected(snapshot["uuid"], snapshot["name"], "completed", snapshot["time"], "snapshot")
        return [*self.scans, last, *self._analysed()]

    def _proxy(self, device: str) -> tango.DeviceProxy:
        proxy = tango.DeviceProxy(self.stack.name(device))
        proxy.set_timeout_millis(int(STEP_TIMEOUT_SECONDS * 1000))  # on a busy machine a device may answer late
        return proxy

    def _analyse(self) -> None:
        """Start the programs of two electron analysers, which write into the sample's folder."""
        folder = self._proxy(PATHFIXER).SamplePath
        for program, (maker, name) in ANALYSERS.items():
            console.print(f"\n[bold cyan]{maker} writes {folder}/{name}", soft_wrap=True)
            command = [sys.executable, "-m", "deploy.demo.analysers", program, folder, name]
            self.analysers.append(self.stack.processes.start(program, command, self.stack.env))

    def _analysed(self) -> list[Expected]:
        """The datasets that SciFly must have recorded from their files."""
        files = []
        for analyser in self.analysers:
            if analyser.wait(STEP_TIMEOUT_SECONDS) != 0:
                raise ProcessError(f"{analyser.name} failed; its log is {analyser.log}")
            files.append(Path(analyser.text.strip()))
        # All files of a measurement have names with the same beginning.
        uuids = [files_uuid(BEAMLINE, str(file.with_suffix("")), 0) for file in files]
        return [
            Expected(uuid, file.stem, "completed", file.stat().st_mtime, "file")
            for uuid, file in zip(uuids, files, strict=True)
        ]

    def compare(self, expected: list[Expected]) -> DemoComparison:
        """Wait until all datasets are in the catalogue and in the scan log, or the time is over."""
        deadline = time.monotonic() + STEP_TIMEOUT_SECONDS
        scicat = self.catalogue.client()
        while True:
            found = DemoComparison(scicat, expected, f"/{BEAMLINE}", self.start)
            if (found.complete and found.all_shown(self.notes)) or time.monotonic() > deadline:
                return found
            time.sleep(0.5)

    def finish(self, found: DemoComparison) -> int:
        self.watch.terminate()
        if self.watch.wait(STEP_TIMEOUT_SECONDS) != 0:
            raise ProcessError(f"the scan log failed; its log is {self.watch.log}")
        pathfixer, scifly = self._proxy(PATHFIXER), self._proxy(SCIFLY)
        good = [tango.DevState.ON, tango.DevState.STANDBY]
        fixed = good if own_group() else [*good, tango.DevState.ALARM]
        # PathFixer writes again what a busy MacroServer did not accept at once.
        deadline = time.monotonic() + STEP_TIMEOUT_SECONDS
        while not (well := pathfixer.state() in fixed and scifly.state() == tango.DevState.ON):
            if time.monotonic() > deadline:
                break
            time.sleep(0.5)
        summary = {
            **found.summary(self.notes),
            "pathfixer": pathfixer.status().splitlines(),
            "scifly": scifly.status().splitlines(),
        }
        summary["wrong_owners"] = wrong_owners(found.found, self.catalogue.client(), YamlOffice(OFFICE))
        (self.folder / "summary.json").write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", "utf-8")
        console.rule("The scan log")
        read_and_print(
            self.catalogue.client(), columns.default_columns(), newest=summary["datasets"], console=make_console()
        )
        for scan in found.lost:
            console.print(f"[red]lost: {escape(scan.title)} ({scan.status}), {scan.uuid}")
        for line in summary["wrong_owners"]:
            console.print(f"[red]{escape(line)}")
        delay = summary["seconds_scan_end_to_row"]
        console.print(
            f"{summary['scans']} scans, 1 snapshot and {summary['files']} files of other programs, "
            f"{summary['datasets']} datasets: "
            f"{summary['lost']} lost, {summary['duplicates']} double, {summary['running']} running. "
            f"From a scan's end to its row: {delay['median']} s (median), {delay['max']} s (longest)."
        )
        console.print(f"PathFixer: {escape(pathfixer.status())}", style="" if well else "red", soft_wrap=True)
        console.print(f"SciFly: {escape(scifly.status())}", style="" if well else "red", soft_wrap=True)
        console.print(f"{self.picture} and {self.folder / 'summary.json'} are written.")
        wrong = any(summary[name] for name in ("lost", "duplicates", "running", "wrong_owners"))
        return 0 if well and not wrong else 1

    def keep(self) -> None:
        """Print how to connect, and wait for Ctrl-C."""
        binary = Path(sys.executable).parent
        console.rule("It keeps running; Ctrl-C stops everything")
        secret = self.stack.write_secret("password", self.catalogue.password)
        for what, how in {
            "Tango": f"export TANGO_HOST={self.stack.tango_host}",
            "spock": f"{binary}/pip install itango; IPYTHONDIR={self.stack.folder / 'ipython'} "
            f"{binary}/spock --profile=scizoo   (answer yes; the door is {DOOR})",
            "a macro": f"cd {Path.cwd()}; {binary}/python -m deploy.demo.door {DOOR} ascan mot01 0 1 5 0.1",
            "scan log": f"{binary}/scanlog --url {self.catalogue.url} --username {self.catalogue.username} "
            f"--password-file {secret}",
            "doctor": f"SCIZOO_SCICAT_PASSWORD=$(cat {secret}) {binary}/scizoo doctor "
            f"--scicow {self.stack.folder / 'scicow.yaml'}   (one device is dead, and one attribute always fails)",
            "catalogue": f"{self.catalogue.url}   (as {self.catalogue.username}, with the password in {secret}; "
            f"other users see only public data: nothing yet)",
            "logs": str(self.stack.processes.logs),
        }.items():
            console.print(f"[bold]{what:>10}[/]  {escape(how)}", soft_wrap=True)
        reported: set[str] = set()
        while True:
            time.sleep(0.5)
            for process in self.stack.processes.running:
                if not process.running and process is not self.watch and process.name not in reported:
                    reported.add(process.name)
                    console.print(f"[red]{process.name} has ended; its log is {escape(str(process.log))}")


@contextmanager
def _step(what: str) -> Iterator[None]:
    start = time.monotonic()
    console.print(f"  {escape(what)} ...", end="")
    yield
    console.print(f" [green]ready[/] [dim]({time.monotonic() - start:.1f} s)")


def _print_output(level: str, line: str) -> None:
    console.print(f"  {escape(line)}", style=_STYLES.get(level, "dim" if level == "info" else ""), soft_wrap=True)


def _terminate(*_: object) -> None:
    console.print("\nStopped.")
    sys.exit(143)


def _run(folder: Path, keep: bool) -> int:
    state = folder / "state"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True)
    processes = Processes(state / "log")
    try:
        demo = Demo(folder, Stack(state, processes))
        console.rule("Starting")
        demo.start_servers()
        console.rule("At the Door")
        found = demo.compare(demo.measure())
        result = demo.finish(found)
        if keep:
            demo.keep()
        return result
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):  # a second Ctrl-C must not leave a server behind
            signal.signal(number, signal.SIG_IGN)
        processes.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave it running until Ctrl-C (make demo KEEP=1)")
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="for its state and results (default: demo)")
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    # Also if a shell has started this in the background, which makes it ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminate)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print(f"[red]Another demo is running in {folder}. Stop it first, or use --folder.")
            return 2
        try:
            return _run(folder, options.keep)
        except KeyboardInterrupt:
            console.print("\nStopped.")
            return 130
        except (ProcessError, MacroFailed, TimeoutError, SciCatError, tango.DevFailed) as error:
            console.print(f"[red]{escape(_text(error))}", soft_wrap=True)
            return 1


def _text(error: Exception) -> str:
    described: Any = error.args[0] if error.args else ""
    return str(getattr(described, "desc", None) or error)


if __name__ == "__main__":
    sys.exit(main())
