"""Dead letters, replay and audit: the commands, beside a SciCow that runs, on a real Kafka and a real catalogue."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from deploy.demo.processes import Processes
from ingest.scicat import NotAllowed
from ingest.scicow.cli import main
from ingest.scicow.dead_letters.producer import DeadLetterProducer
from ingest.scicow.dead_letters.topic import DeadLetterTopic, WaitingLetters
from ingest.scicow.kafka.topics import MessagePosition, TopicReader
from ingest.scicow.settings import SciCowSettings, load
from scifish.message import Message, encode
from scifish.spool.database import Spool
from tests.builders.messages import file, message
from tests.integration.scicow.test_scicow import Beamline, pair
from tests.servers.catalogue import Catalogue
from tests.servers.kafka import Kafka, send
from tests.servers.scicow import PASSWORD
from tests.waiting import PATIENCE, eventually

NOBODY = "127.0.0.1:1"
"""Where nothing listens."""


@pytest.fixture
def beamline(tmp_path: Path, kafka: Kafka, catalogue: Catalogue) -> Iterator[Beamline]:
    """With settings, and without a SciCow yet."""
    if not kafka.restartable:
        pytest.skip(f"{kafka.kind} has no offsets of times and of groups")
    with Processes(tmp_path / "logs") as processes:
        found = Beamline(tmp_path / "run", processes, kafka, catalogue)
        found.write_settings()
        yield found


class Scicow:
    """The command, as a person says it at a terminal, in this process."""

    def __init__(self, beamline: Beamline, capsys: pytest.CaptureFixture[str]) -> None:
        self._config = beamline.folder / "scicow.yaml"
        self._capsys = capsys

    def __call__(self, *words: str, status: int = 0) -> str:
        """What it prints, with its complaints at the end."""
        return "".join(self._run(words, status))

    def json(self, *words: str, status: int = 0) -> Any:
        # On stderr it says how far it is, where that takes its time.
        return json.loads(self._run([*words, "--json"], status)[0])

    def _run(self, words: Sequence[str], status: int) -> tuple[str, str]:
        self._capsys.readouterr()
        try:
            found = main([*words, "--config", str(self._config)])
        except SystemExit as end:  # argparse's
            found = int(end.code or 0)
        said = self._capsys.readouterr()
        assert found == status, said.out + said.err
        return said.out, said.err

    def settings(self) -> SciCowSettings:
        return load(self._config, secrets=False)


@pytest.fixture
def scicow(beamline: Beamline, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Scicow:
    monkeypatch.setenv(PASSWORD, beamline.catalogue.ingestor.password)
    return Scicow(beamline, capsys)


def bad_time(**changes: Any) -> Message:
    """SciCat answers 400 to it."""
    return message("snapshot", creationTime="2026-99-22T10:00:00Z", startTime="2026-99-22T10:00:00Z", **changes)


def waiting(scicow: Scicow) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = scicow.json("dead-letters", "list")
    return found


def in_topic(scicow: Scicow, topic: str) -> list[tuple[bytes | None, dict[str, str]]]:
    """Values and headers of all messages that are there now."""
    with TopicReader(scicow.settings().kafka) as topics:
        return [
            (each.value(), {name: bytes(content or b"").decode() for name, content in each.headers() or []})  # type: ignore[arg-type]
            for each in topics.read(topics.whole(topic))
        ]


# --------------------------------------------------------------------------- dead letters


def test_dead_letters_are_listed_shown_and_settled(beamline: Beamline, scicow: Scicow) -> None:
    beamline.start_scicow()
    assert scicow.json("dead-letters", "list") == []  # the topic is not there yet
    refused, good = bad_time(datasetName="a\x1b[31m scan"), message("snapshot")
    send(beamline.kafka.bootstrap, beamline.topic, [("a", b"\xff no JSON")])
    beamline.send(refused, good)
    assert eventually(lambda: beamline.status(good) == "completed")
    assert eventually(lambda: len(waiting(scicow)) == 2)
    by_uuid = {each["uuid"]: each for each in waiting(scicow)}
    letter = by_uuid[refused["uuid"]]
    assert (letter["beamline"], letter["type"], letter["topic"]) == ("cosaxs", "snapshot", beamline.topic)
    assert "creationTime: " in letter["reason"]
    text = scicow("dead-letters", "list", "--reason", "not json")
    assert "1 dead letter in topic" in text
    assert by_uuid["a"]["id"] in text
    text = scicow("dead-letters", "list", "--uuid", refused["uuid"])
    assert "\x1b" not in text
    assert r"a\x1b[31m scan" in text

    shown = scicow("dead-letters", "show", letter["id"])
    assert "state: waits" in shown
    assert "Traceback" in shown
    assert f'"uuid": "{refused["uuid"]}"' in shown
    assert "ff 20 6e 6f" in scicow("dead-letters", "show", by_uuid["a"]["id"])
    assert json.loads(scicow("dead-letters", "export", letter["id"])) == refused

    assert "1 dead letter replayed" in scicow("dead-letters", "replay", letter["id"])
    assert eventually(
        lambda: any(each["id"] != letter["id"] and each["uuid"] == refused["uuid"] for each in waiting(scicow))
    )
    assert f"replayed to {beamline.topic}[" in scicow("dead-letters", "show", letter["id"])
    assert "is not waiting: replayed" in scicow("dead-letters", "replay", letter["id"], status=1)
    [again] = [headers for value, headers in in_topic(scicow, beamline.topic) if "scicow.again" in headers]
    assert again == {
        "scicow.again": f"dead letter {letter['id']} of {letter['topic']}[{letter['partition']}]@{letter['offset']}"
    }

    assert "--yes" in scicow("dead-letters", "drop", "--all", status=1)  # nobody can be asked
    count = WaitingLetters(scicow.settings(), PATIENCE)
    assert count() == len(waiting(scicow)) == 2
    assert "2 dead letters dropped" in scicow("dead-letters", "drop", "--all", "--yes")
    assert waiting(scicow) == []
    assert count() == 0
    assert "state: dropped by" in scicow("dead-letters", "show", by_uuid["a"]["id"])
    assert "there is no dead letter 0:999" in scicow("dead-letters", "replay", "0:999", status=1)
    assert "there is no dead letter 99:0" in scicow("dead-letters", "show", "99:0", status=1)


def test_a_replayed_message_is_ingested_once_its_cause_is_gone(beamline: Beamline, scicow: Scicow) -> None:
    beamline.start_scicow(missing_dataset_wait=1)
    given = message("snapshot")
    comment = message("annotation", given["uuid"], annotation={"comment": "late"})
    beamline.send(comment)
    assert eventually(lambda: len(waiting(scicow)) == 1)
    beamline.send(given)
    assert eventually(lambda: beamline.status(given) == "completed")
    scicow("dead-letters", "replay", "--all", "--reason", "not in SciCat")
    assert eventually(lambda: (beamline.dataset(given) or {}).get("comment") == "late")
    assert waiting(scicow) == []


def test_a_letter_that_was_cut_is_replayed_whole_or_not_at_all(beamline: Beamline, scicow: Scicow) -> None:
    beamline.start_scicow()
    data = os.urandom(1_048_300)  # with the dead letter's headers it is over the broker's limit
    producer = Producer({"bootstrap.servers": beamline.kafka.bootstrap, "message.max.bytes": 2_000_000})
    producer.produce(beamline.topic, value=data)
    assert not producer.flush(PATIENCE)
    assert eventually(lambda: len(waiting(scicow)) == 1)
    [letter] = waiting(scicow)
    assert letter["cut"]
    scicow("dead-letters", "replay", "--all")
    assert [value for value, _ in in_topic(scicow, beamline.topic)] == [data, data]
    assert eventually(lambda: [each["id"] for each in waiting(scicow)] not in ([], [letter["id"]]))
    [again] = waiting(scicow)
    beyond = TopicPartition(again["topic"], again["partition"], again["offset"] + 1)
    admin = AdminClient({"bootstrap.servers": beamline.kafka.bootstrap})
    [deleted] = admin.delete_records([beyond]).values()
    deleted.result(PATIENCE)
    assert "is no longer in Kafka" in scicow("dead-letters", "replay", again["id"], status=1)
    assert [each["id"] for each in waiting(scicow)] == [again["id"]]


def test_many_threads_put_dead_letters_at_once(beamline: Beamline, scicow: Scicow) -> None:
    beamline.send(*[message("snapshot") for _ in range(160)])
    settings = scicow.settings()
    letters = DeadLetterProducer(settings)
    with TopicReader(settings.kafka) as topics:
        messages = list(topics.read(topics.whole(beamline.topic)))
        failures: list[BaseException] = []

        def put(number: int) -> None:
            try:
                for each in messages[number::8]:
                    letters.put(each, ValueError(f"thread {number}"))
            except BaseException as error:  # noqa: BLE001 - a thread's exception is seen nowhere else
                failures.append(error)

        threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert WaitingLetters(settings, PATIENCE)() == 160
        found, _ = DeadLetterTopic(topics, settings.dead_letter_topic).read()
    assert {each.origin for each in found.values()} == {MessagePosition.of(each) for each in messages}


# --------------------------------------------------------------------------------- replay


def test_a_range_is_sent_again_and_copies_of_copies_are_not(beamline: Beamline, scicow: Scicow) -> None:
    beamline.start_scicow()
    given = [message("snapshot", files=[file(f"/data/{number}")]) for number in range(20)]
    beamline.send(*given)
    assert eventually(lambda: beamline.count() == 20)
    beamline.scicow.stop()
    dry = scicow("replay", "--topic", beamline.topic, "--from", "1h", "--dry-run")
    assert f"{beamline.topic}: 20 messages would be sent again" in dry
    assert len(in_topic(scicow, beamline.topic)) == 20
    assert "20 messages sent again" in scicow("replay", "--beamline", "one", "--from", "1h")
    text = scicow("replay", "--topic", beamline.topic, "--from", "1h", "--uuid", given[0]["uuid"])
    assert "1 messages sent again" in text
    text = scicow("replay", "--topic", beamline.topic, "--from", "1h")
    assert "20 messages sent again" in text
    assert "21 left out" in text
    found = in_topic(scicow, beamline.topic)
    assert len(found) == 61
    assert sorted(value or b"" for value, headers in found if not headers) == sorted(map(encode, given))
    beamline.start_scicow()
    last = message("snapshot")
    beamline.send(last)
    assert eventually(lambda: beamline.status(last) == "completed")
    assert eventually(lambda: scicow.json("audit", "--from", "1h", "--thorough")["counts"]["complete"] == 21)
    rows = beamline.datasets()
    assert {(row["numberOfFiles"], row["size"]) for row in rows} == {(1, 10)}
    assert len(rows) == 21


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--from", "1h"], "--topic or --beamline"),
        (["--topic", "scifish-nobody", "--from", "1h"], "there is no topic scifish-nobody"),
        (["--beamline", "nobody", "--from", "1h"], "use --topic"),
        (["--beamline", "one", "--from", "12"], "has 4 partitions: write PARTITION:OFFSET"),
        (["--beamline", "one", "--from", "7:12"], "has no partition 7"),
        (["--beamline", "one", "--from", "yesterday"], "is not a time"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(
    beamline: Beamline, scicow: Scicow, words: list[str], complaint: str
) -> None:
    beamline.send(message())
    assert complaint in scicow("replay", *words, status=2)


# ---------------------------------------------------------------------------------- audit


def kinds(report: dict[str, Any]) -> dict[str, str]:
    """The kind of finding by uuid."""
    return {each["uuid"]: each["kind"] for each in report["findings"]}


def test_the_audit_names_what_is_wrong_and_repairs_it(beamline: Beamline, scicow: Scicow, tmp_path: Path) -> None:
    beamline.start_scicow()
    numbers = iter(range(1, 100))

    def snapshot(**changes: Any) -> Message:
        return message("snapshot", seq=next(numbers), **changes)

    files = [file("/data/1"), file("/data/2")]
    good, gone, without_files, twice, uncounted, dead, double = (
        snapshot(),
        snapshot(),
        snapshot(files=files),
        snapshot(),
        snapshot(),
        bad_time(seq=next(numbers)),
        snapshot(),
    )
    began = message("began", seq=next(numbers), creationTime="2026-11-20T10:00:00.000Z")
    unended = message("began", seq=next(numbers))
    ended = message("ended", unended["uuid"], seq=next(numbers))
    beamline.send(good, gone, without_files, twice, uncounted, dead, double, began, unended, ended)
    every = [good, gone, without_files, twice, uncounted, double, unended]
    assert eventually(lambda: all(beamline.status(each) == "completed" for each in every) and beamline.status(began))
    assert eventually(lambda: len(waiting(scicow)) == 1)
    assert eventually(lambda: scicow.json("audit", "--from", "1h", status=1)["counts"]["on_their_way"] == 0)
    report = scicow.json("audit", "--from", "1h", "--thorough", status=1)
    assert kinds(report) == {dead["uuid"]: "dead letter", began["uuid"]: "running"}
    assert (report["counts"]["datasets"], report["counts"]["complete"]) == (8, 7)
    assert scicow.json("audit", "--from", "1h", "--running-hours", "999999", status=1)["counts"]["still_running"] == 1

    client = beamline.scicat

    def broken(given: Message) -> str:
        return f"scizoo%2F{given['uuid']}"

    try:
        client.call("DELETE", f"/api/v3/datasets/{broken(gone)}")
    except NotAllowed:
        pytest.skip("this account may not delete, so nothing can be broken")
    for block in client.call("GET", f"/api/v3/datasets/{broken(without_files)}/origdatablocks"):
        client.call("DELETE", f"/api/v3/origdatablocks/{block['_id']}")
    of_twice = [
        {name: each[name] for name in ("path", "size", "time")} for each in client.files(f"scizoo/{twice['uuid']}")
    ]
    client.add_files(f"scizoo/{twice['uuid']}", of_twice)
    client.patch_dataset(f"scizoo/{uncounted['uuid']}", {"size": 0, "numberOfFiles": 0})
    other = {**client.call("GET", f"/api/v3/datasets/{broken(double)}"), "pid": f"other/{double['uuid']}"}
    names = ("pid", "type", "owner", "contactEmail", "principalInvestigator", "ownerGroup", "creationLocation")
    names += ("sourceFolder", "creationTime", "datasetName")
    client.create_dataset({name: other[name] for name in names})
    status = {"scan": {"status": {"value": "running", "unit": ""}}}
    client.merge_dataset(f"scizoo/{unended['uuid']}", {"scientificMetadata": status})
    text = scicow("audit", "--beamline", "one", "--from", "1h", status=1)
    assert "MISSING" in text
    assert f"double: cosaxs {double['uuid']}" in text
    report = scicow.json("audit", "--from", "1h", "--repair", status=1)
    assert kinds(report) == {
        dead["uuid"]: "dead letter",
        began["uuid"]: "running",
        gone["uuid"]: "missing",
        without_files["uuid"]: "incomplete",
        twice["uuid"]: "incomplete",
        uncounted["uuid"]: "incomplete",
        double["uuid"]: "double",
        unended["uuid"]: "incomplete",
    }
    what = {each["uuid"]: each["what"] for each in report["findings"]}
    assert "2 files missing: /data/1, /data/2" in what[without_files["uuid"]]
    assert "1 file listed more than once: scan_0042.h5" in what[twice["uuid"]]
    assert what[uncounted["uuid"]] == ["SciCat counts 0 files, 0 bytes, but lists 1, 10 bytes"]
    assert what[unended["uuid"]] == ["its end is not applied"]
    assert report["sent_again"] == 5  # of four datasets, one of which has two messages
    left = {dead["uuid"]: "dead letter", began["uuid"]: "running", twice["uuid"]: "incomplete"}
    left[double["uuid"]] = "double"
    assert eventually(lambda: kinds(scicow.json("audit", "--from", "1h", status=1)) == left)


def test_what_is_on_its_way_or_in_a_spool_is_not_missing(beamline: Beamline, scicow: Scicow, tmp_path: Path) -> None:
    beamline.start_scicow()
    first = message("snapshot", seq=1)
    beamline.send(first)
    assert eventually(lambda: beamline.status(first) == "completed")
    assert eventually(lambda: scicow.json("audit", "--from", "1h")["counts"]["complete"] == 1)
    beamline.scicow.stop()
    later = message("snapshot", seq=5)
    beamline.send(later)
    spool = Spool(tmp_path / "run.spool", first["origin"])
    spool.put(beamline.topic, *[message("snapshot") for _ in range(3)])
    spool.refuse({3: "too large"})
    argv = [str(Path(sys.executable).with_name("scifish")), "--spool", str(tmp_path), "list", "--json"]
    listed = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout
    (tmp_path / "spool.json").write_text(listed)
    report = scicow.json("audit", "--from", "1h", "--spool", str(tmp_path / "spool.json"), status=1)
    assert [each["kind"] for each in report["findings"]] == ["refused"]
    assert report["counts"]["on_their_way"] == 1
    assert report["counts"]["messages_in_spools"] == 2
    assert "is not what `scifish list --json` writes" in scicow(
        "audit", "--from", "1h", "--spool", str(beamline.folder / "scicow.yaml"), status=2
    )


@pytest.mark.long
def test_what_does_not_answer_is_reported_in_one_line(beamline: Beamline, scicow: Scicow) -> None:
    beamline.send(message())
    config = beamline.folder / "scicow.yaml"
    right = config.read_text()
    config.write_text(right.replace(beamline.catalogue.url, f"http://{NOBODY}"))
    text = scicow("audit", "--from", "1h", status=2)
    assert "no answer" in text
    assert "Traceback" not in text
    config.write_text(right.replace(beamline.kafka.bootstrap, NOBODY))
    for words in (["dead-letters", "list"], ["replay", "--beamline", "one", "--from", "1h"], ["audit", "--from", "1h"]):
        text = scicow(*words, status=2)
        assert "is it running? Check the `kafka` settings." in text
        assert "Connection refused" in text
        assert len(text.strip().splitlines()) == 1


def test_nothing_of_this_is_seen_by_scicows_group(beamline: Beamline, scicow: Scicow) -> None:
    beamline.start_scicow()
    beamline.send(*pair())
    beamline.scicow.wait_for("completed")
    group = scicow.settings().kafka.group_id
    admin = AdminClient({"bootstrap.servers": beamline.kafka.bootstrap})

    def state() -> tuple[int, list[tuple[int, int]]]:
        members = admin.describe_consumer_groups([group])[group].result(PATIENCE).members
        done = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(PATIENCE)
        return len(members), sorted((each.partition, each.offset) for each in done.topic_partitions)

    assert eventually(lambda: sum(offset for _, offset in state()[1]) == 2)
    before = state()
    with TopicReader(scicow.settings().kafka) as topics:
        for _ in topics.read(topics.whole(beamline.topic)):
            assert state() == before
    scicow("replay", "--beamline", "one", "--from", "1h", "--dry-run")
    assert state() == before


def test_annotations_that_are_gone_are_sent_again(beamline: Beamline, scicow: Scicow) -> None:
    beamline.start_scicow()
    given = message("snapshot", seq=1)
    comment = message("annotation", given["uuid"], seq=2, annotation={"comment": "good"})
    beamline.send(given, comment)
    assert eventually(lambda: (beamline.dataset(given) or {}).get("comment") == "good")
    assert eventually(lambda: scicow.json("audit", "--from", "1h")["counts"]["complete"] == 1)
    pid = f"scizoo/{given['uuid']}"
    beamline.scicat.merge_dataset(pid, {"comment": "", "scientificMetadata": {"scan": {"annotations": None}}})
    assert "1 annotation not applied: run-1:2" in scicow("audit", "--from", "1h", "--repair", status=1)
    assert eventually(lambda: (beamline.dataset(given) or {}).get("comment") == "good")
    assert eventually(lambda: scicow.json("audit", "--from", "1h")["counts"]["complete"] == 1)
