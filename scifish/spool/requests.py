"""Asks the companion that has a spool to send again what Kafka refuses: an empty file beside the spool."""

from __future__ import annotations

import os
from pathlib import Path

from scifish.spool.disk import open_file

REQUEST_SUFFIX = ".resend"


def request_resend(spool: Path) -> None:
    """Ask for it. OSError if the file cannot be written."""
    os.close(open_file(spool.with_suffix(REQUEST_SUFFIX), os.O_WRONLY))


def resend_requested(spool: Path) -> bool:
    """Whether the request has not been taken yet."""
    return spool.with_suffix(REQUEST_SUFFIX).exists()


def take_resend_request(spool: Path) -> bool:
    """Whether there is one; it is deleted."""
    try:
        spool.with_suffix(REQUEST_SUFFIX).unlink()
    except OSError:
        return False
    return True
