"""A beamline with a Door and a Kafka, and what comes out of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deploy.demo.door import Door
from deploy.demo.processes import Process
from deploy.demo.session import Session
from deploy.demo.stack import MACROSERVER, Stack
from scifish.message import Message
from tests.servers.kafka import Kafka
from tests.servers.sardana import Sardana
from tests.servers.topic import Topic

PARTS = Path(__file__).parent / "sardana_parts"


class System:
    """All that records at a beamline, with the controllers, macros and recorders of PARTS beside the demo's."""

    def __init__(self, stack: Stack, kafka: Kafka) -> None:
        self.stack = stack
        self.kafka = kafka
        stack.use_own_topic()
        stack.start_beamline()
        stack.start_pathfixer([f"{{device: {MACROSERVER}, environment: ScanDir}}"])
        stack.start_scidog(kafka.bootstrap)
        stack.controller_folders.append(str(PARTS / "controllers"))
        stack.macro_folders.append(str(PARTS / "macros"))
        stack.recorder_folders.append(str(PARTS / "recorders"))
        self.sardana = Sardana(stack, "door/demo/2")
        self.said = self.sardana.said
        Session(self.door, print).prepare(stack.folder / "data")
        self.door.run("setproposal", "20250001")
        self.door.run("setsample", "fibre_A")
        self.topic = Topic(kafka.bootstrap, stack.topic)

    @property
    def door(self) -> Door:
        return self.sardana.door

    @property
    def other_door(self) -> Door:
        return self.sardana.doors[1]

    def history(self) -> list[dict[str, Any]]:
        return self.sardana.history()

    def scan(self, *words: str) -> Message:
        """Run a scan to its end and return the last message of its dataset."""
        self.door.run(*words)
        return self.last_message()

    def last_message(self) -> Message:
        scan = self.sardana.last_scan()
        return self.topic.wait_for(lambda m: m["uuid"] == scan.uuid and m["type"] == "ended")

    def process(self, name: str) -> Process:
        return next(p for p in reversed(self.stack.processes.running) if p.name == name)

    def close(self) -> None:
        self.sardana.close()
        self.topic.close()
