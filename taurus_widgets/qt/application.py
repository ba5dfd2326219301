"""The Qt application of a window of its own. In a TaurusGUI there is one already."""

from __future__ import annotations

import gc

from taurus.external.qt import Qt

from taurus_widgets.qt.painting import darkPalette

OFFSCREEN_POINTS = 9.0
"""Size of the font where no desktop says one: Qt's own 12 points there are larger than on any."""


def makeApplication(dark: bool = False) -> Qt.QApplication:
    """The application, made if there is none; keep it as long as there are widgets.

    `dark` is for desktops without a dark theme, and for pictures.
    """
    # All that has been imported stays for good: gone through again and again, it would hold up the window for 70 ms.
    gc.collect()
    gc.freeze()
    app = Qt.QApplication.instance() or Qt.QApplication(["scanlog"])
    if app.platformName() == "offscreen":
        font = app.font()
        font.setPointSizeF(OFFSCREEN_POINTS)
        font.setStyleStrategy(Qt.QFont.NoSubpixelAntialias)  # a picture is seen on other screens, too
        app.setFont(font)
    if dark:
        app.setStyle("fusion")
        app.setPalette(darkPalette())
    return app
