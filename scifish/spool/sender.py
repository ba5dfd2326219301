"""Sends the messages of spools to Kafka, in order; a message is deleted only when Kafka has confirmed it."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, Producer

from scifish.native import threading
from scifish.settings import Settings, SettingsError
from scifish.spool.database import OutboxMessage, Spool, SpoolBroken
from scifish.spool.disk import QUOTA_USED_UP
from scifish.spool.executor import SpoolExecutor
from scifish.spool.kafka_config import make_client, producer_config
from scifish.spool.refused_retries import MessageKey, RefusedRetries
from scifish.spool.sent import SentLog, SentMessage

log = logging.getLogger(__name__)
Result = TypeVar("Result")

MAX_IN_FLIGHT = 500
"""Maximum number of unconfirmed messages in librdkafka, which keeps them in memory."""

SEND_RETRY_SECONDS = 2.0
"""Time until the spools are read again after no message could be sent."""

REFUSED_PER_ROUND = 20
"""Refused messages of each spool that are tried at a time; if Kafka takes one, the next ones follow at once."""

_REFUSALS = {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.INVALID_MSG,
    KafkaError.INVALID_RECORD,
    KafkaError.INVALID_TIMESTAMP,
    KafkaError._INVALID_ARG,
}
"""The message is refused, or the batch that it was in. None is for good: a clock is set, a limit is raised."""

_REFUSAL_HINTS = {
    KafkaError.MSG_SIZE_TOO_LARGE: "raise max.message.bytes of the topic, and message.max.bytes if KafkaConfigFile has "
    "it, to 1048588 or more",
    KafkaError.INVALID_RECORD: "is the clock of this machine right?",
    KafkaError.INVALID_TIMESTAMP: "is the clock of this machine right?",
}
"""What to do. Kafka's reason is INVALID_RECORD for a batch of several with a time that it refuses."""


_TOPIC_ERRORS = {KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_EXCEPTION}
_TOPIC_ERRORS |= {KafkaError._UNKNOWN_PARTITION, KafkaError.TOPIC_AUTHORIZATION_FAILED}
"""The topic does not exist or is not allowed. That may change, and must not block the messages of other topics."""


