"""Which proposal, visit and sample are in use, and their folders.

This asks the user office and makes folders, which may take long. It knows nothing of Tango.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from sdm import folders
from sdm.layout import Layout
from sdm.names import AUTO_VISIT, CATEGORIES, DataLocation, NameRefused, check_name, check_sample, check_visit
from sdm.office import Office, OfficeUnavailable, Proposal, as_of_now, proposal_at, visit_on
from tango_servers.pathfixer.locking import PendingOperations

OFFICE_OPERATION = "the user office"
STORAGE_OPERATION = "the storage"


def today() -> date:
    """In local time: a visit's day starts at midnight where the beamline is."""
    return date.fromtimestamp(time.time())


@dataclass(frozen=True)
class Selection:
    """Whose data is being taken, and where it goes.

    `proposal` is None without a proposal, or while it could not be restored yet. `auto`: the visit follows the
    date. `by_hand`: the folder that a client wrote as Path, "" for none; once it is in use, `path` is the same.
    `last_category`: the proposal's category before a restart, "" once the proposal is restored. `notes` are
    sentences about what is not as it should be. `answered`: when the office gave its answer (UTC, ISO 8601).
    """

    number: str = ""
    visit: str = ""
    auto: bool = True
    sample: str = ""
    proposal: Proposal | None = None
    path: str = ""
    sample_path: str = ""
    by_hand: str = ""
    last_category: str = ""
    notes: tuple[str, ...] = ()
    answered: str = ""

    @property
    def wanted_visit(self) -> str:
        return AUTO_VISIT if self.auto else self.visit

    @property
    def category(self) -> str:
        return self.proposal.category if self.proposal else self.last_category


@dataclass(frozen=True)
class SelectionChange:
    """A selection to use next. `moves`: its data goes to another place than now. `prepare` makes its folders."""

    number: str
    visit: str
    moves: bool
    prepare: Callable[[], Selection]


@dataclass(frozen=True)
class FolderStatus:
    """A folder as it is, and as it should be. `mode` is -1 if it does not exist or cannot be read."""

    path: str
    mode: int
    wanted: int

    @property
    def shown(self) -> str:
        """The mode for people, "" for none."""
        return f"{self.mode:05o}" if self.mode >= 0 else ""


