"""The user office shared by many threads: each question is asked once, its answer cached, and no thread waits long."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from sdm.office import Office, OfficeError, OfficeUnavailable, Proposal, UnknownProposal, ago

log = logging.getLogger(__name__)

ANSWER_WAIT_SECONDS = 2.0
"""How long a thread waits for an answer. After that its dataset waits, and other datasets go on."""

ANSWER_VALID_SECONDS = 300.0
"""Seconds that an answer is kept."""

UNKNOWN_VALID_SECONDS = 30.0
"""Seconds until an unknown proposal is asked for again."""

UNAVAILABLE_VALID_SECONDS = 10.0
"""Seconds until an office that did not answer is asked again, also while an older answer is used."""

MAX_ANSWERS = 1000
MAX_QUESTIONS = 32


@dataclass(eq=False)
class _Question:
    """A question that was asked. `until` is when its answer expires."""

    asked: float
    answered: threading.Event = field(default_factory=threading.Event)
    answer: Proposal | OfficeError | None = None
    until: float = 0.0


class SharedOffice:
    """An office that threads may share, even if it hangs.

    Each question is asked in a thread of its own, since an office may hang for longer than a
    dataset's worker can wait; others that ask the same meanwhile get the same answer.
    """

    def __init__(self, office: Office, clock: Callable[[], float] = time.monotonic) -> None:
        self._office = office
        self._clock = clock
        self._lock = threading.Lock()
        self._questions: OrderedDict[str, _Question] = OrderedDict()
        self._open = 0
        self._away = False

    @property
    def name(self) -> str:
        return self._office.name

    def proposal(self, proposal_id: str) -> Proposal:
        """The answer of the office, not older than 5 min.

        OfficeUnavailable also if there is no answer within 2 s; a later call gets it.
        """
        question = self._question(proposal_id)
        question.answered.wait(max(0.0, question.asked + ANSWER_WAIT_SECONDS - self._clock()))
        answer = question.answer
        if answer is None:
            raise OfficeUnavailable(f"the user office has not answered yet about proposal {proposal_id}")
        if isinstance(answer, Proposal):
            return answer
        raise type(answer)(str(answer)) from answer  # the same exception cannot be raised in two threads at once

    def proposals(self, beamline: str) -> list[Proposal]:
        """Asked each time."""
        return self._office.proposals(beamline)

    def _question(self, proposal_id: str) -> _Question:
        with self._lock:
            now = self._clock()
            known = self._questions.get(proposal_id)
            if known is not None and (not known.answered.is_set() or now < known.until):
                self._questions.move_to_end(proposal_id)
                return known
            if self._open >= MAX_QUESTIONS:
                raise OfficeUnavailable(f"{MAX_QUESTIONS} questions to the user office are not answered yet")
            question = _Question(now)
            threading.Thread(
                target=self._ask, args=(proposal_id, question), daemon=True, name=f"question about {proposal_id}"
            ).start()
            self._open += 1
            self._questions[proposal_id] = question
            self._questions.move_to_end(proposal_id)
            if len(self._questions) > MAX_ANSWERS:
                self._questions.popitem(last=False)
            return question

    def _ask(self, proposal_id: str, question: _Question) -> None:
        answer: Proposal | OfficeError
        try:
            answer = self._office.proposal(proposal_id)
        except OfficeError as error:
            answer = error
        except Exception as error:  # no dataset is to be lost by it
            log.exception("internal error in the user office's client, please report it")
            answer = OfficeUnavailable(f"the user office's client failed: {type(error).__name__}: {error}")
        trouble = _trouble(answer)
        with self._lock:
            self._open -= 1
            question.answer = answer
            question.until = self._clock() + _kept_for(answer)
            changed = bool(trouble) != self._away
            self._away = bool(trouble)
        if changed and trouble:
            log.warning("%s; stored answers are used; datasets of other proposals wait", trouble)
        elif changed:
            log.info("the user office answers again")
        question.answered.set()


def _trouble(answer: Proposal | OfficeError) -> str:
    """Why the office did not answer, "" if it did."""
    if isinstance(answer, Proposal):
        return f"{answer.trouble} (proposal {answer.id} is known from {ago(answer.as_of)})" if answer.trouble else ""
    return "" if isinstance(answer, UnknownProposal) else str(answer)


def _kept_for(answer: Proposal | OfficeError) -> float:
    if _trouble(answer):
        return UNAVAILABLE_VALID_SECONDS
    return ANSWER_VALID_SECONDS if isinstance(answer, Proposal) else UNKNOWN_VALID_SECONDS
