"""The Qt application for a stand-alone window. In a TaurusGUI there is one already."""

from __future__ import annotations

import gc

from taurus.external.qt import Qt

from taurus_widgets.qt.painting import darkPalette

OFFSCREEN_POINTS = 9.0
"""Font size without a desktop: Qt's default of 12 points is larger than on any desktop."""


def makeApplication(dark: bool = False) -> Qt.QApplication:
    """The application, created if there is none. Keep a reference as long as there are widgets.

    `dark` is for desktops without a dark theme, and for pictures.
    """
    # Imported modules live until the end: collecting them again and again would block the window for 70 ms.
    gc.collect()
    gc.freeze()
    app = Qt.QApplication.instance() or Qt.QApplication(["scanlog"])
    if app.platformName() == "offscreen":
        font = app.font()
        font.setPointSizeF(OFFSCREEN_POINTS)
        font.setStyleStrategy(Qt.QFont.NoSubpixelAntialias)  # pictures are looked at on other screens, too
        app.setFont(font)
    if dark:
        app.setStyle("fusion")
        app.setPalette(darkPalette())
    return app
