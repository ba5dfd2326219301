"""SciCow as it runs: its own process, between a real Kafka and a catalogue: the embedded one, or any given by its URL.

What needs a catalogue that can be stopped is left out on the given one.
"""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer

from deploy.demo.processes import Process, Processes
from ingest.scicat import SciCat
from scifish.message import Message, encode
from tests.builders.messages import file, message
from tests.faults.clock import Clock
from tests.servers.catalogue import Catalogue, start_catalogue
from tests.servers.kafka import Kafka, free_ports, send, send_with_header
from tests.servers.proxy import Fault, Proxy, proxy
from tests.servers.scicow import start_scicow, write_settings
from tests.waiting import PATIENCE, eventually

pytestmark = pytest.mark.first

PNG = "data:image/png;base64," + (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Beamline:
    """A topic, a SciCow that reads it, and the catalogue where it arrives."""

    scicow: Process
    """The one that was started last."""

    def __init__(self, folder: Path, processes: Processes, kafka: Kafka, catalogue: Catalogue) -> None:
        self.kafka = kafka
        self.processes = processes
        self.folder = folder
        self.run = uuid4().hex[:8]
        self.topic = f"scifish-{self.run}-one"
        self.dead_letter_topic = f"dead-{self.run}"
        self._port = free_ports(1)[0]
        self._starts = 0
        self._use(catalogue)

    def start_own_catalogue(self) -> None:
        """One that the test may stop, and start again with what it has."""
        if self.catalogue.process is None:
            pytest.skip("a SciCat given by its URL is not ours to stop")
        self._starts += 1
        name = f"scicat-{self._starts}"
        self._use(start_catalogue(self.processes, self.folder, port=self._port, name=name))

    def _use(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.scicat = SciCat(catalogue.url, catalogue.ingestor.username, catalogue.ingestor.password)

    def stop_catalogue(self) -> None:
        assert self.catalogue.process
        self.catalogue.process.stop()

    def write_settings(self, **settings: Any) -> Path:
        # What is in a catalogue of others is not counted.
        own = {"creation_location": f"/{self.run}"}
        return write_settings(self.folder, self.kafka.bootstrap, self.catalogue, self.run, **own, **settings)

    def start_scicow(self, clock: Clock | None = None, **settings: Any) -> Process:
        config = self.write_settings(**settings)
        self._starts += 1
        self.scicow = start_scicow(self.processes, f"scicow-{self._starts}", config, self.catalogue, clock=clock)
        return self.scicow

    def send(self, *messages: Message, topic: str = "") -> None:
        data = [(each["uuid"], encode(each)) for each in messages]
        send(self.kafka.bootstrap, topic or self.topic, data)

    def dataset(self, given: Message) -> dict[str, Any] | None:
        return self.scicat.dataset(f"scizoo/{given['uuid']}")

    def status(self, given: Message) -> str | None:
        found = self.dataset(given)
        return found["scientificMetadata"]["scan"]["status"]["value"] if found else None

    def count(self) -> int:
        return len(self.datasets())

    def datasets(self) -> list[dict[str, Any]]:
        """All of this run."""
        where = {"creationLocation": f"/{self.run}"}
        return self.scicat.datasets(where, fields=["pid", "numberOfFiles", "size"], limit=10_000)

    def dead_letters(self, number: int) -> list[tuple[bytes | None, dict[str, str]]]:
        """Values and headers of so many dead letters; fails if there are fewer."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.kafka.bootstrap,
                "group.id": uuid4().hex,
                "auto.offset.reset": "earliest",
                "log_level": 0,
            }
        )
        consumer.subscribe([self.dead_letter_topic])
        found = []
        deadline = time.monotonic() + PATIENCE
        while len(found) < number and time.monotonic() < deadline:
            got = consumer.poll(0.5)
            if got is not None and not got.error():
                headers = {name: (data or b"").decode(errors="replace") for name, data in got.headers() or []}
                found.append((got.value(), headers))
        consumer.close()
        assert len(found) == number
        return found


@pytest.fixture
def beamline(tmp_path: Path, kafka: Kafka, catalogue: Catalogue) -> Iterator[Beamline]:
    """Without a SciCow yet."""
    with Processes(tmp_path / "logs") as processes:
        yield Beamline(tmp_path / "run", processes, kafka, catalogue)


def pair(**changes: Any) -> tuple[Message, Message]:
    began = message("began", **changes)
    return began, message("ended", began["uuid"], **changes)


def test_a_scan_is_created_when_it_begins_and_completed_when_it_ends(beamline: Beamline) -> None:
    beamline.start_scicow()
    began, ended = pair()
    beamline.send(began)
    assert eventually(lambda: beamline.status(began) == "running")
    beamline.scicat.patch_dataset(f"scizoo/{began['uuid']}", {"comment": "looks good", "dataQualityMetrics": 2})
    beamline.send(ended)
    assert eventually(lambda: beamline.status(began) == "completed")
    found = beamline.dataset(began)
    assert found is not None
    assert (found["comment"], found["dataQualityMetrics"]) == ("looks good", 2)
    assert found["endTime"] == "2026-11-22T10:00:11.000Z"
    assert found["scientificMetadata"]["Machine"]["Ring current"]["value"] == 400.5
    assert eventually(lambda: len(beamline.scicat.files(found["pid"])) == 1)
    line = rf"cosaxs 20250001 'ascan mot01 0 1 10 0.1' completed, 1 files: {found['pid']}"
    beamline.scicow.wait_for(line)


def test_reversed_and_repeated_messages_give_the_same_datasets(beamline: Beamline) -> None:
    beamline.start_scicow()
    began, ended = pair()
    last = message("snapshot")
    beamline.send(ended, began, ended, began, ended, last)
    assert eventually(lambda: beamline.status(last) == "completed")
    assert eventually(lambda: "exists already" in beamline.scicow.text)
    assert eventually(lambda: beamline.scicow.text.count("is complete already") == 2)
    assert beamline.status(began) == "completed"
    found = beamline.dataset(began)
    assert found is not None
    assert (found["numberOfFiles"], found["size"]) == (1, 10)
    assert beamline.count() == 2


def test_annotations_reach_their_dataset_even_if_they_come_first(beamline: Beamline) -> None:
    beamline.start_scicow()
    given = message("snapshot")
    image = {"caption": "plot", "uri": PNG}
    beamline.send(
        message("annotation", given["uuid"], seq=1, annotation={"comment": "first"}),
        message("annotation", given["uuid"], seq=2, annotation={"comment": "good", "rating": 2.5, "image": image}),
        given,
    )
    assert eventually(lambda: (beamline.dataset(given) or {}).get("comment") == "good")
    found = beamline.dataset(given)
    assert found is not None
    assert found["dataQualityMetrics"] == 2.5
    assert len(found["scientificMetadata"]) == 2
    path = f"/api/v3/datasets/scizoo%2F{given['uuid']}/attachments"
    assert eventually(lambda: [each["caption"] for each in beamline.scicat.call("GET", path)] == ["plot"])


def test_what_cannot_be_ingested_is_a_dead_letter_and_the_rest_goes_on(beamline: Beamline) -> None:
    beamline.start_scicow()
    refused = message("snapshot", creationTime="2026-99-22T10:00:00Z", startTime="2026-99-22T10:00:00Z")
    good = message("snapshot")
    send(beamline.kafka.bootstrap, beamline.topic, [("a", b"\xff no JSON"), ("b", b'{"schema": "scifish/1"}')])
    odd = message("snapshot")
    send_with_header(beamline.kafka.bootstrap, beamline.topic, b"\xff\xfe", [encode(odd), b"[no JSON"])
    beamline.send(refused, good)
    assert eventually(lambda: beamline.status(good) == "completed")
    assert eventually(lambda: beamline.status(odd) == "completed")
    letters = beamline.dead_letters(4)
    reasons = {value: headers["__connect.errors.exception.message"] for value, headers in letters}
    assert "not JSON" in reasons[b"\xff no JSON"]
    assert "not JSON" in reasons[b"[no JSON"]
    assert "is a required property" in reasons[b'{"schema": "scifish/1"}']
    assert "creationTime: " in reasons[encode(refused)]
    for _, headers in letters:
        assert headers["__connect.errors.topic"] == beamline.topic
        assert headers["__connect.errors.partition"].isdigit()
        assert headers["__connect.errors.offset"].isdigit()
        assert "Traceback" in headers["__connect.errors.exception.stacktrace"]


def test_a_dead_letter_too_large_for_kafka_is_cut_and_says_so(beamline: Beamline) -> None:
    beamline.start_scicow()
    data = os.urandom(1_048_400)  # with the dead letter's headers it is over the broker's limit
    producer = Producer({"bootstrap.servers": beamline.kafka.bootstrap, "message.max.bytes": 2_000_000})
    producer.produce(beamline.topic, value=data)
    assert not producer.flush(PATIENCE)
    [(cut, headers)] = beamline.dead_letters(1)
    assert cut is not None
    assert data.startswith(cut)
    assert (len(cut) < len(data)) == ("scicow.cut" in headers)
    assert "scicow.cut" in headers or not beamline.kafka.restartable  # the mock cluster has no limit
    good = message("snapshot")
    beamline.send(good)
    assert eventually(lambda: beamline.status(good) == "completed")


def test_a_dead_letter_too_large_by_its_headers_is_cut_and_holds_up_no_other(beamline: Beamline) -> None:
    beamline.start_scicow()
    headers: list[tuple[str, str | bytes | None]] = [(f"h{number}", os.urandom(52_380)) for number in range(20)]
    producer = Producer({"bootstrap.servers": beamline.kafka.bootstrap, "message.max.bytes": 2_000_000})
    producer.produce(beamline.topic, value=b"no JSON", headers=headers)
    producer.produce(beamline.topic, value=b"neither")
    assert not producer.flush(PATIENCE)
    letters = dict(beamline.dead_letters(2))
    assert letters.keys() == {b"no JSON", b"neither"}
    cut = letters[b"no JSON"].get("scicow.cut", "")
    assert "20 headers of" in cut or not beamline.kafka.restartable  # the mock cluster has no limit


def test_an_annotation_without_a_dataset_is_at_last_a_dead_letter(beamline: Beamline) -> None:
    beamline.start_scicow(missing_dataset_wait=1)
    lonely, good = message("annotation"), message("snapshot")
    beamline.send(lonely, good)
    assert eventually(lambda: beamline.status(good) == "completed")
    [(data, headers)] = beamline.dead_letters(1)
    assert json.loads(data or b"") == lonely
    assert headers["__connect.errors.exception.class.name"] == "ingest.failures.DatasetMissing"


def test_nothing_is_lost_while_the_catalogue_is_away(beamline: Beamline) -> None:
    beamline.start_own_catalogue()
    beamline.start_scicow()
    first = [message("snapshot") for _ in range(5)]
    beamline.send(*first)
    assert eventually(lambda: beamline.count() == 5)
    beamline.stop_catalogue()
    later = [message("snapshot") for _ in range(20)]
    beamline.send(*later)
    beamline.scicow.wait_for("held: SciCat does not answer")
    beamline.start_own_catalogue()
    assert eventually(lambda: beamline.count() == 25)
    assert beamline.scicow.text.count("held:") == 1
    beamline.scicow.wait_for("resumed after")


def test_a_refused_account_loses_nothing(beamline: Beamline) -> None:
    scicow = beamline.start_scicow(scicat={"password": "${PATH}"})
    given = message("snapshot")
    beamline.send(given)
    scicow.wait_for("check scicat.username and scicat.password")
    scicow.stop()
    assert beamline.count() == 0
    beamline.start_scicow()
    assert eventually(lambda: beamline.status(given) == "completed")


def test_a_killed_scicow_loses_nothing_and_makes_nothing_twice(beamline: Beamline) -> None:
    beamline.start_scicow(session=6)
    scans = [pair(files=[file(f"/data/{number}.h5")]) for number in range(50)]
    beamline.send(*[given for scan in scans for given in scan])
    assert eventually(lambda: beamline.count() >= 10)
    beamline.scicow.kill()
    beamline.start_scicow(session=6)
    assert eventually(lambda: all(beamline.status(began) == "completed" for began, _ in scans), 2 * PATIENCE)
    assert eventually(lambda: all(len(beamline.scicat.files(f"scizoo/{began['uuid']}")) == 1 for began, _ in scans))
    found = beamline.datasets()
    assert len(found) == 50
    assert {(each["numberOfFiles"], each["size"]) for each in found} == {(1, 10)}


@pytest.mark.long  # `make soak` does the same, too
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_broker_that_restarts_is_found_again_and_one_can_be_stopped_meanwhile(beamline: Beamline, how: str) -> None:
    if not beamline.kafka.restartable:
        pytest.skip(f"{beamline.kafka.kind} cannot be restarted with its data")
    stopped, staying = beamline.start_scicow(session=6), beamline.start_scicow(session=6)
    first, second = message("snapshot"), message("snapshot")
    beamline.send(first)
    assert eventually(lambda: beamline.status(first) == "completed")
    getattr(beamline.kafka, how)()
    try:
        stopped.wait_for("Kafka at .* Retrying")
        stopped.terminate()
        assert stopped.wait(PATIENCE) == 0
        staying.wait_for("Kafka at .* Retrying")
    finally:
        beamline.kafka.start()
    beamline.send(second)
    assert eventually(lambda: beamline.status(second) == "completed")
    assert staying.running


def test_a_new_beamlines_topic_is_read_without_a_restart(beamline: Beamline) -> None:
    beamline.start_scicow()
    first, second = message("snapshot"), message("snapshot", beamline="veritas")
    beamline.send(first)
    assert eventually(lambda: beamline.status(first) == "completed")
    beamline.send(second, topic=f"scifish-{beamline.run}-veritas")
    assert eventually(lambda: beamline.status(second) == "completed")


# --------------------------------------------- several at once, and a SciCat that is slow


@pytest.fixture
def slow(beamline: Beamline) -> Iterator[Proxy]:
    """A SciCat that takes its time."""
    with proxy(beamline.catalogue.url, latency=0.05) as found:
        yield found


def many_scans(number: int) -> tuple[list[tuple[Message, Message]], list[Message]]:
    """So many, and their messages as several doors would send them."""
    scans = [pair(files=[file(f"/data/{each}.h5")]) for each in range(number)]
    return scans, [began for began, _ in scans] + [ended for _, ended in scans]


def check_all(beamline: Beamline, scans: list[tuple[Message, Message]]) -> None:
    """Each scan is there, complete, once, with its file once."""
    assert eventually(lambda: all(beamline.status(began) == "completed" for began, _ in scans), 2 * PATIENCE)
    assert eventually(lambda: all(beamline.scicat.files(f"scizoo/{began['uuid']}") for began, _ in scans))
    found = beamline.datasets()
    assert len(found) == len(scans)
    assert {(each["numberOfFiles"], each["size"]) for each in found} == {(1, 10)}


def test_two_share_the_load_and_one_that_is_killed_loses_and_doubles_nothing(beamline: Beamline, slow: Proxy) -> None:
    first = beamline.start_scicow(session=6, scicat={"url": slow.url})
    started = message("snapshot", files=[file("/data/x.h5")])
    beamline.send(started)
    first.wait_for("completed")
    second = beamline.start_scicow(session=6, scicat={"url": slow.url})
    second.wait_for(r"reading scifish-\S+\[\d\]")
    scans, messages = many_scans(60)
    beamline.send(*messages)
    assert eventually(lambda: min(each.text.count("began") for each in (first, second)) >= 10)
    second.kill()
    check_all(beamline, [(started, started), *scans])
    assert slow.two_writers == []


@pytest.mark.parametrize("away", [False, True])
def test_sigterm_stops_it_cleanly_and_it_goes_on_where_it_was(beamline: Beamline, slow: Proxy, away: bool) -> None:
    account = {"url": slow.url}
    scicow = beamline.start_scicow(scicat=account)
    first = [message("snapshot") for _ in range(3)]
    beamline.send(*first)
    assert eventually(lambda: scicow.text.count("completed, 1 files") == 3)
    given = message("snapshot")
    if away:
        slow.away = True
        beamline.send(given)
        scicow.wait_for("held: SciCat does not answer")
    scicow.terminate()
    assert scicow.wait(PATIENCE) == 0
    if away:
        slow.away = False
    else:
        beamline.send(given)
    again = beamline.start_scicow(scicat=account)
    assert eventually(lambda: beamline.status(given) == "completed")
    again.wait_for("completed")
    assert "is complete already" not in again.text  # the first three were committed


WORKERS = 8
"""Of each SciCow, as its settings say where nothing is set."""


class Scans:
    """Scans that go on as long as it is entered; all of them are in `sent`."""

    def __init__(self, beamline: Beamline) -> None:
        self.sent: list[tuple[Message, Message]] = []
        self._beamline = beamline
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Scans:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.1):
            some, messages = many_scans(3)
            self.sent += some
            self._beamline.send(*messages)


def test_partitions_move_while_there_is_work_and_no_dataset_has_two_writers(beamline: Beamline, slow: Proxy) -> None:
    account = {"url": slow.url}
    running = [beamline.start_scicow(scicat=account)]
    with Scans(beamline) as scans:
        for before in (None, 0):
            running[-1].wait_for("completed")
            if before is not None:
                running[before].terminate()
                assert running[before].wait(PATIENCE) == 0
            running.append(beamline.start_scicow(scicat=account))
        running[-1].wait_for("completed")
    check_all(beamline, scans.sent)
    assert slow.two_writers == []
    said = "".join(each.text for each in running)
    assert "redelivered" not in said
    # What is done is committed before a partition moves, so the next one does not find it done: but what a worker had
    # done before an earlier message of the same partition was, of which each of the two that gave partitions away has
    # at most one a worker.
    assert said.count("exists already") + said.count("is complete already") <= 2 * WORKERS


def test_one_dataset_that_fails_holds_no_other(beamline: Beamline, slow: Proxy) -> None:
    bad, good = message("snapshot"), [message("snapshot") for _ in range(30)]
    after = message("annotation", bad["uuid"])
    slow.fault = lambda method, uuid: 500 if uuid == bad["uuid"] and method != "GET" else None
    scicow = beamline.start_scicow(scicat={"url": slow.url})
    beamline.send(bad, after, *good)
    assert eventually(lambda: all(beamline.status(each) == "completed" for each in good))
    assert beamline.status(bad) is None
    slow.fault = lambda method, uuid: None
    assert eventually(lambda: (beamline.dataset(bad) or {}).get("comment") == "fine")
    assert "held" not in scicow.text


def test_one_dataset_that_always_fails_is_at_last_a_dead_letter(beamline: Beamline, slow: Proxy) -> None:
    bad, good = message("snapshot"), message("snapshot")
    slow.fault = lambda method, uuid: 500 if uuid == bad["uuid"] and method != "GET" else None
    beamline.start_scicow(scicat={"url": slow.url}, server_error_wait=2)
    beamline.send(bad, good)
    [(data, headers)] = beamline.dead_letters(1)
    assert json.loads(data or b"") == bad
    assert "500" in headers["__connect.errors.exception.message"]
    assert eventually(lambda: beamline.status(good) == "completed")


@pytest.mark.parametrize("lie", [b"", b'{"status": "ok"}'])
def test_what_a_proxy_answers_for_a_while_in_the_place_of_scicat_loses_nothing(
    beamline: Beamline, slow: Proxy, lie: bytes
) -> None:
    scicow = beamline.start_scicow(scicat={"url": slow.url})
    before = message()
    picture = {"image": {"caption": "plot", "uri": PNG}, "comment": "fine"}
    beamline.send(before)
    assert eventually(lambda: beamline.status(before) == "running")
    slow.content, slow.fault = lie, lambda method, uuid: 200
    snapshots = [message("snapshot") for _ in range(20)]
    ended = message("ended", before["uuid"])
    beamline.send(*snapshots, ended, message("annotation", before["uuid"], annotation=picture))
    assert scicow.wait_for("held: ")
    slow.fault = lambda method, uuid: None
    for each in [*snapshots, ended]:
        assert eventually(lambda each=each: (beamline.dataset(each) or {}).get("numberOfFiles") == 1)  # type: ignore[misc]
        assert beamline.status(each) == "completed"
    assert eventually(lambda: (beamline.dataset(ended) or {}).get("comment") == "fine")
    assert len(beamline.scicat.attachments(f"scizoo/{ended['uuid']}")) == 1
    assert "dead-letter topic" not in scicow.text


FAR = "Fri, 31 Dec 9999 23:59:59 GMT"


@pytest.mark.long
@pytest.mark.parametrize(
    ("status", "headers"),
    [
        *[(429, {}), (429, {"Retry-After": "999999999"}), (429, {"Retry-After": "-1"}), (429, {"Retry-After": FAR})],
        *[
            (503, {"Retry-After": "1e9"}),
            (401, {}),
            (401, {"Retry-After": FAR}),
            (302, {"Location": "/api/v3/datasets"}),
        ],
    ],
    ids=str,
)
def test_whatever_it_is_refused_with_it_goes_on_soon_after_the_last_refusal(
    beamline: Beamline, slow: Proxy, status: int, headers: dict[str, str]
) -> None:
    """Nothing that an answer says makes it wait for hours."""
    scicow = beamline.start_scicow(scicat={"url": slow.url})
    slow.headers, slow.fault = headers, lambda method, uuid: status if uuid else None
    given = [message("snapshot") for _ in range(10)]
    beamline.send(*given)
    scicow.wait_for("held: ")
    slow.fault = lambda method, uuid: None
    assert eventually(lambda: all(beamline.status(each) == "completed" for each in given))
    assert "dead-letter topic" not in scicow.text


def test_a_clock_that_jumps_by_hours_stops_nothing(beamline: Beamline, slow: Proxy, tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock")
    scicow = beamline.start_scicow(clock, scicat={"url": slow.url})
    for held, seconds in enumerate((86_400, -86_400, 7200, -7200), start=1):
        began, ended = pair()
        comes_first = message("annotation", began["uuid"], annotation={"comment": "fine"})
        slow.fault = lambda method, uuid: 503
        beamline.send(comes_first, began, ended)
        assert scicow.wait_for(lambda held=held: scicow.text.count("held: ") == held) is None  # type: ignore[misc]
        clock.jump(seconds)
        slow.fault = lambda method, uuid: None
        assert eventually(lambda began=began: beamline.status(began) == "completed")  # type: ignore[misc]
        assert eventually(lambda began=began: (beamline.dataset(began) or {}).get("comment") == "fine")  # type: ignore[misc]
    assert "dead-letter topic" not in scicow.text


def hanging_until(go: threading.Event, given: Message) -> Fault:
    """Calls about this dataset."""

    def fault(method: str, uuid: str) -> None:
        if uuid == given["uuid"]:
            go.wait()

    return fault


def test_a_call_that_hangs_holds_no_other_and_no_stop(beamline: Beamline, slow: Proxy) -> None:
    hanging, good = message("snapshot"), [message("snapshot") for _ in range(10)]
    go = threading.Event()
    slow.fault = hanging_until(go, hanging)
    scicow = beamline.start_scicow(scicat={"url": slow.url, "timeout": 4})
    beamline.send(hanging, *good)
    assert eventually(lambda: all(beamline.status(each) == "completed" for each in good))
    scicow.terminate()
    assert scicow.wait(PATIENCE) == 0  # while the call hangs
    go.set()
    beamline.start_scicow(scicat={"url": slow.url})
    assert eventually(lambda: beamline.status(hanging) == "completed")


def is_caught(pid: int, number: signal.Signals) -> bool:
    """Whether the process has a handler for this signal, as proc(5) says."""
    found = re.search(r"^SigCgt:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return bool(int(found[1], 16) >> (number - 1) & 1)


def test_a_second_signal_ends_it_at_once(beamline: Beamline, slow: Proxy) -> None:
    go, given = threading.Event(), message("snapshot")
    slow.fault = hanging_until(go, given)
    scicow = beamline.start_scicow(scicat={"url": slow.url, "timeout": 60})
    calls = slow.calls
    beamline.send(given)
    assert eventually(lambda: slow.at_once[given["uuid"]] and slow.calls > calls)
    scicow.terminate()
    assert eventually(lambda: not is_caught(scicow.pid, signal.SIGTERM))  # so the first one was seen
    assert scicow.running
    scicow.terminate()
    assert scicow.wait(PATIENCE) == -signal.SIGTERM
    go.set()
    beamline.start_scicow(scicat={"url": slow.url})
    assert eventually(lambda: beamline.status(given) == "completed")


@pytest.mark.long
def test_few_messages_in_memory_are_enough(beamline: Beamline, slow: Proxy) -> None:
    slow.latency = 0.0
    scans, messages = many_scans(150)
    beamline.send(*messages)
    scicow = beamline.start_scicow(scicat={"url": slow.url}, max_waiting=2)
    check_all(beamline, scans)
    assert scicow.text.count(" began: ") == scicow.text.count(" completed, 1 files: ") == 150
