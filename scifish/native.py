"""Threads, queues and processes of the operating system, also in a program that gevent has patched.

gevent replaces parts of the standard library by ones that work within its loop only. With `patch_all(thread=False)`, as
in MXCuBE, a thread of ours that waits in a patched queue, or starts a process, fails; with `patch_all()` our threads
would be greenlets, and one call of Tango or of the disk that hangs would stop the whole program. So all of `scifish`
takes `threading`, `subprocess`, `SimpleQueue` and `Future` from here: copies that no patch reaches, before or after
this module is loaded. A wait on them stops the program's greenlets; all waits of a measurement are short.
"""

from __future__ import annotations

import builtins
import concurrent.futures
import importlib.util
import logging
import os
import sys
import threading as _threading
from _queue import Empty, SimpleQueue
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from types import ModuleType
from typing import TYPE_CHECKING, Any

log = logging.getLogger(__name__)

__all__ = ["Empty", "Future", "SimpleQueue", "run_restarting", "subprocess", "threading"]

RESTART_SECONDS = 1.0
"""Delay before the work of a thread that failed is started again."""


def _original(name: str) -> ModuleType:
    """A module with the functions that it had before gevent replaced some of them."""
    module = importlib.import_module(name)
    # gevent documents `get_original`, but not how to list what was patched: so every name is asked for.
    monkey = sys.modules.get("gevent.monkey")
    original = ModuleType(name)
    vars(original).update(
        {one: value if monkey is None else monkey.get_original(name, one) for one, value in vars(module).items()}
    )
    return original


def _copy(name: str, **instead: ModuleType) -> ModuleType:
    """A second, private copy of a module of the standard library; where it imports the names `instead`, it gets these.

    Patches replace names in the modules themselves: the functions and classes of a copy do not see them.
    """
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert isinstance(spec.loader, SourceFileLoader)
    code = spec.loader.get_code(name)
    assert code is not None

    def import_instead(wanted: str, *more: Any, **named: Any) -> Any:
        return instead.get(wanted) or builtins.__import__(wanted, *more, **named)

    copy = ModuleType(name)
    vars(copy)["__builtins__"] = {**vars(builtins), "__import__": import_instead}
    exec(code, vars(copy))  # noqa: S102 - the standard library's own code
    return copy


def _copy_of_threading() -> ModuleType:
    # Without `os.register_at_fork`: the program's own module looks after all threads of the list that they share.
    copy = _copy("threading", _thread=_original("_thread"), os=ModuleType("os"))
    # The program lists our threads among its own, and a log record has the name of the right thread.
    vars(copy).update(_active=vars(_threading)["_active"], _limbo=vars(_threading)["_limbo"])
    os.register_at_fork(after_in_child=lambda: vars(copy).update(_active_limbo_lock=copy.RLock()))
    # What the program has set for uncaught exceptions holds for our threads too.
    vars(copy)["excepthook"] = lambda args: _threading.excepthook(args)
    return copy


if TYPE_CHECKING:
    import subprocess
    import threading
    from concurrent.futures import Future
else:
    threading = _copy_of_threading()
    subprocess = _copy("subprocess", threading=threading, time=_original("time"))

    class Future(concurrent.futures.Future):
        def __init__(self):
            super().__init__()
            self._condition = threading.Condition()


def run_restarting(work: Callable[[], object], on_failure: Callable[[str], object] | None = None) -> None:
    """Run the loop of a thread until it returns; if an exception ends it, report that and start it again.

    `on_failure` gets the text of the report, for people.
    """
    name = threading.current_thread().name
    while True:
        try:
            work()
            return
        except BaseException as error:
            text = f"the thread {name} failed ({type(error).__name__}: {error}); it is started again"
            log.exception("%s", text)
            if on_failure is not None:
                on_failure(text)
        threading.Event().wait(RESTART_SECONDS)
