"""Calls that may hang, and the identification of clients."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from scifish.tango_io.executors import ThreadPool
from tango_servers.common.arguments import caller
from tango_servers.common.background import ExclusiveCaller, call_with_timeout
from tests.waiting import PATIENCE


def test_a_hanging_call_is_abandoned_and_at_most_one_hangs() -> None:
    pool = ThreadPool("asking")
    hangs = threading.Event()
    asked = ExclusiveCaller(pool)
    assert asked.call(PATIENCE, lambda: 5) == 5
    for _ in range(5):
        with pytest.raises(TimeoutError):
            asked.call(0.05, hangs.wait)
        assert not hangs.is_set()
    assert pool.threads <= 2  # the first may not have been free again when the second was asked
    with pytest.raises(TimeoutError):
        asked.call(-1.0, lambda: 5)
    hangs.set()
    assert asked.call(PATIENCE, lambda: 6) == 6
    pool.stop(PATIENCE)


def test_exceptions_are_raised_in_the_caller() -> None:
    pool = ThreadPool("asking")
    with pytest.raises(ZeroDivisionError):
        call_with_timeout(pool, PATIENCE, lambda: 1 / 0)
    pool.stop(PATIENCE)


@pytest.mark.parametrize(
    ("ident", "who"),
    [
        (None, "unknown"),
        ({"client_ident": False}, "unknown"),
        ({"client_ip": "giop:tcp:10.0.0.5:3210", "client_pid": 12}, "process 12 on 10.0.0.5"),
        ({"client_ip": "giop:tcp:[fe80::1]:3210", "client_pid": 12}, "process 12 on fe80::1"),
        ({"client_ip": "giop:tcp:127.0.0.1:3210", "client_pid": 12}, "process 12 on this machine"),
        ({"client_ip": "giop:unix:/tmp/omni-root/1-2", "client_pid": 12}, "process 12 on this machine"),
        ({"java_main_class": "jive3.MainPanel"}, "jive3.MainPanel"),
        ({"client_ip": "something else", "client_pid": 12}, "process 12 on something else"),
    ],
)
def test_the_caller_as_far_as_tango_knows(ident: dict[str, Any] | None, who: str) -> None:
    known = {"client_ident": True, "client_ip": "", "client_pid": 0, "java_main_class": ""}
    found = None if ident is None else SimpleNamespace(**{**known, **ident})
    device = SimpleNamespace(get_client_ident=lambda: found)
    assert caller(device) == who
    assert caller(device, "astlin") == f"astlin ({who})"
