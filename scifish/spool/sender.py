"""Sends the messages of spools to Kafka, in order; a message is deleted only when Kafka has confirmed it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from scifish.native import threading
from scifish.settings import Settings, SettingsError
from scifish.spool.database import OutboxMessage, Spool
from scifish.spool.executor import SpoolExecutor
from scifish.spool.kafka_config import producer_config

log = logging.getLogger(__name__)

MAX_IN_FLIGHT = 500
"""Maximum number of unconfirmed messages in librdkafka, which keeps them in memory."""

SEND_RETRY_SECONDS = 2.0
"""Time until the spools are read again after no message could be sent."""

_PERMANENT_ERRORS = {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.INVALID_MSG,
    KafkaError.INVALID_RECORD,
    KafkaError._INVALID_ARG,
}


_TOPIC_ERRORS = {KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_EXCEPTION}
_TOPIC_ERRORS |= {KafkaError._UNKNOWN_PARTITION, KafkaError.TOPIC_AUTHORIZATION_FAILED}
"""The topic does not exist or is not allowed. That may change, and must not block the messages of other topics."""


class Sender(threading.Thread):
    """Sends the messages of its spools. `settings` is called for each new producer, and never blocks.

    `own` is the spool of a running program; the other spools are closed when they are empty.
    """

    def __init__(
        self, executor: SpoolExecutor, settings: Callable[[], Settings | None], own: Spool | None = None
    ) -> None:
        super().__init__(name="scifish-sender", daemon=True)
        self._executor = executor
        self._settings = settings
        self._own = own
        self._spools: list[Spool] = [own] if own is not None else []
        self._in_flight: set[tuple[Spool, int]] = set()
        self._after: dict[Spool, int] = {}  # the last seq passed to librdkafka
        self._skipped: dict[Spool, int] = {}  # the first seq whose topic does not exist at the moment
        self._generation = 0  # of the producer
        self._confirmed: list[tuple[Spool, int]] = []
        self._refused: list[tuple[Spool, int, str]] = []
        self._producer: Producer | None = None
        self._config: dict[str, Any] = {}
        self._wake = threading.Event()
        self._stopping = False
        self.trouble = ""
        """Why nothing is sent at the moment; "" if all is well."""

    def add(self, spool: Spool) -> None:
        """Send the present and future messages of this spool too."""
        self._spools.append(spool)
        self._wake.set()

    @property
    def spools(self) -> list[Spool]:
        return list(self._spools)

    def wake(self) -> None:
        """Read the spools now: there is a new message."""
        self._wake.set()

    def waiting(self, timeout: float | None = None) -> int:
        """How many messages Kafka has not confirmed. TimeoutError if the disk does not answer in time (seconds)."""
        return self._executor.submit(lambda: sum(spool.count() for spool in list(self._spools))).result(timeout)

    def stop(self, timeout: float) -> None:
        """Send for at most `timeout` seconds more. The rest stays in the spool."""
        self._stopping = True
        self._wake.set()
        self.join(timeout)

    def run(self) -> None:
        self._logged(self._connect)
        while True:
            sent = self._logged(self._round)
            if not sent and not self._in_flight:
                if self._stopping:
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
        produced = sum(self._produce_next(spool) for spool in list(self._spools))
        if self._producer is not None and self._in_flight:
            # Returns at the first delivery report.
            self._producer.poll(0.1)
        self._settle()
        if not produced and not self._in_flight and not self._skipped and self._producer is not None:
            self._set_trouble("")  # nothing waits
        return produced

    def _produce_next(self, spool: Spool) -> int:
        room = MAX_IN_FLIGHT - len(self._in_flight)
        if room <= 0:
            return 0
        after = self._after.get(spool, 0)
        waiting = self._executor.submit(lambda: spool.waiting(room, after)).result()
        if waiting:
            producer = self._ready_producer()  # a new producer resets `_after`: then the spool is read again
            if self._after.get(spool, 0) != after:
                return 1
            for count, entry in enumerate(waiting):
                if (spool, entry.seq) not in self._in_flight and not self._produce(producer, spool, entry):
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
        if self._producer is None or config != self._config:
            self._drop_producer()
            self._producer = Producer(config, error_cb=self._on_error, logger=log)
            self._config = config
        return self._producer

    def _drop_producer(self) -> None:
        """The next producer sends the unconfirmed messages again: a duplicate has no effect in SciCow."""
        self._producer = None
        self._generation += 1
        self._in_flight.clear()
        self._after.clear()
        self._skipped.clear()

    def _produce(self, producer: Producer, spool: Spool, entry: OutboxMessage) -> bool:
        key = (spool, entry.seq)
        generation = self._generation

        def on_delivery(error: KafkaError | None, _: Any) -> None:
            if generation != self._generation:
                return
            if error is None:
                self._confirmed.append(key)
            elif error.code() in _PERMANENT_ERRORS:
                self._refused.append((spool, entry.seq, error.str()))
            elif error.code() in _TOPIC_ERRORS:
                self._skip(key)
                self._set_trouble(f"the topic {entry.topic} is refused: {error.str()}")
            else:
                self._retry(key)
                self._set_trouble(f"a message was not accepted: {error.str()}")

        self._in_flight.add(key)
        try:
            producer.produce(entry.topic, entry.message, key=entry.uuid, on_delivery=on_delivery)
        except BufferError:
            self._in_flight.discard(key)
            return False
        except KafkaException as error:
            code = error.args[0].code()
            if code in _TOPIC_ERRORS:
                self._skip(key)
                self._set_trouble(f"the topic {entry.topic} is refused: {error.args[0].str()}")
            elif code in _PERMANENT_ERRORS:
                self._refused.append((spool, entry.seq, error.args[0].str()))
            else:
                raise
        return True

    def _skip(self, key: tuple[Spool, int]) -> None:
        """The message stays in the spool; it is sent again after the messages of other topics."""
        spool, seq = key
        self._in_flight.discard(key)
        self._skipped[spool] = min(self._skipped.get(spool, seq), seq)

    def _try_skipped(self) -> int:
        for spool, seq in self._skipped.items():
            self._after[spool] = min(self._after.get(spool, 0), seq - 1)
        self._skipped.clear()
        return 0

    def _retry(self, key: tuple[Spool, int]) -> None:
        """The message stays in the spool, and is sent again from there."""
        spool, seq = key
        self._in_flight.discard(key)
        self._after[spool] = min(self._after.get(spool, 0), seq - 1)

    def _settle(self) -> None:
        """Delete the confirmed messages from the spools, and move the refused ones aside."""
        confirmed, self._confirmed = self._confirmed, []
        refused, self._refused = self._refused, []
        for spool in {spool for spool, _ in confirmed}:
            seqs = [seq for owner, seq in confirmed if owner is spool]
            self._executor.submit_urgent(lambda spool=spool, seqs=seqs: spool.delivered(seqs)).result()  # type: ignore[misc]
        for spool, seq, reason in refused:
            log.error("Kafka refuses message %d of %s for good: %s; see `scifish status`", seq, spool.path, reason)
            self._executor.submit_retrying(lambda spool=spool, seq=seq, why=reason: spool.refuse(seq, why)).result()  # type: ignore[misc]
        self._in_flight.difference_update(confirmed, [(spool, seq) for spool, seq, _ in refused])
        if confirmed and not self._skipped:
            self._set_trouble("")
        self._close_empty_orphans()

    def _close_empty_orphans(self) -> None:
        for spool in list(self._spools):
            if spool is not self._own and self._executor.submit(lambda spool=spool: spool.empty).result():  # type: ignore[misc]
                self._spools.remove(spool)
                self._after.pop(spool, None)
                self._skipped.pop(spool, None)
                self._executor.submit(spool.close).result()

    def _on_error(self, error: KafkaError) -> None:
        self._set_trouble(f"{error.str()}")

    def _set_trouble(self, trouble: str) -> None:
        if trouble and not self.trouble:
            log.warning("Kafka: %s. Messages stay in the spool and are retried.", trouble)
        elif self.trouble and not trouble:
            log.info("Kafka accepts messages again")
        self.trouble = trouble
