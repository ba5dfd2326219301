"""The origin of messages: host, program, version and run."""

from __future__ import annotations

import os
import re
import socket
import sys
import time
from pathlib import Path

from scifish import __version__
from scifish.message import Origin


def origin(program: str = "") -> Origin:
    """The `origin` of all messages of this process. `program` is found out where it is not given."""
    # Linux takes any bytes for a name; this one is part of a file's name and of messages.
    host = re.sub(r"[^A-Za-z0-9._-]", "_", socket.gethostname()).lstrip(".") or "unknown"
    started = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    unique = os.urandom(3).hex()
    return {
        "host": host,
        "program": program or program_name(),
        "version": __version__,
        "run": f"{host}-{started}-{os.getpid()}-{unique}",
    }


def program_name() -> str:
    """The command's name, with its first argument where it has one: `Sardana demo`."""
    name = Path(sys.argv[0]).name if sys.argv else ""
    first = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    return f"{name} {first}".strip() or "python"