class Sender(threading.Thread):
    """Sends the messages of its spools. `settings` is called for each new producer, and never blocks.

    `own` is the spool of a running program; the other spools are closed when they are empty.
    """

    def __init__(
        self,
        executor: SpoolExecutor,
        settings: Callable[[], Settings | None],
        own: Spool | None = None,
        may_send: Callable[[Spool, Settings], bool] = lambda spool, settings: True,
    ) -> None:
        """`may_send` decides whether the spool of another program may be sent with these settings.

        One that may not is closed.
        """
        super().__init__(name="scifish-sender", daemon=True)
        self._executor = executor
        self._settings = settings
        self._own = own
        self._may_send = may_send
        self._used = Settings()  # by the producer
        self._spools: list[Spool] = [own] if own is not None else []
        self._in_flight: set[MessageKey] = set()
        self._after: dict[Spool, int] = {}  # the last seq passed to librdkafka
        self._skipped: dict[Spool, int] = {}  # the first seq whose topic does not exist at the moment
        self._generation = 0  # of the producer
        self._confirmed: dict[MessageKey, SentMessage] = {}
        self._refused: dict[MessageKey, str] = {}  # by Kafka, with its reason, and not yet moved aside
        self._alone: set[MessageKey] = set()  # refused with a batch: to be sent in a batch of their own
        self._retries = RefusedRetries()
        self._broken = False  # the producer, for good
        self._refusals: dict[Spool, dict[str, int]] = {}
        self._unread: dict[tuple[Spool, str], str] = {}  # what cannot be read of a spool, and why
        self._sent = SentLog()
        self._producer: Producer | None = None
        self._single: Producer | None = None  # whose batches have one message
        self._config: dict[str, Any] = {}
        self._wake = threading.Event()
        self._read_again = threading.Event()
        self._stopping = False
        self.trouble = ""
        """Why nothing is sent at the moment; "" if all is well."""

    def add(self, spool: Spool) -> None:
        """Send the present and future messages of this spool too."""
        self._spools.append(spool)
        self.retry_refused()

    def retry_refused(self) -> None:
        """Try all messages that Kafka refuses now, in place of after the next wait."""
        self._retries.restart()
        self._wake.set()

    def read_again(self) -> None:
        """Read the spools from their first message on: one is in a new file."""
        self._read_again.set()
        self._wake.set()

    @property
    def refused_tried(self) -> bool:
        """Whether all refused messages were tried since `retry_refused`, and since Kafka took one of them."""
        return self._retries.all_tried

    def refused(self) -> int:
        """How many messages Kafka refuses."""
        # The list is of the moment at which the executor reads them: it also closes spools.
        return self._executor.submit(lambda: sum(sum(spool.refusals().values()) for spool in self.spools)).result()

    @property
    def refusal(self) -> str:
        """How many messages Kafka refuses, why, and what to do; "" if none."""
        reasons: dict[str, int] = {}
        for spool in list(self._refusals.values()):
            for reason, count in spool.items():
                reasons[reason] = reasons.get(reason, 0) + count
        return "; ".join(f"{count} messages are refused by Kafka: {reason}" for reason, count in reasons.items())

    @property
    def spools(self) -> list[Spool]:
        """Without those that were damaged and put aside."""
        return [spool for spool in list(self._spools) if not spool.broken]

    def wake(self) -> None:
        """Read the spools now: there is a new message."""
        self._wake.set()

    def waiting(self, timeout: float | None = None) -> int:
        """How many messages have to be sent; those that Kafka refuses do not count (`refused`).

        TimeoutError if the disk does not answer in time (seconds).
        """
        return self._executor.submit(lambda: sum(spool.count() for spool in self.spools)).result(timeout)

    def stop(self, timeout: float) -> None:
        """Send for at most `timeout` seconds more. The rest stays in the spool."""
        self._stopping = True
        self._wake.set()
        self.join(timeout)

    def run(self) -> None:
        self._logged(self._connect)
        while True:
            sent = self._logged(self._round)
            self._logged(self._prune_sent)
            if not sent and self._in_flight <= self._refused.keys():
                if self._stopping:
                    self._sent.close()
                    return
                self._wake.wait(SEND_RETRY_SECONDS)
                self._wake.clear()
                self._logged(self._try_skipped)

    def _logged(self, work: Callable[[], int]) -> int:
        try:
            return work()
        except SettingsError as error:
            self._set_trouble(str(error))
            self._drop_producer()
        except KafkaException as error:
            brokers = self._config.get("bootstrap.servers", "")
            self._set_trouble(f"{brokers}: {error.args[0].str()}")
            self._drop_producer()
        except Exception:
            log.exception("sending to Kafka failed; retrying in %g s", SEND_RETRY_SECONDS)
        return 0

    def _connect(self) -> int:
        """Request the topic before there is a message: the broker then creates it, and consumers find it."""
        settings = self._settings()
        if settings is not None:
            self._ready_producer().list_topics(settings.topic, timeout=5.0)
        return 0

    def _round(self) -> int:
        """Read all spools once; the number of messages passed to librdkafka."""
        if self._read_again.is_set():
            self._read_again.clear()
            self._after.clear()
        under_way = bool(self._in_flight)  # its reports may say that it is to be sent again
        produced = sum(self._produce_next(spool) for spool in self.spools) + self._retry_round()
        in_batches = self._in_flight - self._alone - self._retries.in_flight
        # Returns at the first delivery report.
        if self._single is not None and self._in_flight:
            self._single.poll(0.0 if in_batches else 0.1)
        if self._producer is not None and in_batches:
            self._producer.poll(0.1)
        self._apply_delivery_reports()
        if not (produced or under_way or self._skipped or self._unread) and self._producer is not None:
            self._set_trouble("")  # nothing waits
        return produced

    def _read(self, spool: Spool, what: str, read: Callable[[], Result], otherwise: Result) -> Result:
        """What is read of one spool; `otherwise` if that fails, which must not hold up the other spools."""
        try:
            found = self._executor.submit(read).result()
        except (sqlite3.Error, OSError) as error:
            if not spool.broken:
                trouble = f"the {what} of the spool {spool.path} cannot be read: {error}"
                if self._unread.get((spool, what)) != trouble:
                    log.error("%s", trouble)
                self._unread[spool, what] = trouble
                self._set_trouble(trouble)
            return otherwise
        self._unread.pop((spool, what), None)
        return found

    def _produce_next(self, spool: Spool) -> int:
        room = MAX_IN_FLIGHT - len(self._in_flight)
        if room <= 0:
            return 0
        after = self._after.get(spool, 0)
        waiting: list[OutboxMessage] = self._read(spool, "messages", lambda: spool.waiting(room, after), [])
        if waiting:
            self._ready_producer()  # a new producer resets `_after`: then the spool is read again
            if not self._is_allowed(spool):
                return 0
            if self._after.get(spool, 0) != after:
                return 1
            for count, entry in enumerate(waiting):
                if (spool, entry.seq) not in self._in_flight and not self._produce(spool, entry):
                    return count
                self._after[spool] = entry.seq
        return len(waiting)

    def _ready_producer(self) -> Producer:
        settings = self._settings()
        if settings is None:
            raise SettingsError(
                "no settings yet: the Tango database does not answer, and none are saved on this machine"
            )
        config = producer_config(settings)
        self._used = settings
        if self._producer is None or config != self._config or self._broken:
            self._drop_producer()
            self._broken = False
            self._producer = make_client(Producer, {**config, "error_cb": self._on_error, "logger": log}, settings)
            self._config = config
            self.retry_refused()
        return self._producer

    def _is_allowed(self, spool: Spool) -> bool:
        """Whether the producer, as it is now, may send it."""
        return spool is self._own or self._may_send(spool, self._used)

    def _single_producer(self) -> Producer:
        """One whose batches have one message each: a batch is refused as a whole."""
        self._ready_producer()
        if self._single is None:
            config = {**self._config, "batch.num.messages": 1}
            self._single = Producer(config, error_cb=self._on_error, logger=log)
        return self._single

    def _drop_producer(self) -> None:
        """The next producer sends the unconfirmed messages again: a duplicate has no effect in SciCow."""
        self._producer = self._single = None
        self._generation += 1
        self._in_flight.clear()
        self._retries.in_flight.clear()
        self._after.clear()
        self._skipped.clear()

    def _produce(self, spool: Spool, entry: OutboxMessage) -> bool:
        """Pass a message to librdkafka; False if it has no room."""
        key = (spool, entry.seq)
        generation = self._generation
        alone = key in self._alone or key in self._retries.in_flight
        producer = self._single_producer() if alone else self._ready_producer()

        def on_delivery(error: KafkaError | None, _: Any) -> None:
            if generation != self._generation or (error is not None and spool.broken):
                return
            if error is None:
                text = entry.message.decode("utf-8", "surrogateescape")
                self._confirmed[key] = SentMessage(time.time(), entry.topic, entry.uuid, text, spool.identity)
            else:
                self._failed(key, entry, error)

        self._in_flight.add(key)
        try:
            # The time is that of this attempt: what was refused for its time must not be refused for it again.
            now = round(time.time() * 1000)
            producer.produce(entry.topic, entry.message, key=entry.uuid, timestamp=now, on_delivery=on_delivery)
        except BufferError:
            self._in_flight.discard(key)
            return False
        except KafkaException as failed:
            error: KafkaError = failed.args[0]
            if error.code() not in _TOPIC_ERRORS | _REFUSALS:
                raise
            if error.code() in _REFUSALS:
                self._alone.add(key)  # librdkafka itself refuses this very message, whatever its batch
            self._failed(key, entry, error)
        return True

    def _failed(self, key: MessageKey, entry: OutboxMessage, error: KafkaError) -> None:
        """The message stays in the spool. What is done follows from the error."""
        if error.code() in _REFUSALS:
            if key in self._alone or key in self._retries.in_flight:
                hint = _REFUSAL_HINTS.get(error.code(), "")
                self._refused[key] = f"{error.str()}{f' ({hint})' if hint else ''}"
            else:
                self._alone.add(key)
                self._retry(key)
        elif error.code() in _TOPIC_ERRORS:
            self._skip(key)
            self._set_trouble(f"the topic {entry.topic} is refused: {error.str()}")
        else:
            self._retry(key)
            self._set_trouble(f"a message was not accepted: {error.str()}")

    def _skip(self, key: MessageKey) -> None:
        """The message stays in the spool; it is sent again after the messages of other topics."""
        spool, seq = key
        self._in_flight.discard(key)
        if key in self._retries.in_flight:
            self._retries.in_flight.discard(key)
            return
        self._skipped[spool] = min(self._skipped.get(spool, seq), seq)

    def _try_skipped(self) -> int:
        for spool, seq in self._skipped.items():
            self._after[spool] = min(self._after.get(spool, 0), seq - 1)
        self._skipped.clear()
        return 0

    def _retry(self, key: MessageKey) -> None:
        """The message stays in the spool, and is sent again from there."""
        spool, seq = key
        self._in_flight.discard(key)
        if key in self._retries.in_flight:
            self._retries.in_flight.discard(key)
            return
        self._after[spool] = min(self._after.get(spool, 0), seq - 1)

    def _apply_delivery_reports(self) -> None:
        """Delete the confirmed messages from the spools, and move the refused ones aside."""
        confirmed, self._confirmed = self._confirmed, {}
        by_spool = {
            owner: {seq: message for (spool, seq), message in confirmed.items() if spool is owner}
            for owner in {spool for spool, _ in confirmed}
        }
        for spool, sent in by_spool.items():
            try:
                self._executor.submit_urgent(partial(spool.delivered, list(sent))).result()
            except SpoolBroken as error:
                log.warning("%d messages that Kafka has stay in the file that was put aside: %s", len(sent), error)
        refused = self._move_refused()
        self._retries.confirmed(confirmed)
        for done in (self._in_flight, self._alone, self._retries.in_flight):
            done.difference_update(confirmed, refused)
        for spool, sent in by_spool.items():
            self._keep_sent(spool, list(sent.values()))
        if refused or (self._refusals and confirmed):
            self._count_refused()
        if confirmed and not (self._skipped or self._unread):
            self._set_trouble("")
        self._let_go()

    def _move_refused(self) -> dict[MessageKey, str]:
        """Move the refused messages aside; those that were moved. The others are tried in the next round.

        It does not wait for a disk that refuses writes: only the messages that are sent make room there.
        """
        moved = {}
        for spool in {spool for spool, _ in self._refused}:
            reasons = {seq: reason for (owner, seq), reason in self._refused.items() if owner is spool}
            try:
                self._executor.submit(partial(spool.refuse, reasons)).result()
            except (sqlite3.Error, OSError) as error:
                log.debug("messages that Kafka refuses cannot be moved aside in %s: %s", spool.path, error)
                continue
            new = {seq: reason for seq, reason in reasons.items() if (spool, seq) not in self._retries.in_flight}
            for reason in set(new.values()):
                seqs = [seq for seq in new if new[seq] == reason]
                log.error("Kafka refuses message %s of %s: %s. It is tried again.", seqs[:20], spool.path, reason)
            moved.update({(spool, seq): self._refused.pop((spool, seq)) for seq in reasons})
        return moved

    def _keep_sent(self, spool: Spool, messages: list[SentMessage]) -> None:
        settings = self._settings() or Settings()
        self._sent.keep(spool.path.parent, messages, settings.keep_sent_days, settings.spool_limit * 1_000_000)

    def _prune_sent(self) -> int:
        """Also while nothing is sent: messages that wait need the room of those that Kafka has.

        Of the disk the free space is known, but not what is left of a quota: then all of them give way.
        """
        settings = self._settings()
        if settings is None:
            return 0
        for folder in {spool.path.parent for spool in self._spools}:
            if self._executor.trouble == QUOTA_USED_UP:
                self._sent.delete_all(folder)
            else:
                self._sent.prune_sometimes(folder, settings.keep_sent_days, settings.spool_limit * 1_000_000)
        return 0

    # ------------------------------------------------------- what Kafka refuses

    def _count_refused(self) -> int:
        none: dict[str, int] = {}
        refusals = {spool: self._read(spool, "refused messages", spool.refusals, none) for spool in self.spools}
        self._refusals = {spool: reasons for spool, reasons in refusals.items() if reasons}
        return 0

    def _retry_round(self) -> int:
        """Send some of the refused messages again when it is time, with a new producer; how many."""
        if self._retries.in_flight:
            return 0  # the last round is under way
        if self._retries.accepted:
            self.retry_refused()
        if not self._retries.is_due:
            return 0
        self._count_refused()
        if not self._alone:
            self._single = None
        sent = 0
        for spool in self._refusals:
            after = self._retries.after(spool)
            none: list[OutboxMessage] = []
            entries = self._read(spool, "refused messages", partial(spool.refused, REFUSED_PER_ROUND, after), none)
            for entry in entries:
                self._ready_producer()  # a new one forgets what is in flight
                if not self._is_allowed(spool):
                    break
                self._retries.in_flight.add((spool, entry.seq))
                if not self._produce(spool, entry):
                    self._retries.in_flight.discard((spool, entry.seq))
                    break
                self._retries.tried(spool, entry.seq)
                sent += 1
            if len(entries) < REFUSED_PER_ROUND:
                self._retries.from_the_first(spool)
        self._retries.round_over()
        return sent

    def _let_go(self) -> None:
        """Close the spools of other programs that are empty, and those that must not be sent with the settings of now.

        The latter wait for another program; nothing of them is in flight, as their settings have another producer.
        Those that were put aside are closed already.
        """
        settings = self._settings()
        for spool in [spool for spool in self._spools if spool is not self._own]:
            allowed = settings is not None and self._may_send(spool, settings)
            empty = spool.broken or self._read(spool, "state", lambda spool=spool: spool.empty, False)  # type: ignore[misc]
            if allowed and not empty:
                continue
            if not (allowed or spool.broken) and any(owner is spool for owner, _ in self._in_flight):
                self._drop_producer()
            self._forget(spool)
            if not spool.broken:
                self._executor.submit(spool.close).result()

    def _forget(self, spool: Spool) -> None:
        self._spools.remove(spool)
        self._after.pop(spool, None)
        self._skipped.pop(spool, None)
        self._retries.from_the_first(spool)
        self._refusals.pop(spool, None)
        for keys in (self._in_flight, self._alone, self._retries.in_flight):
            keys.difference_update([key for key in keys if key[0] is spool])
        self._refused = {key: reason for key, reason in self._refused.items() if key[0] is not spool}
        self._unread = {key: why for key, why in self._unread.items() if key[0] is not spool}

    def _on_error(self, error: KafkaError) -> None:
        self._set_trouble(f"{error.str()}")
        if error.fatal():  # an idempotent producer that met one sends no message any more
            self._broken = True

    def _set_trouble(self, trouble: str) -> None:
        if trouble and not self.trouble:
            log.warning("Kafka: %s. Messages stay in the spool and are retried.", trouble)
        elif self.trouble and not trouble:
            log.info("Kafka accepts messages again")
        self.trouble = trouble