@dataclass(frozen=True)
class Selector:
    """Finds and prepares selections. What is refused raises OfficeError, NameRefused or FolderError.

    `office` is None if the settings are wrong; `settings_problem` then says why. `day` returns today's date.
    `pending` shows the operations in progress.
    """

    beamline: str
    office: Office | None
    layout: Layout
    raw_read_only: bool = False
    day: Callable[[], date] = field(default=today)
    pending: PendingOperations = field(default_factory=PendingOperations)
    settings_problem: str = ""

    def check(self, number: str, visit: str, sample: str) -> None:
        """Raises NameRefused for names that are refused without asking the office."""
        if number:
            check_name(number, "proposal")
        if visit not in ("", AUTO_VISIT):
            check_visit(visit)
        check_sample(sample)

    def change_to(self, now: Selection, number: str, visit: str, sample: str) -> SelectionChange:
        """Asks the office. `visit` may be "" or "auto", for the visit of today."""
        self.check(number, visit, sample)
        auto = visit in ("", AUTO_VISIT)
        if not number:
            visit = f"{self.day():%Y%m%d}" if auto else visit
            return SelectionChange("", visit, bool(now.number), lambda: Selection("", visit, auto, sample))
        proposal = self._find_proposal(number)
        visit = visit_on(proposal, self.day()) if auto else visit
        stays = (number, visit) == (now.number, now.visit) and now.category in ("", proposal.category)
        moves = not stays or bool(now.by_hand)
        return SelectionChange(number, visit, moves, lambda: self._make_folders(proposal, visit, auto, sample))

    def change_sample(self, now: Selection, sample: str) -> SelectionChange:
        """Another sample. The visit stays, also after midnight: `visit_due` decides about the visit."""
        change = self.change_to(now, now.number, now.visit, sample)
        return replace(change, prepare=lambda: replace(change.prepare(), auto=now.auto))

    def as_before(self, now: Selection) -> Selection:
        """What was in use before a restart, in the same folders, also on another day or with another category."""
        self.check(now.number, now.visit, now.sample)
        if not now.number:
            return now
        proposal = self._find_proposal(now.number)
        before = replace(proposal, category=now.category or proposal.category)
        return self._make_folders(before, now.visit, now.auto, now.sample)

    def change_path(self, now: Selection, path: str) -> SelectionChange:
        """Another folder of the same proposal, which must exist. Who writes data makes the sample's folder in it."""
        if not now.proposal:
            raise NameRefused("no proposal is in use, so no path can be set: write Proposal first")
        # It may have been written before the office changed the proposal's category.
        categories = dict.fromkeys((now.proposal.category, *CATEGORIES))
        locations = [DataLocation(name, self.beamline, now.number, now.visit) for name in categories]
        with self._storage():
            above = [self.layout.proposal(location) for location in locations]
            found = _existing_folder(path, above)
            if not _inside((found / now.sample).resolve(), above):
                raise NameRefused(f"path {path!r} refused: its {now.sample} is a link to a folder outside {above[0]}")
        after = replace(now, path=str(found), sample_path=str(found / now.sample), by_hand=str(found))
        return SelectionChange(now.number, now.visit, after.path != now.path, lambda: after)

    def visit_due(self, now: Selection) -> str:
        """The visit that should be in use now. Does not ask the office."""
        if not now.auto or (now.number and not now.proposal):
            return now.visit
        return visit_on(now.proposal, self.day()) if now.proposal else f"{self.day():%Y%m%d}"

    def refresh(self, now: Selection) -> SelectionChange:
        """The same selection with the office's current answer; missing or wrong folders are made again.

        Its data moves if the office has changed the proposal's category.
        """
        wanted = now.path if now.by_hand else now.sample_path or self.layout.root
        with self._storage():
            there = Path(wanted).is_dir()
        after = now
        if now.number:
            proposal = self._find_proposal(now.number)
            if not now.by_hand and (now.notes or not there or proposal.category != now.category):
                moves = proposal.category != now.category
                return SelectionChange(
                    now.number, now.visit, moves, lambda: self._make_folders(proposal, now.visit, now.auto, now.sample)
                )
            after = replace(now, proposal=proposal, answered=_answered(proposal))
        if not there:
            raise folders.FolderError(f"{wanted} does not exist. Is the storage mounted?")
        return SelectionChange(now.number, now.visit, False, lambda: after)

    def unwritable(self, now: Selection) -> str:
        """Which folders cannot take new data or new proposals from this machine, and why; "" if there are none."""
        wanted = [self.layout.beamline(DataLocation(name, self.beamline, "any", "any")) for name in CATEGORIES]
        wanted += [Path(now.path)] if now.path else []
        with self._storage():
            there = [path for path in wanted if path.is_dir()]
            read_only = [path for path in there if os.statvfs(path).f_flag & os.ST_RDONLY]
            # A folder that was set by hand may belong to others: nothing is made in it.
            own = [path for path in there if path not in read_only and str(path) != now.by_hand]
            refused = [path for path in own if not os.access(path, os.W_OK, effective_ids=True)]
        found = []
        if read_only:
            found.append(f"The storage is mounted read-only on this machine: {', '.join(map(str, read_only))}")
        if refused:
            found.append(f"This account cannot write to {', '.join(map(str, refused))}: check owner, group and mode")
        return ". ".join(found)

    def folders(self, now: Selection) -> list[FolderStatus]:
        """The folders of what is in use, from the top, as they are on disk."""
        if not now.proposal:
            return []
        location = DataLocation(now.category, self.beamline, now.number, now.visit, now.sample)
        wanted = folders.plan(self.layout, location, now.proposal.group, raw_read_only=self.raw_read_only)
        with self._storage():
            return [FolderStatus(str(one.path), _mode(one.path), one.mode) for one in wanted]

    def proposals(self) -> list[str]:
        """The numbers of the beamline's proposals, as the office lists them."""
        if self.office is None:
            return []
        with self.pending.track(OFFICE_OPERATION):
            return [one.id for one in self.office.proposals(self.beamline)]

    @contextlib.contextmanager
    def _storage(self) -> Iterator[None]:
        """An error of the disk becomes a FolderError, like that of any other folder that cannot be made."""
        try:
            with self.pending.track(STORAGE_OPERATION):
                yield
        except OSError as error:
            raise folders.FolderError(f"{error.filename or self.layout.root}: {error.strerror}") from error

    def _find_proposal(self, number: str) -> Proposal:
        if self.office is None:
            raise OfficeUnavailable(f"no proposal can be used: {self.settings_problem}")
        with self.pending.track(OFFICE_OPERATION):
            return proposal_at(self.office, number, self.beamline)

    def _make_folders(self, proposal: Proposal, visit: str, auto: bool, sample: str) -> Selection:
        location = DataLocation(proposal.category, self.beamline, proposal.id, visit, sample)
        with self._storage():
            done = folders.make(self.layout, location, proposal.group, raw_read_only=self.raw_read_only)
        where = (str(done.raw), str(done.sample))
        return Selection(
            proposal.id, visit, auto, sample, proposal, *where, notes=done.notes, answered=_answered(proposal)
        )


def _answered(proposal: Proposal) -> str:
    return proposal.as_of or as_of_now()


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return -1


def _inside(path: Path, above: Sequence[Path]) -> bool:
    return any(path.is_relative_to(one.resolve()) for one in above)


def _existing_folder(path: str, above: Sequence[Path]) -> Path:
    """The folder without symbolic links. Raises NameRefused if it does not exist, or is not inside one of `above`."""
    given = Path(path)
    try:
        found = given.resolve(strict=True)
        inside = given.is_absolute() and _inside(found, above) and found.is_dir()
    except (OSError, ValueError) as error:
        raise NameRefused(f"path {path!r} refused: {error}") from error
    if not inside:
        raise NameRefused(f"path {path!r} refused: it is not a folder inside {above[0]}")
    try:
        str(found).encode("latin-1")
    except UnicodeError as error:  # clients could not read it
        raise NameRefused(f"path {path!r} refused: it leads to {found}, which Tango cannot send: {error}") from error
    return found
