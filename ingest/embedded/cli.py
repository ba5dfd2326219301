"""`scicat-embedded`: the command that runs the catalogue."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Literal

try:
    import fastapi  # noqa: F401 - asked for here, so that what is missing is said and not traced
    import pint  # noqa: F401
    import uvicorn
except ImportError as missing:
    sys.exit(f"scicat-embedded: {missing}; run in a clone of SciZoo: pip install '.[embedded]'")

from starlette.types import ASGIApp

from ingest.embedded.access import COLLECTIONS, CatalogueContext
from ingest.embedded.accounts import AccountsError, load_accounts
from ingest.embedded.app import make_app
from ingest.embedded.store import Store, StoreError
from ingest.embedded.tokens import TokenSigner

_DESCRIPTION = """\
SciCat's REST API (the part that SciCow and the scan log use) over one SQLite file, for beamlines
that have no SciCat yet, for demos and for tests.
"""
_EPILOG = """\
The accounts file is a YAML list, readable by its owner only:

  - {username: ingestor, password: "...", email: ingestor@example.org, groups: [], admin: true}
  - {username: jane, password: "...", email: jane@example.org, groups: [20250001-group]}

An admin can do everything; other users see and change the data of their groups.

The URL is printed when requests are accepted. Stop with SIGTERM or Ctrl-C.
Exit status: 0 stopped, 1 could not start, 2 wrong usage.
"""


def main() -> int:
    """The exit status."""
    return run(make_parser().parse_args())


def run(
    arguments: argparse.Namespace,
    application: Callable[[CatalogueContext], ASGIApp] = make_app,
    http: type[asyncio.Protocol] | Literal["auto"] = "auto",
) -> int:
    """Serve until a signal, as the arguments of `make_parser` say: the exit status. `http` is uvicorn's."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # uvicorn stops by itself on these signals and then raises them again, for the handlers below.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    with ExitStack() as opened:
        try:
            _warn_of_readers(arguments.accounts)
            accounts = load_accounts(arguments.accounts)
            listener = opened.enter_context(_listen(arguments.host, arguments.port))
            store = opened.enter_context(closing(Store(arguments.database, COLLECTIONS)))
        except (AccountsError, StoreError, OSError) as error:
            print(f"scicat-embedded: {error}", file=sys.stderr)
            return 1
        tokens = TokenSigner(store.secret("tokens"), arguments.token_hours * 3600)
        app = application(CatalogueContext(store, accounts, tokens))
        config = uvicorn.Config(
            app,
            http=http,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_keep_alive=5,  # seconds, as the real server
            timeout_graceful_shutdown=5,
        )
        _Server(config, _url(listener)).run(sockets=[listener])
    return 0


class _Server(uvicorn.Server):
    """Says its URL once it accepts requests."""

    def __init__(self, config: uvicorn.Config, url: str) -> None:
        super().__init__(config)
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(f"scicat-embedded: {self._url}", flush=True)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "scicat-embedded",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=_port, default=3000, help="TCP port, 0 for a free one (%(default)s)")
    parser.add_argument("--database", type=Path, required=True, metavar="FILE", help="created if it does not exist")
    parser.add_argument("--accounts", type=Path, required=True, metavar="FILE", help="YAML, see below")
    parser.add_argument(
        "--token-hours", type=_hours, default=1.0, metavar="H", help="how long a login lasts (%(default)s)"
    )
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 to 65535")
    return int(text)


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if not 0 < hours < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of hours above 0")
    return hours


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named: asyncio sets TCP_NODELAY only then, and without that every request
    # on a connection that is kept open takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        reason = error.strerror or error
        raise OSError(
            f"cannot listen on {host} port {port} ({reason}); stop what uses it, or choose another with --port"
        ) from error
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _warn_of_readers(path: Path) -> None:
    """The file holds passwords: say it if others than its owner can read it."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # load_accounts says what is wrong with it
    if mode & 0o077:
        logging.getLogger(__name__).warning(
            "%s can be read by others (mode %o); but contains passwords: run chmod 600 on it", path, mode & 0o777
        )


if __name__ == "__main__":
    sys.exit(main())
