"""The colours of all widgets, for light and dark desktops, and the styles of their tables."""

from __future__ import annotations

from dataclasses import dataclass

from taurus.external.qt import Qt


@dataclass(frozen=True)
class Colours:
    """Colours by meaning, as #rrggbb. `status` has one for each status of a scan.

    `field` is behind rows and fields, `pane` behind bars and side panes, `wrong` behind a row with a mistake. Texts are
    `text` and `muted`; the one accent is for the main button, links and the focus.
    """

    status: dict[str, str]
    star: str
    problem: str
    muted: str
    selection: str
    text: str
    disabled: str
    field: str
    pane: str
    hover: str
    chip: str
    wrong: str
    line: str
    edge: str
    accent: str
    onAccent: str


LIGHT = Colours(
    status={
        "running": "#0072b2",
        "completed": "#00845f",
        "stopped": "#5f5f5f",
        "aborted": "#8f5f00",
        "failed": "#c44e00",
        "interrupted": "#a8508a",
    },
    star="#c78a00",
    problem="#a84300",
    muted="#5f6670",
    selection="#dcebf8",
    text="#1d2126",
    disabled="#8a9099",
    field="#ffffff",
    pane="#f5f7f9",
    hover="#eef2f6",
    chip="#e6eaef",
    wrong="#fdf0ec",
    line="#e3e7eb",
    edge="#c3cad2",
    accent="#1463b8",
    onAccent="#ffffff",
)
DARK = Colours(
    status={
        "running": "#56b4e9",
        "completed": "#35b88f",
        "stopped": "#a0a0a0",
        "aborted": "#e69f00",
        "failed": "#ff7f3f",
        "interrupted": "#d98cbc",
    },
    star="#e6b422",
    problem="#ff9a5c",
    muted="#a0a5ab",
    selection="#22384c",
    text="#d6d6d6",
    disabled="#7a7a7a",
    field="#1d1f21",
    pane="#26282b",
    hover="#34383c",
    chip="#34383c",
    wrong="#38261f",
    line="#303337",
    edge="#4a4f54",
    accent="#58aaf5",
    onAccent="#0b1620",
)


def isDark(palette: Qt.QPalette) -> bool:
    return bool(palette.color(Qt.QPalette.Base).lightness() < 128)


def colours(palette: Qt.QPalette) -> Colours:
    return DARK if isDark(palette) else LIGHT


def darkPalette() -> Qt.QPalette:
    """A dark palette for a desktop without a dark theme."""
    palette = Qt.QPalette()
    for role, colour in {
        Qt.QPalette.Window: "#26282b",
        Qt.QPalette.Base: "#1d1f21",
        Qt.QPalette.AlternateBase: "#232629",
        Qt.QPalette.Button: "#303337",
        Qt.QPalette.ToolTipBase: "#303337",
        Qt.QPalette.WindowText: "#d6d6d6",
        Qt.QPalette.Text: "#d6d6d6",
        Qt.QPalette.ButtonText: "#d6d6d6",
        Qt.QPalette.ToolTipText: "#d6d6d6",
        Qt.QPalette.BrightText: "#ffffff",
        Qt.QPalette.Link: "#56b4e9",
        Qt.QPalette.Light: "#3a3e42",
        Qt.QPalette.Midlight: "#34373b",
        Qt.QPalette.Mid: "#3f4347",
        Qt.QPalette.Dark: "#191b1d",
        Qt.QPalette.Shadow: "#0f1011",
        Qt.QPalette.Highlight: "#2b4a63",
        Qt.QPalette.HighlightedText: "#ffffff",
    }.items():
        palette.setColor(role, Qt.QColor(colour))
    for role in (Qt.QPalette.WindowText, Qt.QPalette.Text, Qt.QPalette.ButtonText):
        palette.setColor(Qt.QPalette.Disabled, role, Qt.QColor("#7a7a7a"))
    return palette


def quietSelection(palette: Qt.QPalette) -> Qt.QPalette:
    """The palette with a selection in which the coloured signs stay readable."""
    quiet = Qt.QPalette(palette)
    for group in (Qt.QPalette.Active, Qt.QPalette.Inactive):
        quiet.setColor(group, Qt.QPalette.Highlight, Qt.QColor(colours(palette).selection))
        quiet.setColor(group, Qt.QPalette.HighlightedText, palette.color(Qt.QPalette.Text))
    return quiet


def headerStyle(metrics: Qt.QFontMetrics) -> str:
    """A flat header whose text is aligned with the text of the cells."""
    return (
        "QHeaderView { background: palette(window); border: none; }"
        "QHeaderView::section { background: palette(window); color: palette(window-text); border: none;"
        f" border-bottom: 1px solid palette(mid); padding: 3px {padding(metrics)}px; }}"
    )


def cellStyle(metrics: Qt.QFontMetrics) -> str:
    """For a table with Qt's own delegate: aligns the text of its cells with `headerStyle`."""
    return f"QTableView::item {{ padding: 0 {padding(metrics) - 3}px; }}"


def padding(metrics: Qt.QFontMetrics) -> int:
    """Pixels between a cell's edge and its text."""
    return int(metrics.averageCharWidth())


class ConnectionSign(Qt.QWidget):
    """The state of a connection: a ring while connecting, a dot when connected, a triangle for a problem."""

    def __init__(self, parent: Qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self._connected = self._wrong = False
        side = self.fontMetrics().ascent()
        self.setFixedSize(side, side)

    def showState(self, connected: bool, wrong: bool) -> None:
        self._connected, self._wrong = connected, wrong
        self.update()

    def paintEvent(self, event: Qt.QPaintEvent) -> None:
        shades = colours(self.palette())
        painter = Qt.QPainter(self)
        painter.setRenderHint(Qt.QPainter.Antialiasing)
        painter.scale(self.width() / 16, self.height() / 16)
        if self._wrong:
            painter.setPen(Qt.Qt.NoPen)
            painter.setBrush(Qt.QColor(shades.problem))
            painter.drawPolygon(Qt.QPolygonF([Qt.QPointF(8, 1.5), Qt.QPointF(15.5, 14.5), Qt.QPointF(0.5, 14.5)]))
            return
        shade = Qt.QColor(shades.status["completed"])
        painter.setPen(Qt.QPen(shade, 2))
        painter.setBrush(shade if self._connected else Qt.QBrush(Qt.Qt.NoBrush))
        painter.drawEllipse(Qt.QRectF(3.5, 3.5, 9, 9))
