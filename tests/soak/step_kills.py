"""SciCow killed between each two of its own steps: `python -m tests.soak.step_kills`.

A step is each call to SciCat (before it is sent, and after its answer), each dead letter and each offset. The same
messages go through a SciCow that is killed at step 1, then through another one that is killed at step 2, and so on
until one comes to its end; after each kill a new SciCow of the same group goes on. Then SciCat must have what it has
after a run that nobody disturbed: every value of every dataset, list of files, picture, proposal, sample and
instrument, and the same dead letters. Only a dead letter may be there twice.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from deploy.demo.processes import Processes
from ingest.scicat import SciCat
from scifish.message import Message, encode
from tests.benchmarks.figures import Figure, report
from tests.builders.messages import file, message, value
from tests.contract.api import PNG
from tests.paths import ROOT
from tests.servers.catalogue import Catalogue, start_catalogue
from tests.servers.kafka import make_kafka, make_topic, send
from tests.servers.scicow import write_settings
from tests.servers.scicow_steps import KILLED, Step, start_scicow, steps_of
from tests.soak.dead_letters import read_dead_letters
from tests.waiting import PATIENCE, eventually

Json = dict[str, Any]

UUIDS = [f"0b5f9d8e-4c1f-4b33-8a52-3c2f3f2f8a{number:02d}" for number in range(5)]

AT_ONCE = 6

_OWN = ("createdAt", "updatedAt", "_id", "id", "history")
"""What another run of the same messages has of its own."""


@dataclass(frozen=True)
class Killed:
    """What came of a SciCow that was to be killed. `step` says where it was: "" if it came to its end before that."""

    step: str
    differences: list[str]
    repeated_dead_letters: int


def scenario(tag: str) -> list[tuple[str, bytes]]:
    """Keys and values of messages that take SciCow through each of its branches. All names in them have the tag."""
    first, late, alone, recorded, refused = UUIDS
    folder = f"/data/{tag}/raw"
    seq = itertools.count(1)

    def said(kind: str, uuid: str, **changes: Any) -> tuple[str, bytes]:
        about = {"beamline": tag, "proposalId": f"{tag}p"}
        if kind != "annotation":
            about |= {"sampleId": f"{tag}-fibre", "sourceFolder": folder, "creationTime": "2026-11-22T10:00:00.000Z"}
        origin = {"host": "h", "program": "p", "version": "1", "run": f"run-{tag}"}
        number = next(seq)
        when = {"creationTime": f"2026-11-22T10:01:{number:02}.000Z"} if kind == "annotation" else {}
        return uuid, encode(message(kind, uuid, **{**about, **when, "seq": number, "origin": origin, **changes}))

    def files(*sizes: int, start: int = 0) -> list[Message]:
        return [file(f"{folder}/{number:04}.h5", size) for number, size in enumerate(sizes, start)]

    picture = {"image": {"caption": "plot", "uri": PNG}}
    return [
        said("began", first, scientificMetadata={"Optics": {"early": value(1, "mm"), "Energy": value(12, "keV")}}),
        said("annotation", first, annotation=picture),
        said(
            "ended",
            first,
            files=files(1, 2),
            part={"number": 1, "of": 2},
            scientificMetadata={"Optics": {"Energy": value(12.4, "keV", end=12.5)}},
        ),
        said("ended", first, files=files(3, start=2), part={"number": 2, "of": 2}, scientificMetadata={}),
        said("annotation", first, annotation={"comment": "good", "rating": 2.5}),
        ("none", b"{"),
        said("annotation", recorded, annotation={"comment": "before its dataset"}),
        said("snapshot", recorded, files=files(4, 5), sampleId=f"{tag}-powder"),
        said("snapshot", recorded, files=files(4, 55, 6), revision=1, status="stopped"),
        said("annotation", recorded, annotation={"scientificMetadata": {"Custom": {"centre": value(0.5, "mm")}}}),
        # The proposal becomes known in the end: then the groups change, also those of what is there already.
        said("began", late, proposalId="", sampleId=""),
        said("annotation", late, annotation=picture),
        said("ended", late, files=files(7)),
        said("ended", alone, files=files(8), status="aborted"),
        said("snapshot", refused, proposalId=f"{tag}-unknown"),
        said("annotation", first, annotation={"rating": 1}),
    ]


class StepKills:
    """Kills in one Kafka and one catalogue. `api` and `workers` are SciCow's settings."""

    def __init__(self, folder: Path, bootstrap: str, catalogue: Catalogue, api: str = "auto", workers: int = 1) -> None:
        self._folder = folder
        self._bootstrap = bootstrap
        self._catalogue = catalogue
        self._settings = {"scicat": {"api": api}, "workers": workers}
        self._run = f"s{uuid4().hex[:6]}"
        account = catalogue.ingestor
        self._scicat = SciCat(catalogue.url, account.username, account.password)
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        self._wanted: Json = {}
        self._runs = itertools.count()

    def undisturbed(self) -> list[str]:
        """The steps of a run without a kill, whose result is what all others are compared with."""
        tag = self._tag()
        self._ingest(tag, 0)
        self._wanted, _ = self._found(tag)
        return steps_of(self._folder / tag, "first")

    def killed_at(self, step: Step) -> Killed:
        tag = self._tag()
        killed = self._ingest(tag, step)
        found, repeated = self._found(tag)
        steps = steps_of(self._folder / tag, "first")
        where = f"{tag}, step {len(steps)}: {steps[-1]}" if killed else ""
        return Killed(where, list(differences(self._wanted, found)), repeated)

    def _tag(self) -> str:
        return f"{self._run}x{next(self._runs):05}"

    def _ingest(self, tag: str, step: Step) -> bool:
        """All messages of the scenario; whether a SciCow was killed at this step meanwhile."""
        folder = self._folder / tag
        folder.mkdir()
        topic = f"scifish-{tag}"
        for each in (topic, f"dead-{tag}"):
            make_topic(self._bootstrap, each)
        config = self._write_settings(folder, tag)
        messages = scenario(tag)
        send(self._bootstrap, topic, messages)
        is_done = partial(self._is_done, tag, len(messages))
        killed = self._run_scicow(folder, "first", config, step, is_done)
        if killed:
            self._run_scicow(folder, "second", config, 0, is_done)
        return killed

    def _write_settings(self, folder: Path, tag: str) -> Path:
        office = folder / "proposals.yaml"
        person = {"name": "Astrid Lindqvist", "email": "astrid@example.org"}
        proposal = {"id": f"{tag}p", "title": "Fibres", "beamline": tag, "principal_investigator": person}
        office.write_text(yaml.safe_dump({"proposals": [proposal]}))
        config = write_settings(
            folder,
            self._bootstrap,
            self._catalogue,
            tag,
            kafka={"topics": f"^scifish-{tag}$", "beamline_topics": {"*": ["scifish-{beamline}"]}},
            user_office=f"yaml:{office}",
            office_memory=str(folder / "memory.json"),
            proposals={"unknown": "refuse"},
            pid_prefix=tag,
            **self._settings,
        )
        with (folder / "kafka.properties").open("a") as file:
            file.write("group.instance.id=one\n")  # the next one need not wait until Kafka misses the one before
        return config

    def _run_scicow(self, folder: Path, name: str, config: Path, last: Step, is_done: Any) -> bool:
        """Until all is done, or it is killed; whether it was killed."""
        process: BaseProcess = start_scicow(folder, name, config, self._catalogue.ingestor.password, last)
        try:
            if not eventually(lambda: process.exitcode is not None or is_done()):
                raise RuntimeError(f"SciCow does not come to its end: see {folder}/{name}.log")
            process.terminate()
            process.join(PATIENCE)
        finally:
            process.kill()
            process.join()
        if process.exitcode not in (0, KILLED):
            raise RuntimeError(f"SciCow ended with status {process.exitcode}: see {folder}/{name}.log")
        return process.exitcode == KILLED

    def _is_done(self, tag: str, count: int) -> bool:
        request = ConsumerGroupTopicPartitions(f"scicow-{tag}", [TopicPartition(f"scifish-{tag}", 0)])
        (answer,) = self._admin.list_consumer_group_offsets([request]).values()
        try:
            (found,) = answer.result(PATIENCE).topic_partitions
        except KafkaException:
            return False  # Kafka makes the topic of groups with its first group
        return bool(found.offset == count)

    # ------------------------------------------------------------- what there is in the end

    def _found(self, tag: str) -> tuple[Json, int]:
        """All that SciCat and the dead-letter topic have of it, in the form that each run has; and how many dead
        letters are there once more."""
        scicat = self._scicat
        datasets = {each["pid"]: each for each in scicat.datasets({"creationLocation": f"/{tag}"})}
        instruments = [each for each in scicat.instruments() if each["uniqueName"] == tag]
        letters = read_dead_letters(self._bootstrap, f"dead-{tag}")
        dead = Counter((letter.origin[2], repr(letter.value), letter.why) for letter in letters)
        found = {
            "datasets": datasets,
            "datablocks": {pid: _in_order(scicat.blocks(pid)) for pid in datasets},
            "pictures": {pid: _in_order(scicat.attachments(pid)) for pid in datasets},
            "proposal": scicat.proposal(f"{tag}p"),
            "samples": {name: scicat.sample(f"{tag}-{name}") for name in ("fibre", "powder")},
            "instruments": instruments,
            "dead letters": sorted(dead),
        }
        text = json.dumps(_without_own(found))
        for instrument in instruments:
            text = text.replace(instrument["pid"], "INSTRUMENT")
        shown: Json = json.loads(text.replace(tag, "TAG"))
        return shown, dead.total() - len(dead)


