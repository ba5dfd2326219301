"""What is in use: from a proposal's number, a visit and a sample to their folders.

Here the user office is asked and folders are made, which may take its time; nothing here is of Tango.
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
from sdm.layout import AUTO_VISIT, CATEGORIES, Layout, NameRefused, Place, check_name, check_sample, check_visit
from sdm.office import Office, OfficeUnavailable, Proposal, as_of_now, proposal_at, visit_on
from tango_servers.pathfixer.locking import Waits

OFFICE = "the user office"
STORAGE = "the storage"


def today() -> date:
    """In local time: the day of a visit begins at midnight where the beamline is."""
    return date.fromtimestamp(time.time())


@dataclass(frozen=True)
class InUse:
    """Whose data is being taken, and where it goes.

    `proposal` is None where there is none, or where it could not be taken up yet. `auto`: the visit follows
    the date. `by_hand`: the folder that somebody has written, "" for none; `path` is it, once it is taken up.
    `remembered`: the category that the proposal had before a restart, "" once it is taken up.
    `notes` are sentences on what is not as it should be, `answered` is when the office gave its answer (UTC, ISO 8601).
    """

    number: str = ""
    visit: str = ""
    auto: bool = True
    sample: str = ""
    proposal: Proposal | None = None
    path: str = ""
    sample_path: str = ""
    by_hand: str = ""
    remembered: str = ""
    notes: tuple[str, ...] = ()
    answered: str = ""

    @property
    def wanted_visit(self) -> str:
        return AUTO_VISIT if self.auto else self.visit

    @property
    def category(self) -> str:
        return self.proposal.category if self.proposal else self.remembered


@dataclass(frozen=True)
class Target:
    """What is to be used next. `moves`: data goes elsewhere than now. `reach` makes the folders."""

    number: str
    visit: str
    moves: bool
    reach: Callable[[], InUse]


@dataclass(frozen=True)
class FolderSeen:
    """A folder as it is, and as it should be. `mode` is -1 if it is not there or cannot be looked at."""

    path: str
    mode: int
    wanted: int

    @property
    def shown(self) -> str:
        """The mode for people, "" for none."""
        return f"{self.mode:05o}" if self.mode >= 0 else ""


@dataclass(frozen=True)
class Chooser:
    """Finds what is to be used. What is refused raises OfficeError, NameRefused or FolderError.

    `office` is None where the settings are `wrong`: why nothing can be taken up. `day` says which day it is.
    `waits` shows what is asked at this moment.
    """

    beamline: str
    office: Office | None
    layout: Layout
    raw_read_only: bool = False
    day: Callable[[], date] = field(default=today)
    waits: Waits = field(default_factory=Waits)
    wrong: str = ""

    def check(self, number: str, visit: str, sample: str) -> None:
        """Raises NameRefused for what needs no office to be refused."""
        if number:
            check_name(number, "proposal")
        if visit not in ("", AUTO_VISIT):
            check_visit(visit)
        check_sample(sample)

    def target(self, now: InUse, number: str, visit: str, sample: str) -> Target:
        """Of `number` and `sample`; `visit` may be "" or "auto", for that of the day. Asks the office."""
        self.check(number, visit, sample)
        auto = visit in ("", AUTO_VISIT)
        if not number:
            visit = f"{self.day():%Y%m%d}" if auto else visit
            return Target("", visit, bool(now.number), lambda: InUse("", visit, auto, sample))
        proposal = self._asked(number)
        visit = visit_on(proposal, self.day()) if auto else visit
        stays = (number, visit) == (now.number, now.visit) and now.category in ("", proposal.category)
        moves = not stays or bool(now.by_hand)
        return Target(number, visit, moves, lambda: self._reach(proposal, visit, auto, sample))

    def same_visit(self, now: InUse, sample: str) -> Target:
        """Another sample. The visit stays, also after midnight: that is another decision, `visit_due`."""
        found = self.target(now, now.number, now.visit, sample)
        return replace(found, reach=lambda: replace(found.reach(), auto=now.auto))

    def as_before(self, now: InUse) -> InUse:
        """What was in use before a restart, where it was: also on another day, and if its category is another now."""
        self.check(now.number, now.visit, now.sample)
        if not now.number:
            return now
        proposal = self._asked(now.number)
        there = replace(proposal, category=now.category or proposal.category)
        return self._reach(there, now.visit, now.auto, now.sample)

    def by_hand(self, now: InUse, path: str) -> Target:
        """Another folder of the same proposal, which must be there; the sample's in it is made by who writes there."""
        if not now.proposal:
            raise NameRefused("there is no proposal in use that the path could belong to: write Proposal first")
        # It may have been written before the office gave the proposal another category.
        categories = dict.fromkeys((now.proposal.category, *CATEGORIES))
        places = [Place(name, self.beamline, now.number, now.visit) for name in categories]
        with self._storage():
            above = [self.layout.proposal(place) for place in places]
            found = _existing_folder(path, above)
            if not _inside((found / now.sample).resolve(), above):
                raise NameRefused(f"path {path!r} refused: its {now.sample} is a link that leads out of {above[0]}")
        after = replace(now, path=str(found), sample_path=str(found / now.sample), by_hand=str(found))
        return Target(now.number, now.visit, after.path != now.path, lambda: after)

    def visit_due(self, now: InUse) -> str:
        """The visit that should be in use at this moment. Asks nobody."""
        if not now.auto or (now.number and not now.proposal):
            return now.visit
        return visit_on(now.proposal, self.day()) if now.proposal else f"{self.day():%Y%m%d}"

    def again(self, now: InUse) -> Target:
        """The same with what the office says now, its folders made again where one is gone or was not right.

        It moves where the office has given the proposal another category.
        """
        wanted = now.path if now.by_hand else now.sample_path or self.layout.root
        with self._storage():
            there = Path(wanted).is_dir()
        after = now
        if now.number:
            proposal = self._asked(now.number)
            if not now.by_hand and (now.notes or not there or proposal.category != now.category):
                moves = proposal.category != now.category
                return Target(
                    now.number, now.visit, moves, lambda: self._reach(proposal, now.visit, now.auto, now.sample)
                )
            after = replace(now, proposal=proposal, answered=_answered(proposal))
        if not there:
            raise folders.FolderError(f"{wanted} is not there. Is the storage mounted?")
        return Target(now.number, now.visit, False, lambda: after)

    def closed(self, now: InUse) -> str:
        """Which folders new data, or new proposals, cannot be put into from here, and why; "" if there are none."""
        wanted = [self.layout.beamline(Place(name, self.beamline, "any", "any")) for name in CATEGORIES]
        wanted += [Path(now.path)] if now.path else []
        with self._storage():
            there = [path for path in wanted if path.is_dir()]
            read_only = [path for path in there if os.statvfs(path).f_flag & os.ST_RDONLY]
            # A folder that was set by hand may belong to others: we make nothing in it.
            ours = [path for path in there if path not in read_only and str(path) != now.by_hand]
            refused = [path for path in ours if not os.access(path, os.W_OK, effective_ids=True)]
        found = []
        if read_only:
            found.append(f"The storage is mounted read-only on this machine: {', '.join(map(str, read_only))}")
        if refused:
            found.append(f"This account may not write into {', '.join(map(str, refused))}: see owner, group and mode")
        return ". ".join(found)

    def folders(self, now: InUse) -> list[FolderSeen]:
        """Those of what is in use, from the top, as they are on the disk."""
        if not now.proposal:
            return []
        place = Place(now.category, self.beamline, now.number, now.visit, now.sample)
        wanted = folders.planned(self.layout, place, now.proposal.group, raw_read_only=self.raw_read_only)
        with self._storage():
            return [FolderSeen(str(one.path), _mode(one.path), one.mode) for one in wanted]

    def proposals(self) -> list[str]:
        """Numbers of the beamline's proposals, as the office has them."""
        if self.office is None:
            return []
        with self.waits.on(OFFICE):
            return [one.id for one in self.office.proposals(self.beamline)]

    @contextlib.contextmanager
    def _storage(self) -> Iterator[None]:
        """What the system says of a disk that is broken is told as any other folder that cannot be made."""
        try:
            with self.waits.on(STORAGE):
                yield
        except OSError as error:
            raise folders.FolderError(f"{error.filename or self.layout.root}: {error.strerror}") from error

    def _asked(self, number: str) -> Proposal:
        if self.office is None:
            raise OfficeUnavailable(f"no proposal can be taken up: {self.wrong}")
        with self.waits.on(OFFICE):
            return proposal_at(self.office, number, self.beamline)

    def _reach(self, proposal: Proposal, visit: str, auto: bool, sample: str) -> InUse:
        place = Place(proposal.category, self.beamline, proposal.id, visit, sample)
        with self._storage():
            done = folders.make(self.layout, place, proposal.group, raw_read_only=self.raw_read_only)
        where = (str(done.raw), str(done.sample))
        return InUse(proposal.id, visit, auto, sample, proposal, *where, notes=done.notes, answered=_answered(proposal))


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
    """The folder without symbolic links. Raises NameRefused if it is not there, or not inside one of `above`."""
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
    except UnicodeError as error:  # it could be taken, but no client could read it
        raise NameRefused(f"path {path!r} refused: it leads to {found}, which Tango cannot carry: {error}") from error
    return found
