"""The command `scidog`, also as `taurus scidog`: the editor of what is recorded.

taurus imports this module whenever it runs, so Qt is imported late.
"""

from __future__ import annotations

import click

from taurus_widgets.program import check_display, end, run_window


@click.command("scidog", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("device", envvar="SCIDOG_DEVICE", default="")
@click.option(
    "--template",
    envvar="SCIDOG_TEMPLATE",
    show_envvar=True,
    default="",
    help="File of entries to start a first configuration from.",
)
@click.option("--dark", is_flag=True, help="Light text on a dark background, for a desktop that does not request it.")
def scidog_cmd(device: str, template: str, dark: bool) -> None:
    """Edit what is recorded with each scan.

    DEVICE is the SciDog of the beamline: by default that of the variable SCIDOG_DEVICE, or the only one in the Tango
    database. Nothing is written before Save.
    """
    check_display("What is recorded can also be edited in jive.")
    try:
        from taurus_widgets.scidog.window import ScidogEditor
    except ImportError as error:
        raise click.ClickException(f"{error}; run in a clone of SciZoo: pip install '.[gui]'") from error

    def make() -> ScidogEditor:
        editor = ScidogEditor()
        editor.template = template
        editor.restore()
        editor.setDevice(device)
        return editor

    end(run_window(make, dark))


def main() -> None:
    """The command `scidog`."""
    scidog_cmd(prog_name="scidog")