def _in_order(documents: Iterable[Json]) -> list[Json]:
    return sorted(documents, key=lambda each: json.dumps(_without_own(each), sort_keys=True))


def _without_own(entry: Any) -> Any:
    if isinstance(entry, dict):
        return {name: _without_own(inner) for name, inner in entry.items() if name not in _OWN}
    return list(map(_without_own, entry)) if isinstance(entry, list | tuple) else entry


def differences(wanted: Any, found: Any, where: str = "") -> Iterator[str]:
    """A line for each place where they are not equal."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for name in sorted({*wanted, *found}):
            yield from differences(wanted.get(name), found.get(name), f"{where}/{name}")
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
            yield from differences(one, other, f"{where}/{number}")
    elif wanted != found:
        yield f"{where}: {str(found)[:200]!r}, not {str(wanted)[:200]!r}"


# -------------------------------------------------------------------------- the command


VARIANTS = (("v4", 1), ("v4", 4), ("v3", 1))
"""API and workers."""


def every_step(kills: StepKills, most: int) -> list[Killed]:
    """A kill at each step, or at `most` of them spread evenly, until a SciCow comes to its end without one."""
    count = len(kills.undisturbed())
    spread = sorted({1 + number * count // most for number in range(most)}) if most else []
    numbers = iter(spread) if most else itertools.count(1)
    found: list[Killed] = []
    while chunk := list(itertools.islice(numbers, AT_ONCE)):
        done = at_once(kills, chunk)
        found += [each for each in done if each.step]
        print(f"killed at {len(found)} steps, the last is {chunk[-1]} of some {count}", flush=True)
        if not done[-1].step:
            break
    return found


def at_once(kills: StepKills, steps: Iterable[Step]) -> list[Killed]:
    """A kill at each of these steps, several at a time, as each waits for Kafka most of the time."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(kills.killed_at, steps))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak.step_kills",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--steps", type=int, default=0, help="kill at so many steps, spread evenly (all)")
    parser.add_argument("--figures", type=Path, default=ROOT / "build" / "step_kills.json", help="where the figures go")
    parser.add_argument("--folder", type=Path, help="for state and logs; kept (one in the temporary folder)")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="step-kills-"))
    folder.mkdir(parents=True, exist_ok=True)
    found: list[Killed] = []
    with Processes(folder / "logs") as processes:
        kafka = make_kafka(folder / "kafka", processes)
        kafka.start()
        catalogue = start_catalogue(processes, folder / "catalogue")
        for api, workers in VARIANTS:
            print(f"API {api}, {workers} workers", flush=True)
            own = folder / f"{api}-{workers}"
            own.mkdir()
            found += every_step(StepKills(own, kafka.bootstrap, catalogue, api, workers), options.steps)
    wrong = [each for each in found if each.differences]
    for each in wrong:
        print(f"killed at {each.step}:", *each.differences[:10], sep="\n  ")
    before_and_after = Counter(each.step.partition(": ")[2].partition(" ")[0] for each in found)
    report(
        [
            Figure("step_kills", len(found), "kills", dict(before_and_after)),
            Figure("step_kills_different", len(wrong), "kills"),
            Figure("step_kills_dead_letters_twice", sum(each.repeated_dead_letters for each in found), ""),
        ],
        options.figures,
    )
    if not wrong and options.folder is None:
        shutil.rmtree(folder)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
