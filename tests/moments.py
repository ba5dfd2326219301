"""What another thread could see of a program between any two of its lines."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any


@contextmanager
def at_each_line(modules: list[ModuleType], look: Callable[[], object], steps: bool = False) -> Iterator[list[object]]:
    """Calls `look` before each line of these modules: of the calls of this thread, and of all threads begun meanwhile.

    With `steps` also before each of Python's own steps within a line.

    What it returns is kept in the list, unless it is what the last one was; what it raises is raised at the end.
    It is called in the thread whose line it is, so it must not wait for a lock that this may hold.
    """
    files = {module.__file__ for module in modules}
    seen: list[object] = []
    raised: list[BaseException] = []
    over = threading.Event()
    looking = threading.local()

    def on_call(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename not in files or over.is_set():
            return None
        frame.f_trace_opcodes = steps
        return on_line

    def on_line(frame: FrameType, event: str, argument: Any) -> Any:
        if event not in ("line", "opcode") or over.is_set() or getattr(looking, "now", False):
            return on_line
        looking.now = True
        try:
            found = look()
            if not seen or seen[-1] != found:
                seen.append(found)
        except BaseException as error:  # noqa: BLE001 it is the test's, and not the program's
            raised.append(error)
        finally:
            looking.now = False
        return on_line

    before, threads_before = sys.gettrace(), threading.gettrace()
    threading.settrace(on_call)
    sys.settrace(on_call)
    try:
        yield seen
    finally:
        sys.settrace(before)
        threading.settrace(threads_before)  # type: ignore[arg-type]
        over.set()
    if raised:
        raise raised[0]
