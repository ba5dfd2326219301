"""What state a device is in, and what its Status says."""

from __future__ import annotations

from dataclasses import dataclass, field

from tango import DevState


def then(said: str, more: str) -> str:
    """Two sentences; the first may be a question."""
    return f"{said}{'' if said.endswith(('.', '?', '!')) else '.'} {more}"


@dataclass
class Condition:
    """Sentences that say what is wrong and what to do.

    `faults`: it cannot do its work, as a PathFixer without a folder for the data. `limits`: it works, but not
    all is as it should be. `remarks` are said only.
    """

    faults: list[str] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def state(self, ready: DevState) -> DevState:
        """`ready`: the state without anything wrong. Who has switched it off knows that it does nothing."""
        if ready == DevState.OFF:
            return ready
        return DevState.FAULT if self.faults else DevState.ALARM if self.limits else ready

    def status(self, ready: DevState) -> str:
        """The worst first."""
        return "\n".join([f"The device is in {self.state(ready)} state.", *self.faults, *self.limits, *self.remarks])
