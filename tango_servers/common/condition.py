"""A device's State and Status, made of sentences about what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field

from tango import DevState


def join_sentences(first: str, second: str) -> str:
    """Two sentences with a full stop between them, unless the first already ends with a mark."""
    return f"{first}{'' if first.endswith(('.', '?', '!')) else '.'} {second}"


@dataclass
class Condition:
    """Sentences that say what is wrong and what to do.

    `faults`: the device cannot work, e.g. a PathFixer without a folder for the data. `alarms`: it works, but not all
    is as it should be. `remarks` are only for information.
    """

    faults: list[str] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def state(self, ready: DevState) -> DevState:
        """`ready` is the state if nothing is wrong. A device that is switched off (OFF) stays OFF."""
        if ready == DevState.OFF:
            return ready
        return DevState.FAULT if self.faults else DevState.ALARM if self.alarms else ready

    def status(self, ready: DevState) -> str:
        """The worst first."""
        return "\n".join([f"The device is in {self.state(ready)} state.", *self.faults, *self.alarms, *self.remarks])
