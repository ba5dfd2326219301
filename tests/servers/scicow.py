"""SciCow as a real process, for any test that needs one."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import yaml

from deploy.demo.processes import Process, Processes
from tests.faults.clock import Clock
from tests.servers.catalogue import Catalogue

PASSWORD = "SCIZOO_SCICAT_PASSWORD"


def topics_of_run(run: str) -> dict[str, Any]:
    """The `kafka` settings of a SciCow that reads the topics `scifish-<run>...`: cosaxs writes to any of them."""
    beamlines = {"cosaxs": [f"scifish-{run}*"], "*": [f"scifish-{run}-{{beamline}}"]}
    return {"topics": f"^scifish-{run}.*", "beamline_topics": beamlines}


def write_settings(
    folder: Path, bootstrap: str, catalogue: Catalogue, run: str, *, session: int = 60, **settings: Any
) -> Path:
    """The settings of a SciCow that reads the topics `scifish-<run>...`. A setting that is a mapping is added to.

    `session` is in seconds: so long after it was killed another one has its partitions.
    """
    folder.mkdir(parents=True, exist_ok=True)
    librdkafka = folder / "kafka.properties"
    librdkafka.touch(mode=0o600)
    librdkafka.write_text(
        f"session.timeout.ms={1000 * session}\n"
        "# so that a new topic, and another SciCow, are seen soon\n"
        "topic.metadata.refresh.interval.ms=1000\nheartbeat.interval.ms=500\n"
    )
    found: dict[str, Any] = {
        "kafka": {
            "bootstrap_servers": bootstrap,
            "group_id": f"scicow-{run}",
            "config_file": str(librdkafka),
            **topics_of_run(run),
        },
        "dead_letter_topic": f"dead-{run}",
        "scicat": {
            "url": catalogue.url,
            "username": catalogue.ingestor.username,
            "password": f"${{{PASSWORD}}}",
        },
        "contact": {
            "owner": "Data manager",
            "contact_email": "data@example.org",
            "principal_investigator": "Data manager",
        },
        # Several run on this machine.
        "http": {"port": 0},
    }
    for name, value in settings.items():
        found[name] = {**found.get(name, {}), **value} if isinstance(value, dict) else value
    path = folder / "scicow.yaml"
    path.write_text(yaml.safe_dump(found))
    return path


def start_scicow(
    processes: Processes, name: str, config: Path, catalogue: Catalogue, *options: str, clock: Clock | None = None
) -> Process:
    """`name` is that of its log."""
    argv = [str(Path(sys.executable).with_name("scicow")), "run", "--config", str(config), *options]
    more = clock.environment if clock else {}
    return processes.start(name, argv, {**os.environ, **more, PASSWORD: catalogue.ingestor.password})
