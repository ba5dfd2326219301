"""Who is logged in to SciCat: the button in the tool bar, the stored token, and the check that it is still valid.

The token is in memory, or also in a file of mode 0600 if the user wants that. The password is dropped once there
is a token, unless the user wants to be logged in again automatically: then it stays in memory with the window.
"""

from __future__ import annotations

from functools import partial

from taurus.external.qt import Qt

from ingest.scicat import SciCat
from taurus_widgets.qt.notice import Notice
from taurus_widgets.qt.text import tooltip
from taurus_widgets.scanlog.data.state_folder import stateFolder
from taurus_widgets.scanlog.data.token_file import StoredLogin, TokenFile
from taurus_widgets.scanlog.dialogs.login import LoginDialog
from taurus_widgets.scanlog.view import LogView

LOGIN_CHECK_MS = 30_000
"""Time between checks that the login is still valid."""


class Login(Qt.QObject):
    """Shows in the tool bar who is logged in, detects an expired login, and opens the login dialog."""

    def __init__(self, log: LogView) -> None:
        super().__init__(log)
        self._log = log
        self._expected = ""
        self.dialog: LoginDialog | None = None
        self.notice = Notice(log)
        log.layout().insertWidget(1, self.notice)
        self.button = Qt.QToolButton(log)
        self.button.setAutoRaise(True)
        self.button.setPopupMode(Qt.QToolButton.InstantPopup)
        self.button.setFocusPolicy(Qt.Qt.TabFocus)
        self.button.setStyleSheet("QToolButton { padding: 2px 16px 2px 6px; }")  # room for the arrow of the menu
        menu = Qt.QMenu(self.button)
        self.logIn = menu.addAction("Log in…", lambda: self.ask(""))
        self.logOut = menu.addAction("Log out", self._logOut)
        self.button.setMenu(menu)
        space = Qt.QWidget(log)
        space.setSizePolicy(Qt.QSizePolicy.Expanding, Qt.QSizePolicy.Preferred)
        log.toolBar.addWidget(space)
        log.toolBar.addWidget(self.button)
        self.notice.pressed.connect(lambda: self.ask(""))
        log.loginWanted.connect(self.ask)
        log.catalogueChanged.connect(self._catalogueChanged)
        self._timer = Qt.QTimer(self)
        self._timer.timeout.connect(self.check)
        self._timer.start(LOGIN_CHECK_MS)
        self._show()

    def expect(self, username: str) -> None:
        """Set the user of the next catalogue: without a stored login of this user, the dialog opens."""
        self._expected = username

    def ask(self, why: str) -> None:
        """Open the dialog, unless it is open."""
        scicat = self._log.scicat
        if scicat is None or (self.dialog is not None and self.dialog.isVisible()):
            return
        name, self._expected = scicat.username or self._expected, ""
        self.dialog = LoginDialog(self._log.calls, scicat.base_url, name, why, self._log)
        self.dialog.setAttribute(Qt.Qt.WA_DeleteOnClose)
        self.dialog.destroyed.connect(self._closed)
        self.dialog.loggedIn.connect(self._loggedIn)
        self.dialog.open()

    def check(self) -> None:
        """Check that the login is still valid. A login with a password renews itself."""
        scicat = self._log.scicat
        if scicat is not None and not scicat.anonymous and not scicat.renewable:
            self._log.calls.run(scicat.whoami, partial(self._checked, scicat, scicat.token), _ignore, "whoami")

    # ------------------------------------------------------------------------ private

    def _file(self, scicat: SciCat) -> TokenFile:
        return TokenFile(stateFolder(), scicat.base_url)

    def _closed(self) -> None:
        self.dialog = None

    def _catalogueChanged(self) -> None:
        """Use the login that is stored for the new catalogue, if there is one."""
        self.notice.say("")
        scicat = self._log.scicat
        if scicat is not None and scicat.anonymous:
            self._log.calls.run(self._file(scicat).read, partial(self._loginRead, scicat), self._loginNotRead, "login")
        self._show()
        self.check()

    def _loginRead(self, scicat: SciCat, login: StoredLogin | None) -> None:
        if scicat is not self._log.scicat or not scicat.anonymous:
            return
        if login is not None and self._expected in ("", login.username):
            self._use(login.username, "", login.token)
        elif self._expected:
            self.ask("")

    def _loginNotRead(self, error: Exception) -> None:
        self.notice.say(f"The stored login cannot be used: {error}", "Log in…", problem=True)
        if self._expected:
            self.ask("")

    def _loggedIn(self, username: str, password: str, token: str, keep: bool) -> None:
        scicat = self._log.scicat
        if scicat is None:
            return
        file = self._file(scicat)
        if keep:
            self._log.calls.run(partial(file.write, StoredLogin(username, token)), _ignore, self._notWritten)
        else:
            self._log.calls.run(file.remove, _ignore, _ignore)
        self._use(username, password, token)

    def _notWritten(self, error: Exception) -> None:
        self.notice.showBriefly(
            f"You are logged in, but the login could not be stored on this computer: {error}", problem=True
        )

    def _use(self, username: str, password: str, token: str) -> None:
        """Use this login. All rows are read again for another account, but not for the same one."""
        scicat = self._log.scicat
        assert scicat is not None
        other = scicat.username != username
        scicat.use(username, password, token)
        self.notice.say("")
        if other:
            self._log.setCatalogue(scicat, self._log.query.proposal)
        self._show()
        self._log.loginChanged.emit()

    def _logOut(self) -> None:
        scicat = self._log.scicat
        if scicat is not None:
            self._log.calls.run(self._file(scicat).remove, self._loggedOut, self._loginNotRead)

    def _loggedOut(self, _: object) -> None:
        self._use("", "", "")

    def _checked(self, scicat: SciCat, token: str, who: object) -> None:
        if scicat is not self._log.scicat or scicat.token != token or who is not None:
            return
        self.notice.say(
            f"The login of {scicat.username or 'this token'} has expired: only public data is shown, and edits wait.",
            "Log in…",
            problem=True,
        )

    def _show(self) -> None:
        scicat = self._log.scicat
        nobody = scicat is None or scicat.anonymous
        assert scicat is not None or nobody
        self.button.setText(
            "Not logged in" if nobody else (scicat.username if scicat else "") or "Logged in by a token"
        )
        self.button.setToolTip(
            tooltip("Only public data is shown, and nothing can be changed" if nobody else "Who is logged in")
        )
        self.logIn.setText("Log in…" if nobody else "Log in as somebody else…")
        self.logIn.setEnabled(scicat is not None)
        self.logOut.setEnabled(not nobody)


def _ignore(_: object) -> None:
    """Ignore the result: the status bar reports when SciCat is not available."""
