"""SciDog's properties as jive lists them, for the docs: `python -m tests.ui.pictures.scidog_properties [FILE]`.

jive is not in the package registries, so this makes the two calls of the Tango database that jive makes for its
tab Properties: get_device_property_list and get_device_property.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import tango

from deploy.demo.stack import SCIDOG, Stack
from tests.servers.tango_system import control_system

WIDTH = 92
"""Characters of a line that are shown."""

MOST = 3
"""Lines of a property that are shown."""


def put(stack: Stack) -> None:
    """Set the demo's properties, with the names of a beamline instead of those of the demo's machine."""
    properties = stack.scidog_properties("kafka.example.org:9092") | {"SpoolDirectory": ["/var/lib/scifish"]}
    stack.db.put_device_property(SCIDOG, {name: list(lines) for name, lines in properties.items() if lines})


def listing(db: tango.Database, device: str) -> str:
    """Each property with the start of its lines."""
    names = sorted(db.get_device_property_list(device, "*").value_string)
    found = db.get_device_property(device, names)
    column = max(map(len, names))
    rows = []
    for name in names:
        for number, line in enumerate(_shown(found[name])):
            rows.append(f"{'' if number else name:{column}}  {line}".rstrip())
    return "\n".join(rows) + "\n"


def _shown(lines: Sequence[str]) -> list[str]:
    begins = [line if len(line) <= WIDTH else f"{line[:WIDTH].rstrip()} ..." for line in lines[:MOST]]
    return [*begins, "..."] if len(lines) > MOST else begins


def main(file: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, control_system(Path(folder)) as stack:
        stack.add_device("SciDog/demo", "SciDog", SCIDOG)
        put(stack)
        text = listing(stack.db, SCIDOG)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    print(text, end="")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/pictures/scidog-properties.txt"))
