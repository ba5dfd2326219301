"""The login dialog: user name and password, or a token, checked against SciCat."""

from __future__ import annotations

from functools import partial

from taurus.external.qt import Qt

from ingest.scicat import NotAllowed, SciCat
from taurus_widgets.qt.calls import Call, Calls
from taurus_widgets.qt.painting import colours
from taurus_widgets.qt.text import tooltip
from taurus_widgets.scanlog.data.feed import problem_text
from taurus_widgets.scanlog.data.state_folder import stateFolder
from taurus_widgets.scanlog.data.token_file import StoredLogin

LOGIN_TIMEOUT_SECONDS = 10.0
"""Time-out of the check of a login."""


class LoginDialog(Qt.QDialog):
    """Asks for name and password, or for a token, and checks them."""

    loggedIn = Qt.Signal(str, str, str, bool)
    """User name, password ("" if it is not to be remembered), token, and whether to store the token on disk."""

    def __init__(self, calls: Calls, url: str, username: str, why: str, parent: Qt.QWidget) -> None:
        super().__init__(parent)
        self._calls = calls
        self._call: Call | None = None
        self._url = url
        self.setWindowTitle("Log in to SciCat")
        self.name, self.password, self.token = Qt.QLineEdit(username), Qt.QLineEdit(), Qt.QLineEdit()
        self.password.setEchoMode(Qt.QLineEdit.Password)
        self.token.setEchoMode(Qt.QLineEdit.Password)
        self.token.setPlaceholderText("As SciCat shows it under your name, in User settings")
        self.stay = Qt.QCheckBox("Log in again by itself while this window is open")
        self.stay.setToolTip(tooltip("The password stays in this program's memory until it ends, and nowhere else."))
        self.keep = Qt.QCheckBox("Remember the login on this computer")
        self.keep.setToolTip(
            tooltip(f"The token, not the password, in a file in {stateFolder()} that only you can read.")
        )
        self.why, self.says = self._label(f"{why}\n{url}".strip()), self._label("")
        self.tabs = Qt.QTabWidget()
        self.tabs.addTab(self._form({"&User": self.name, "&Password": self.password, "": self.stay}), "Password")
        self.tabs.addTab(self._form({"&Token": self.token}), "Token")
        self.buttons = Qt.QDialogButtonBox(Qt.QDialogButtonBox.Cancel)
        self.logIn = self.buttons.addButton("Log in", Qt.QDialogButtonBox.AcceptRole)
        self.buttons.accepted.connect(self._try)
        self.buttons.rejected.connect(self.reject)
        layout = Qt.QVBoxLayout(self)
        for part in (self.why, self.tabs, self.keep, self.says, self.buttons):
            layout.addWidget(part)
        # Only now: before, the buttons have no dialog.
        self.buttons.button(Qt.QDialogButtonBox.Cancel).setAutoDefault(False)
        self.logIn.setDefault(True)
        for edit in (self.name, self.password, self.token):
            edit.textChanged.connect(self._enable)
        self.tabs.currentChanged.connect(self._enable)
        self.setMinimumWidth(self.fontMetrics().averageCharWidth() * 70)
        (self.password if username else self.name).setFocus()
        self._enable()

    def done(self, result: int) -> None:
        if self._call is not None:
            self._call.cancel()
        self.password.clear()
        self.token.clear()
        super().done(result)

    def _label(self, text: str) -> Qt.QLabel:
        label = Qt.QLabel(text)
        label.setTextFormat(Qt.Qt.PlainText)
        label.setWordWrap(True)
        return label

    def _form(self, fields: dict[str, Qt.QWidget]) -> Qt.QWidget:
        page = Qt.QWidget()
        form = Qt.QFormLayout(page)
        for name, widget in fields.items():
            form.addRow(name, widget)
        return page

    def _enable(self) -> None:
        by_token = self.tabs.currentIndex() == 1
        full = bool(self.token.text().strip() if by_token else self.name.text().strip() and self.password.text())
        self.logIn.setEnabled(full and self._call is None)

    def _say(self, text: str, problem: bool = True) -> None:
        palette = self.says.palette()
        shades = colours(self.palette())
        palette.setColor(Qt.QPalette.WindowText, Qt.QColor(shades.problem if problem else shades.muted))
        self.says.setPalette(palette)
        self.says.setText(text)

    def _try(self) -> None:
        if self.tabs.currentIndex() == 1:
            words = self.token.text().split()
            scicat = SciCat(
                self._url, token=words[-1] if words else "", timeout=LOGIN_TIMEOUT_SECONDS
            )  # "Bearer x" is pasted, too
            password = ""
        else:
            password = self.password.text()
            scicat = SciCat(self._url, self.name.text().strip(), password, timeout=LOGIN_TIMEOUT_SECONDS)
        self._say("Asking SciCat", problem=False)
        self._call = self._calls.run(partial(_log_in, scicat), partial(self._found, password), self._failed)
        self._enable()

    def _found(self, password: str, found: StoredLogin | None) -> None:
        self._call = None
        self._enable()
        if found is None:
            self._say("SciCat does not accept this token: it is wrong or has expired.")
            return
        self.loggedIn.emit(
            found.username, password if self.stay.isChecked() else "", found.token, self.keep.isChecked()
        )
        self.accept()

    def _failed(self, error: Exception) -> None:
        self._call = None
        self._enable()
        wrong = isinstance(error, NotAllowed)
        self._say("SciCat refuses it: the user or the password is wrong." if wrong else f"{problem_text(error)}.")
        if wrong:
            self.password.setFocus()
            self.password.selectAll()


def _log_in(scicat: SciCat) -> StoredLogin | None:
    """The login with its token; None if the token is invalid."""
    if scicat.username:
        scicat.login()
        return StoredLogin(scicat.username, scicat.token)
    who = scicat.whoami()
    return StoredLogin(str(who["username"]), scicat.token) if who else None
