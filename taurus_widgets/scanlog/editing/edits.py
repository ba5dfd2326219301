"""The queue of this window's edits: saved on disk, sent to SciCat, retried, or waiting for a decision."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import threading
import time
import uuid
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from taurus.external.qt import Qt

from ingest.scicat import Expired, NotAllowed, SciCat, SciCatError
from taurus_widgets.qt.calls import Calls
from taurus_widgets.scanlog.data.columns import PROVISIONAL, Json, clock, line
from taurus_widgets.scanlog.data.feed import problem_text
from taurus_widgets.scanlog.data.outbox import PICTURE, Claim, Edit, Outbox, normal
from taurus_widgets.scanlog.data.send_edit import EditConflict, EditSent, send

CONFIRM_SECONDS = 2.0
"""After this time an edit is read back: a write of metadata that began earlier may have undone it."""

RETRY_PAUSES_SECONDS = (2.0, 4.0, 8.0, 15.0, 30.0)
"""Pauses between attempts while SciCat is not available; the last one is repeated."""

DATASET_WAIT_SECONDS = 600.0
"""How long an edit waits for a dataset that was in SciCat and is not found: a replica may lag behind."""

DISK_CLOSE_SECONDS = 2.0
"""How long a closing window waits for the disk."""


class EditState(enum.Enum):
    """The state of an edit in the queue."""

    PENDING = "on its way"
    WAITING = "SciCat does not answer"
    EARLY = "the scan is not in the catalogue yet"
    LOGIN = "needs a login"
    CONFLICT = "somebody else was first"
    REFUSED = "refused"
    SENT = "in SciCat"


WAITING_STATES = (EditState.WAITING, EditState.EARLY, EditState.LOGIN)
"""Sent automatically as soon as the reason is gone."""

NOT_IN_CATALOGUE = "The scan is not in the catalogue yet. The edit is kept, and sent as soon as the scan is there."

DECISION_STATES = (EditState.CONFLICT, EditState.REFUSED)
"""A person must decide."""


@dataclass(eq=False)
class QueuedEdit:
    """An edit, its state, and `why` for people. `theirs` is the dataset with the value of the other person."""

    edit: Edit
    state: EditState = EditState.PENDING
    why: str = ""
    theirs: Json = field(default_factory=dict)
    made_here: bool = True
    """Made in this window, not read from disk."""
    due: float = 0.0
    tries: int = 0
    kept: threading.Event = field(default_factory=threading.Event)
    unsafe: str = ""
    """Why it could not be saved on disk; "" if it is saved."""

    @property
    def place(self) -> tuple[str, str]:
        return self.edit.pid, self.edit.field


class EditQueue(Qt.QObject):
    """All methods are for the window's thread, and none of them waits.

    One edit is sent at a time, oldest first: concurrent writes of one dataset can undo each other in SciCat.
    """

    changed = Qt.Signal(str)
    """pid of a dataset whose edits have changed their state."""
    arrived = Qt.Signal(object)
    """The QueuedEdit that is now in SciCat."""
    asked = Qt.Signal(object)
    """A QueuedEdit that needs a decision: CONFLICT or REFUSED."""
    loginNeeded = Qt.Signal()
    """SciCat refuses an edit of this window because the login has expired."""

    def __init__(self, folder: Path, parent: Qt.QObject | None = None) -> None:
        super().__init__(parent)
        self._outbox = Outbox(folder)
        self._disk, self._net = Calls(self, threads=1, finish_all=True), Calls(self, threads=1)
        self._scicat: SciCat | None = None
        self._queue: list[QueuedEdit] = []
        self._shown: dict[tuple[str, str], QueuedEdit] = {}
        self._sending: QueuedEdit | None = None
        self._hold = 0.0
        self._timer = Qt.QTimer(self)
        self._timer.setInterval(250)
        self._timer.timeout.connect(self._next)

    # ------------------------------------------------------------------------ use

    def setAccount(self, scicat: SciCat) -> None:
        """Use this login from now on. Edits of earlier windows for this catalogue are sent, too."""
        if self._scicat is None or self._scicat.base_url != scicat.base_url:
            self._queue.clear()
            self._shown.clear()
            self._disk.run(self._outbox.edits, partial(self._found, scicat.base_url), self._unread)
        self._scicat = scicat
        self.resume()

    def resume(self) -> None:
        """Retry all waiting edits now, after a login or on request."""
        self._hold = 0.0
        for queued in self._queue:
            if queued.state in WAITING_STATES:
                self._become(queued, EditState.PENDING)
                queued.due = 0.0
        self._timer.start()

    def change(
        self, dataset: Json, name: str, value: Any, seen: Any = None, caption: str = "", title: str = ""
    ) -> None:
        """Write this value. `seen` is the value shown when the edit began. Needs a login."""
        assert self._scicat is not None
        earlier = self._shown.get((dataset["pid"], name)) if name != PICTURE else None
        before: tuple[Any, ...] = (seen,)
        if earlier is not None:
            # The shown value was an earlier edit of the same person.
            before = tuple(dict.fromkeys((*earlier.edit.before, earlier.edit.value, seen)))
        early = bool(dataset.get(PROVISIONAL))
        edit = Edit(
            *(self._scicat.base_url, self._scicat.username, dataset["pid"], name, value, before, caption, title, early)
        )
        self._add(QueuedEdit(edit, EditState.EARLY, NOT_IN_CATALOGUE) if early else QueuedEdit(edit))
        if earlier is not None and earlier is not self._sending:
            self._forget(earlier)

    def answer(self, queued: QueuedEdit, value: Any) -> None:
        """Resolve a CONFLICT: this value replaces the one of the other person."""
        theirs = queued.theirs.get(queued.edit.field)
        if normal(queued.edit.field, value) != normal(queued.edit.field, theirs):
            edit = queued.edit
            self._add(
                QueuedEdit(
                    Edit(edit.catalogue, edit.username, edit.pid, edit.field, value, (theirs,), title=edit.title)
                )
            )
        self._forget(queued)

    def confirm(self, expected: str, pid: str) -> None:
        """The scan whose row had the pid `expected` is in the catalogue as `pid`: its edits can be sent."""
        for queued in [queued for queued in self.unsent if queued.edit.pid == expected]:
            if pid == expected:
                self.retry(queued)
            else:
                self._add(QueuedEdit(dataclasses.replace(queued.edit, pid=pid, key=uuid.uuid4().hex)))
                self._forget(queued)

    def discard(self, queued: QueuedEdit) -> None:
        """Delete the edit without sending it."""
        self._forget(queued)

    def retry(self, queued: QueuedEdit) -> None:
        """Retry one edit now."""
        self._become(queued, EditState.PENDING)
        queued.due = self._hold = 0.0
        self._timer.start()

    @property
    def unsent(self) -> list[QueuedEdit]:
        """All edits that are not in SciCat, oldest first."""
        return [queued for queued in self._queue if queued.state is not EditState.SENT]

    def shown(self, dataset: Json, name: str) -> tuple[Any, QueuedEdit | None]:
        """The value to show for a dataset, and the unsent edit that it comes from, if any."""
        queued = self._shown.get((dataset["pid"], name))
        if queued is None:
            return dataset.get(name), None
        if queued.state is not EditState.SENT:
            return queued.edit.value, queued
        # Until the row is read again: otherwise the old value would appear for a moment.
        if str(dataset.get("updatedAt", "")) < str(queued.theirs.get("updatedAt", "")):
            return queued.edit.value, None
        if queued not in self._queue:
            del self._shown[queued.place]
        return dataset.get(name), None

    def pictures(self, pid: str) -> list[QueuedEdit]:
        """The dataset's pictures that are not in SciCat yet."""
        return [queued for queued in self.unsent if queued.place == (pid, PICTURE)]

    def stop(self) -> None:
        """Stop sending. New edits are on disk when this returns, if the disk answers within DISK_CLOSE_SECONDS."""
        self._timer.stop()
        self._net.stop()
        written = threading.Event()
        self._disk.run(written.set, _nothing, _nothing)
        self._disk.stop()
        written.wait(DISK_CLOSE_SECONDS)

    def restart(self) -> None:
        """Continue after `stop`, once there is an account. An edit that was being sent is sent again."""
        self._sending = None
        self._disk.restart()
        self._net.restart()

    # ----------------------------------------------------------------------- disk

    def _add(self, queued: QueuedEdit) -> None:
        self._queue.append(queued)
        if queued.edit.field != PICTURE:
            self._shown[queued.place] = queued
        self._disk.run(partial(self._keep, queued), self._kept, partial(self._notKept, queued))
        self.changed.emit(queued.edit.pid)
        self._timer.start()

    def _keep(self, queued: QueuedEdit) -> None:
        self._outbox.put(queued.edit)
        queued.kept.set()

    def _kept(self, _: object) -> None:
        self._next()

    def _notKept(self, queued: QueuedEdit, error: Exception) -> None:
        """The edit is still sent, from memory."""
        queued.unsafe = line(error)
        self.changed.emit(queued.edit.pid)
        self._next()

    def _forget(self, queued: QueuedEdit) -> None:
        if queued in self._queue:
            self._queue.remove(queued)
        if self._shown.get(queued.place) is queued:
            del self._shown[queued.place]
        # The disk has one thread, so this runs after the edit was saved.
        self._disk.run(partial(self._outbox.drop, queued.edit), _nothing, _nothing)
        self.changed.emit(queued.edit.pid)

    def _found(self, catalogue: str, edits: list[Edit]) -> None:
        if self._scicat is None or self._scicat.base_url != catalogue:
            return
        known = {queued.edit.key for queued in self._queue}
        found = [
            QueuedEdit(edit, made_here=False) for edit in edits if edit.catalogue == catalogue and edit.key not in known
        ]
        self._queue[:0] = found
        newer, self._shown = self._shown, {}
        for queued in found:
            queued.kept.set()
            if queued.edit.field != PICTURE:
                self._shown[queued.place] = queued  # if there are several, the last one
        self._shown.update(newer)
        for pid in {queued.edit.pid for queued in found}:
            self.changed.emit(pid)
        self._timer.start()

    def _unread(self, error: Exception) -> None:
        Qt.qWarning(f"Cannot read the edits that wait for SciCat: {error}".encode())

    # -------------------------------------------------------------------- sending

    def _next(self) -> None:
        """Send the oldest edit that is due."""
        now = time.monotonic()
        if self._sending is not None or self._scicat is None or now < self._hold:
            return
        for queued in list(self._queue):
            if (
                queued.state in DECISION_STATES
                or not (queued.kept.is_set() or queued.unsafe)
                or not self._is_ours(queued)
            ):
                continue
            if queued.due <= now:
                self._send(self._scicat, queued)
                return
        if not self._queue:
            self._timer.stop()

    def _is_ours(self, queued: QueuedEdit) -> bool:
        """Whether the author of the edit is logged in: an edit is never sent with another account."""
        assert self._scicat is not None
        if queued.edit.username == self._scicat.username:
            return queued.state is not EditState.LOGIN
        if queued.state is EditState.SENT:
            self._forget(queued)
        else:
            self._become(queued, EditState.LOGIN, f"It is sent as soon as {queued.edit.username} logs in.")
        return False

    def _send(self, scicat: SciCat, queued: QueuedEdit) -> None:
        self._sending = queued
        last = queued.edit.field == PICTURE or queued.state is EditState.SENT
        self._net.run(
            partial(self._work, scicat, queued, last), partial(self._sent, queued), partial(self._failed, queued)
        )

    def _work(self, scicat: SciCat, queued: QueuedEdit, last: bool) -> EditSent | EditConflict | Claim:
        """Runs in the thread. With `last`, the edit is deleted from disk after it was sent."""
        if queued.unsafe:
            return send(scicat, queued.edit)
        with self._outbox.claimed(queued.edit) as claim:
            if claim is not Claim.OURS:
                return claim
            answer = send(scicat, queued.edit)
            if last and isinstance(answer, EditSent):
                self._outbox.drop(queued.edit)
            return answer

    def _sent(self, queued: QueuedEdit, answer: EditSent | EditConflict | Claim) -> None:
        self._sending = None
        if queued not in self._queue:
            self._forget(queued)
        elif answer is Claim.BUSY:
            queued.due = time.monotonic() + RETRY_PAUSES_SECONDS[0]
        elif answer is Claim.GONE:
            self._forget(queued)
        elif isinstance(answer, EditSent):
            self._done(queued, answer.dataset)
        elif isinstance(answer, EditConflict):
            self._conflicted(queued, answer.dataset)
        self._next()

    def _done(self, queued: QueuedEdit, dataset: Json) -> None:
        confirmed = queued.state is EditState.SENT
        queued.theirs = dataset
        if queued.edit.field == PICTURE or confirmed:
            self._queue.remove(queued)
        else:
            queued.due = time.monotonic() + CONFIRM_SECONDS
        if not confirmed:
            self._become(queued, EditState.SENT)
            self.arrived.emit(queued)

    def _conflicted(self, queued: QueuedEdit, dataset: Json) -> None:
        if self._is_over(queued):
            self._forget(queued)
            return
        queued.theirs = dataset
        who = line(dataset.get("updatedBy")) or "Somebody"
        self._become(queued, EditState.CONFLICT, f"{who} has changed it as well, at {clock(dataset.get('updatedAt'))}.")
        self.asked.emit(queued)

    def _is_over(self, queued: QueuedEdit) -> bool:
        """Whether it was in SciCat and somebody has edited it since, or its author has written a newer edit."""
        newest = queued.edit.field == PICTURE or self._shown.get(queued.place) is queued
        return queued.state is EditState.SENT or not newest

    def _failed(self, queued: QueuedEdit, error: Exception) -> None:
        self._sending = None
        pause = max(
            RETRY_PAUSES_SECONDS[min(queued.tries, len(RETRY_PAUSES_SECONDS) - 1)], getattr(error, "retry_after", 0.0)
        )
        queued.tries += 1
        queued.due = time.monotonic() + pause
        age = time.time() - dt.datetime.fromisoformat(queued.edit.made).timestamp()
        if isinstance(error, SciCatError) and error.status == 0:
            self._hold = queued.due  # other edits would fail in the same way
        if queued not in self._queue or (self._is_over(queued) and not _temporary(error)):
            self._forget(queued)
        elif isinstance(error, Expired):
            self._become(queued, EditState.LOGIN, "Your login has expired. It is sent as soon as you have logged in.")
            self.loginNeeded.emit()
        elif isinstance(error, NotAllowed):
            self._refuse(queued, f"SciCat does not let {queued.edit.username} change this dataset.")
        elif _temporary(error):
            self._become(queued, EditState.WAITING, f"{problem_text(error)}; retrying.")
            self._holdOthers(queued)
        elif (
            isinstance(error, SciCatError) and error.status == 404 and (queued.edit.early or age < DATASET_WAIT_SECONDS)
        ):
            self._become(queued, EditState.EARLY, NOT_IN_CATALOGUE)
        else:
            self._refuse(queued, f"SciCat refuses it: {line(error)}")
        self._next()

    def _holdOthers(self, queued: QueuedEdit) -> None:
        """Mark the edits behind one that got no answer as waiting for the same reason."""
        for other in self._queue:
            if other.state is EditState.PENDING and queued.due == self._hold:
                self._become(other, EditState.WAITING, queued.why)

    def _refuse(self, queued: QueuedEdit, why: str) -> None:
        self._become(queued, EditState.REFUSED, why)
        self.asked.emit(queued)

    def _become(self, queued: QueuedEdit, state: EditState, why: str = "") -> None:
        if queued.state is EditState.SENT and state is EditState.WAITING:
            return  # it is in SciCat; it is confirmed later
        if (queued.state, queued.why) != (state, why):
            queued.state, queued.why = state, why
            self.changed.emit(queued.edit.pid)


def _temporary(error: Exception) -> bool:
    return isinstance(error, SciCatError) and error.temporary


def _nothing(_: object) -> None:
    """Ignore the result."""
