"""The stored settings of the exports, for each user."""

from __future__ import annotations

import json
import os
from pathlib import Path

from taurus.external.qt import Qt

from taurus_widgets.scanlog.exporting.csv_file import Style
from taurus_widgets.scanlog.exporting.elogy import Author

ELOGY_VARIABLE = "SCIZOO_ELOGY_URL"
"""The environment variable with Elogy's address, for a scan log in a TaurusGUI."""


class ExportSettings:
    """Stored in the user's Qt settings."""

    def __init__(self) -> None:
        self._kept = Qt.QSettings("SciZoo", "scanlog")
        self._kept.beginGroup("export")

    # ------------------------------------------------------------------------- files

    def format(self) -> str:
        """The suffix of the last format, for example `.csv`."""
        return str(self._kept.value("format", ".csv"))

    def folder(self) -> Path:
        """The last folder, or the home folder if it no longer exists."""
        folder = Path(str(self._kept.value("folder", "") or Path.home()))
        return folder if folder.is_dir() else Path.home()

    def style(self) -> Style:
        """The last style; at first the one with the decimal sign of the desktop's language."""
        usual = Style.COMMA if Qt.QLocale.system().decimalPoint() == "," else Style.POINT
        kept = str(self._kept.value("style", usual.name))
        return Style[kept] if kept in Style.__members__ else usual

    def keep(self, suffix: str, folder: Path, style: Style) -> None:
        for name, value in {"format": suffix, "folder": str(folder), "style": style.name}.items():
            self._kept.setValue(name, value)

    # ------------------------------------------------------------------------- Elogy

    def elogy(self) -> str:
        """The address of Elogy: from the environment, else the last one; "" if there is none."""
        return os.environ.get(ELOGY_VARIABLE, "").strip() or str(self._kept.value("elogy", ""))

    def authors(self) -> list[Author]:
        """The authors of the last export."""
        try:
            found = json.loads(str(self._kept.value("authors", "[]")))
            return [Author(**{name: str(value) for name, value in author.items()}) for author in found]
        except (ValueError, TypeError, AttributeError):  # of another version, or edited by hand
            return []

    def logbook(self) -> int:
        """The id of the last logbook; 0 if there is none."""
        kept = str(self._kept.value("logbook", "0"))
        return int(kept) if kept.isdecimal() else 0

    def keepElogy(self, address: str, logbook: int, authors: list[Author]) -> None:
        self._kept.setValue("elogy", address)
        self._kept.setValue("logbook", str(logbook))
        self._kept.setValue("authors", json.dumps([author.as_json() for author in authors]))
