"""The Tango database that facilities have, for the tests: the C++ one on MariaDB, from Debian's packages.

They are unpacked below build/: nothing is installed, and no rights are needed. MariaDB has no network,
and its socket is in a folder that only this user can enter.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import tango

from deploy.demo.processes import Processes
from deploy.demo.stack import Stack
from tests.servers.kafka import ROOT, free_ports

# With dbconfig-no-thanks, tango-db does not want MariaDB's clients and what installs a server.
PACKAGES = ("tango-db", "mariadb-server-core", "dbconfig-no-thanks")

# As Debian's mariadb-server sets it. Without InnoDB, which none of Tango's tables uses, it starts at once.
MARIADB = (
    *("--no-defaults", "--innodb=OFF", "--default-storage-engine=MyISAM"),
    *("--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci"),
)


class DownloadError(RuntimeError):
    """Debian's packages cannot be had; the text says why."""


class CppStack(Stack):
    """A stack whose database is the C++ one."""

    def __init__(self, folder: Path, processes: Processes, programs: Path) -> None:
        super().__init__(folder, processes)
        self._programs = programs

    def start_database(self) -> None:
        env = {**self.env, "LD_LIBRARY_PATH": ":".join(map(str, self._programs.glob("usr/lib/*-linux-gnu")))}
        socket = self._start_mariadb(env)
        (port,) = free_ports(1)
        self.tango_host = f"127.0.0.1:{port}"
        self.env["TANGO_HOST"] = os.environ["TANGO_HOST"] = self.tango_host
        server = self.processes.start(
            "tango-database",
            [str(self._programs / "usr/lib/tango/DataBaseds"), "2", "-ORBendPoint", f"giop:tcp:127.0.0.1:{port}"],
            {**env, "MYSQL_HOST": "localhost", "MYSQL_UNIX_PORT": str(socket), "MYSQL_USER": "tango"},
        )
        server.wait_for(self._answers)

    def _start_mariadb(self, env: Mapping[str, str]) -> Path:
        """Its socket. Everybody who can enter its folder, which is only this user, may do all."""
        data = self.folder / "mariadb"
        data.mkdir(mode=0o700)
        (data / "mysql").mkdir()
        (data / "tango").mkdir()
        share = self._programs / "usr/share/mysql"
        argv = [
            *(str(self._programs / "usr/sbin/mariadbd"), *MARIADB, f"--datadir={data}", f"--tmpdir={data}"),
            *(f"--lc-messages-dir={share}", f"--character-sets-dir={share / 'charsets'}"),
            *(["--user=root"] if os.getuid() == 0 else []),  # it refuses root if root does not say so
        ]
        done = subprocess.run(
            [*argv, "--bootstrap"], input=_tables(self._programs), env=env, capture_output=True, text=True, timeout=120
        )
        if done.returncode:
            raise RuntimeError(f"MariaDB does not take Tango's tables: {done.stdout}{done.stderr}")
        socket = data / "socket"
        rights = ("--skip-grant-tables", "--skip-networking", f"--socket={socket}", f"--pid-file={data / 'pid'}")
        self.processes.start("mariadb", [*argv, *rights], env).wait_for("ready for connections")
        return socket

    def _answers(self) -> bool:
        try:
            self.db.get_info()
        except tango.DevFailed:
            return False
        return True


def _tables(programs: Path) -> str:
    """The SQL that mariadb-install-db and tango-db run when they are installed."""
    share = programs / "usr/share"
    system = (share / "mysql/mysql_system_tables.sql").read_text("utf-8")
    given = (share / "dbconfig-common/data/tango-db/install/mysql").read_text("utf-8")
    # `source` is a command of a client, not of the server.
    tango_tables = re.sub(r"(?m)^source (/\S+?);?$", lambda found: (programs / found[1][1:]).read_text("utf-8"), given)
    return f"USE mysql;\n{system}\nUSE tango;\n{tango_tables}\n"


@cache
def why_not() -> str:
    """Why there is no C++ database here, "" if there is one."""
    try:
        cpp_programs()
    except DownloadError as error:
        return str(error)
    return ""


def versions() -> str:
    """What is in use, as Debian names its packages."""
    packages = (cpp_programs() / "packages").read_text("utf-8").split()
    found = {name: version for name, version, _ in (package.split("_") for package in packages)}
    tango_db, mariadb = (found[name].rpartition("%3a")[2] for name in PACKAGES[:2])
    return f"DataBaseds {tango_db} on MariaDB {mariadb}"


def cpp_programs() -> Path:
    """The folder of the unpacked packages, from Debian the first time. DownloadError: they cannot be had."""
    programs = ROOT / "build" / "cppdb"
    programs.parent.mkdir(exist_ok=True)
    with (programs.parent / ".cppdb.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test runs at once
        if not programs.is_dir():
            with tempfile.TemporaryDirectory(dir=programs.parent) as folder:
                _download(Path(folder))
                (Path(folder) / "programs").rename(programs)  # whole, or not there
    return programs


def _download(folder: Path) -> None:
    """With lists of packages of its own: those of the machine may be old, and are root's."""
    if not shutil.which("apt-get"):
        raise DownloadError("tango-db and MariaDB are had from Debian's packages, and there is no apt-get here")
    for name in ("lists", "cache", "programs"):
        (folder / name).mkdir()
    apt = [
        *("apt-get", "-q", "-o", f"Dir::State::Lists={folder / 'lists'}", "-o", f"Dir::Cache={folder / 'cache'}"),
        *("-o", "Debug::NoLocking=true", "-o", "APT::Sandbox::User=root", "-o", "Acquire::http::Timeout=20"),
    ]
    _run([*apt, "update"], folder)
    # What the machine has already is not wanted again, except the programs themselves.
    simulated = _run([*apt, "install", "--simulate", "--reinstall", "--no-install-recommends", *PACKAGES], folder)
    _run([*apt, "download", *re.findall(r"(?m)^Inst (\S+)", simulated)], folder)
    packages = sorted(folder.glob("*.deb"))
    for package in packages:
        _run(["dpkg-deb", "--extract", str(package), str(folder / "programs")], folder)
    (folder / "programs/packages").write_text("\n".join(package.stem for package in packages))


def _run(argv: list[str], folder: Path) -> str:
    try:
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired as error:
        raise DownloadError(f"tango-db and MariaDB cannot be had: {' '.join(argv[:1])} takes too long") from error
    if done.returncode:
        raise DownloadError(f"tango-db and MariaDB cannot be had: {done.stdout[-1000:]}{done.stderr[-1000:]}")
    return done.stdout
