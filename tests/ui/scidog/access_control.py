"""A stand-in for Tango's device of access control, which is not in the package registries.

    python -m tests.ui.scidog.access_control INSTANCE

It answers what Tango's library asks at the first connection to a device: the access of a user on a machine to a
device, and the commands that are allowed with read access. SciDog may be read only, all else may be written.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tango import DevState
from tango.server import Device, command, run

from deploy.demo.stack import SCIDOG
from taurus_widgets.scidog.data.client import READ_COMMANDS

SERVER, NAME = "AccessControl", "sys/access_control/1"
SERVICE = f"AccessControl/tango:{NAME}"
"""A line of the property Services of the free object CtrlSystem."""


class TangoAccessControl(Device):
    """Commands as Tango's `TangoAccessControl` has them."""

    def init_device(self) -> None:
        super().init_device()
        self.set_state(DevState.ON)

    @command(dtype_in=(str,), dtype_out=str)
    def GetAccess(self, asked: Sequence[str]) -> str:
        """User, address and device."""
        return "read" if asked[2].lower() == SCIDOG else "write"

    @command(dtype_in=(str,), dtype_out=str)
    def GetAccessForMultiIP(self, asked: Sequence[str]) -> str:
        """User, device and addresses."""
        return "read" if asked[1].lower() == SCIDOG else "write"

    @command(dtype_in=str, dtype_out=(str,))
    def GetAllowedCommands(self, device_class: str) -> list[str]:
        return list(READ_COMMANDS) if device_class == "SciDog" else []


if __name__ == "__main__":
    run((TangoAccessControl,), args=[SERVER, *sys.argv[1:]])
