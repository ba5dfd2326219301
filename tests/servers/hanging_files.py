"""A file system that hangs, as an NFS whose server is away: a mount of FUSE, served by this process.

Every name in it is a regular file with the same content. While it hangs, whoever looks for a name or reads waits in the
kernel, and no signal ends that.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CONTENT = b"x" * 100_000

# linux/fuse.h, version 7.31
_IN = struct.Struct("<IIQQIIIHH")
_OUT = struct.Struct("<IiQ")
_ATTRIBUTES = struct.Struct("<QQQQQQIIIIIIIIII")
_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _RELEASE, _FLUSH, _INIT, _INTERRUPT, _DESTROY = (
    *(1, 2, 3, 14, 15, 18, 25, 26, 36, 38),
)
_BATCH_FORGET = 42
_SILENT = (_FORGET, _BATCH_FORGET, _INTERRUPT)
"""What gets no answer."""

_ROOT, _FILE = 1, 2
_MNT_DETACH = 2
_REQUEST_BYTES = 200_000


def why_no_fuse() -> str:
    """Why none can be mounted here, "" if it can."""
    if os.geteuid():
        return "only root may mount a file system"
    return "" if os.path.exists("/dev/fuse") else "there is no /dev/fuse"


class HangingFiles:
    """What is mounted. `hang` and `release` may be called at any time."""

    def __init__(self, device: int) -> None:
        self._device = device
        self._lock = threading.Lock()
        self._hangs = False
        self._held: list[bytes] = []
        self.hung = 0
        """How many requests have waited."""

    def hang(self) -> None:
        with self._lock:
            self._hangs = True

    def release(self) -> None:
        """Answer what waits, and what comes."""
        with self._lock:
            self._hangs = False
            held, self._held = self._held, []
        for request in held:
            self._answer(request)

    def serve(self) -> None:
        """Until it is unmounted."""
        while True:
            try:
                request = os.read(self._device, _REQUEST_BYTES)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.ENOENT):  # a request that was given up
                    continue
                return
            with self._lock:
                hold = self._hangs and _IN.unpack_from(request)[1] in (_LOOKUP, _GETATTR, _OPEN, _READ)
                if hold:
                    self.hung += 1
                    self._held.append(request)
            if not hold:
                self._answer(request)

    def _answer(self, request: bytes) -> None:
        _, kind, unique, node, *_ = _IN.unpack_from(request)
        if kind in _SILENT:
            return
        body = self._body(kind, node, request[_IN.size :])
        code, data = (-errno.ENOSYS, b"") if body is None else (0, body)
        os.write(self._device, _OUT.pack(_OUT.size + len(data), code, unique) + data)

    @staticmethod
    def _body(kind: int, node: int, given: bytes) -> bytes | None:
        if kind == _INIT:
            major, minor = 7, 31
            return struct.pack("<IIIIHHIIHH32x", major, minor, 0, 0, 16, 12, 131_072, 1, 0, 0)
        if kind == _LOOKUP:
            return struct.pack("<QQQQII", _FILE, 0, 0, 0, 0, 0) + _attributes(_FILE)
        if kind == _GETATTR:
            return struct.pack("<QII", 0, 0, 0) + _attributes(node)
        if kind == _OPEN:
            return struct.pack("<QII", 0, 0, 0)
        if kind == _READ:
            _, offset, size = struct.unpack_from("<QQI", given)
            return CONTENT[offset : offset + size]
        return b"" if kind in (_RELEASE, _FLUSH, _DESTROY) else None


def _attributes(node: int) -> bytes:
    mode, size = (stat.S_IFDIR | 0o755, 0) if node == _ROOT else (stat.S_IFREG | 0o644, len(CONTENT))
    return _ATTRIBUTES.pack(node, size, 1, 0, 0, 0, 0, 0, 0, mode, 1, os.getuid(), os.getgid(), 0, 4096, 0)


@contextmanager
def hanging_files(folder: Path) -> Iterator[HangingFiles]:
    """Mounted at `folder`, which does not hang yet."""
    libc = ctypes.CDLL(None, use_errno=True)
    folder.mkdir()
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    try:
        options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
        if libc.mount(b"hanging", os.fsencode(folder), b"fuse", 0, options.encode()):
            raise OSError(ctypes.get_errno(), f"{folder} cannot be mounted: {os.strerror(ctypes.get_errno())}")
        found = HangingFiles(device)
        thread = threading.Thread(target=found.serve, daemon=True)
        thread.start()
        try:
            yield found
        finally:
            found.release()
            libc.umount2(os.fsencode(folder), _MNT_DETACH)
            thread.join()
    finally:
        os.close(device)
