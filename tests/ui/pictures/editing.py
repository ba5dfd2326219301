"""Pictures of editing in the scan log, and of its dialogs: called by tests.ui.pictures.scanlog."""

from __future__ import annotations

from collections.abc import Callable

from taurus.external.qt import Qt

from ingest.scicat import SciCat
from taurus_widgets.qt import imaging
from taurus_widgets.scanlog import ScanLog
from taurus_widgets.scanlog.data.outbox import COMMENT, RATING
from taurus_widgets.scanlog.dialogs.edits import ConflictDialog
from taurus_widgets.scanlog.editing.delegates import CommentField
from taurus_widgets.scanlog.features.editing import Editing
from tests.builders.scicat_datasets import Json
from tests.servers.catalogue import INGESTOR, Catalogue
from tests.ui.catalogue_faults import failing

Picture = Callable[[Qt.QWidget, str], None]
"""Draw this widget under this name."""
WaitUntil = Callable[[Callable[[], bool]], None]


def drawEditing(log: ScanLog, catalogue: Catalogue, picture: Picture, waitUntil: WaitUntil) -> None:
    """Draw the pictures with a log of the catalogue's rows, newest first, for a user who may write."""
    part, login = log.editing, log.login
    scicat = SciCat(catalogue.url, INGESTOR.username, INGESTOR.password)
    pids = [row["pid"] for row in map(log.scans.dataset, range(8)) if row is not None]
    rows = [row for row in map(scicat.dataset, pids) if row is not None]
    for number, row in enumerate(rows[1:6]):
        scicat.attach(row["pid"], row["ownerGroup"], f"scan-{number}.png", imaging.fromImage(plot(number)))
    for row in rows:
        part.thumbnails.invalidate(row["pid"])
    keys = [column.key for column in log.scans.columns]
    log.table.edit(log.scans.index(3, keys.index("comment")))
    waitUntil(lambda: all(pid in part.thumbnails._thumbnails for pid in pids))
    editor = log.table.findChildren(CommentField)[0]
    editor.setPlainText("detector moved by 2 mm after this one\nuse the new mask from here on")
    picture(log, "comment")
    editor.ended.emit()
    waitUntil(lambda: not part.edits.unsent)
    with failing(catalogue, {"do": "cut", "method": "PATCH"}, {"do": "cut", "method": "POST", "path": "attachments"}):
        part.write(rows[2], RATING, 2.5, rows[2].get(RATING))
        part.write(rows[2], COMMENT, "written while SciCat was away", rows[2].get(COMMENT))
        part.addPicture(rows[6], imaging.fromImage(plot(6)), "screen.png")
        waitUntil(lambda: "does not answer" in part.notice.label.text())
        picture(log, "waiting")
        part.notice.pressed.emit()
        assert part.waiting is not None
        picture(part.waiting, "waiting-edits")
        part.waiting.close()
    part.edits.resume()
    waitUntil(lambda: not part.edits.unsent)
    _drawClash(log, part, scicat, rows[5], picture, waitUntil)
    login.notice.say(
        "The login of ada has expired: only public data is shown, and edits wait.", "Log in…", problem=True
    )
    picture(log, "expired")
    login.notice.say("")
    login.ask("Your login has expired. Your edit is kept.")
    assert login.dialog is not None
    login.dialog.name.setText("ada")
    login.dialog.password.setText("not the right one")
    login.dialog.logIn.click()
    dialog = login.dialog
    waitUntil(lambda: "is wrong" in dialog.says.text())
    picture(dialog, "login")
    dialog.close()
    part.thumbnails.view(log.scans.index(2, 0))
    viewer = part.thumbnails.viewer
    assert viewer is not None
    waitUntil(lambda: "of" in viewer.caption.text())
    picture(viewer, "viewer")
    viewer.close()


def _drawClash(log: ScanLog, part: Editing, scicat: SciCat, row: Json, picture: Picture, waitUntil: WaitUntil) -> None:
    scicat.patch_dataset(row["pid"], {"comment": "sample was changed before this scan"})
    part.write(row, COMMENT, "looks noisy: repeat with 1 s", row.get(COMMENT))
    waitUntil(lambda: part.conflict is not None)
    assert isinstance(part.conflict, ConflictDialog)
    picture(part.conflict, "two-people")
    part.conflict.reject()
    picture(log, "decide")
    part.edits.discard(part.edits.unsent[0])


def plot(number: int) -> Qt.QImage:
    """A picture that resembles the plot of a scan."""
    image = Qt.QImage(640, 420, Qt.QImage.Format_RGB32)
    image.fill(Qt.Qt.white)
    painter = Qt.QPainter(image)
    painter.setRenderHint(Qt.QPainter.Antialiasing)
    painter.setPen(Qt.QPen(Qt.QColor("#444444"), 2))
    painter.drawRect(60, 30, 550, 330)
    painter.setPen(Qt.QPen(Qt.QColor("#0072b2"), 5))
    points = []
    for step in range(41):
        x = step / 40
        height = 0.1 + 0.8 / (1 + ((x - 0.25 - number * 0.1) / 0.06) ** 2)
        points.append(Qt.QPointF(60 + 550 * x, 360 - 330 * height))
    painter.drawPolyline(Qt.QPolygonF(points))
    painter.end()
    return image
