"""From the spool to Kafka: a thread that sends in order, and drops only what Kafka has confirmed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from scifish.settings import Settings, SettingsError
from scifish.spool.database import OutboxMessage, Spool
from scifish.spool.executor import SpoolExecutor
from scifish.spool.kafka_config import producer_config

log = logging.getLogger(__name__)

MAX_IN_FLIGHT = 500
"""Messages handed to librdkafka and not yet confirmed: it keeps them in memory."""

SEND_RETRY_SECONDS = 2.0
"""Seconds until the next look after nothing could be handed over."""

_REFUSED = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG, KafkaError.INVALID_RECORD, KafkaError._INVALID_ARG}


_NO_TOPIC = {KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_EXCEPTION}
_NO_TOPIC |= {KafkaError._UNKNOWN_PARTITION, KafkaError.TOPIC_AUTHORIZATION_FAILED}
"""The topic is not there, or not for us: that may change, and is no reason to hold up those of other topics."""


class Sender(threading.Thread):
    """Sends what is in its spools. `settings` is asked for each new producer, and never blocks.

    `own` is the spool into which more will come; the others are let go of when they are empty.
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
        self._after: dict[Spool, int] = {}  # the seq up to which all was handed to librdkafka
        self._skipped: dict[Spool, int] = {}  # the first seq that has no topic at the moment
        self._generation = 0  # of the producer
        self._confirmed: list[tuple[Spool, int]] = []
        self._refused: list[tuple[Spool, int, str]] = []
        self._producer: Producer | None = None
        self._config: dict[str, Any] = {}
        self._wake = threading.Event()
        self._stopping = False
        self.trouble = ""
        """Why nothing goes out at the moment, "" if all is well."""

    def add(self, spool: Spool) -> None:
        """Send what is, and what comes, in this spool too."""
        self._spools.append(spool)
        self._wake.set()

    @property
    def spools(self) -> list[Spool]:
        return list(self._spools)

    def wake(self) -> None:
        """There is something new."""
        self._wake.set()

    def waiting(self, timeout: float | None = None) -> int:
        """How many messages are not yet with Kafka. TimeoutError if the disk does not answer in time (seconds)."""
        return self._executor.submit(lambda: sum(spool.count() for spool in list(self._spools))).result(timeout)

    def stop(self, timeout: float) -> None:
        """Send what is there for at most `timeout` seconds. The rest stays in the spool."""
        self._stopping = True
        self._wake.set()
        self.join(timeout)

    def run(self) -> None:
        self._quietly(self._connect)
        while True:
            sent = self._quietly(self._round)
            if not sent and not self._in_flight:
                if self._stopping:
                    return
                self._wake.wait(SEND_RETRY_SECONDS)
                self._wake.clear()
                self._quietly(self._try_skipped)

    def _quietly(self, work: Callable[[], int]) -> int:
        try:
            return work()
        except SettingsError as error:
            self._say(str(error))
            self._drop_producer()
        except KafkaException as error:
            brokers = self._config.get("bootstrap.servers", "")
            self._say(f"{brokers}: {error.args[0].str()}")
            self._drop_producer()
        except Exception:
            log.exception("sending to Kafka; it goes on in %g s", SEND_RETRY_SECONDS)
        return 0

    def _connect(self) -> int:
        """Ask for the topic before there is a message: the first then finds it made, and consumers know it."""
        settings = self._settings()
        if settings is not None:
            self._ready_producer().list_topics(settings.topic, timeout=5.0)
        return 0

    def _round(self) -> int:
        """One look at all spools; the number of messages handed to librdkafka."""
        handed = sum(self._hand_over(spool) for spool in list(self._spools))
        if self._producer is not None and self._in_flight:
            # Returns at the first delivery report.
            self._producer.poll(0.1)
        self._settle()
        if not handed and not self._in_flight and not self._skipped and self._producer is not None:
            self._say("")  # nothing waits
        return handed

    def _hand_over(self, spool: Spool) -> int:
        room = MAX_IN_FLIGHT - len(self._in_flight)
        if room <= 0:
            return 0
        after = self._after.get(spool, 0)
        waiting = self._executor.submit(lambda: spool.waiting(room, after)).result()
        if waiting:
            producer = self._ready_producer()  # with a new one, `_after` begins anew, and this is asked again
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
            raise SettingsError("no settings yet: the Tango database does not answer, and none were kept on disk")
        config = producer_config(settings)
        if self._producer is None or config != self._config:
            self._drop_producer()
            self._producer = Producer(config, error_cb=self._on_error, logger=log)
            self._config = config
        return self._producer

    def _drop_producer(self) -> None:
        """What it has not confirmed goes again by the next one: SciCow takes it twice without harm."""
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
            elif error.code() in _REFUSED:
                self._refused.append((spool, entry.seq, error.str()))
            elif error.code() in _NO_TOPIC:
                self._skip(key)
                self._say(f"it does not take the topic {entry.topic}: {error.str()}")
            else:
                self._retry(key)  # it is still in the spool, and goes again from there
                self._say(f"it did not take a message: {error.str()}")

        self._in_flight.add(key)
        try:
            producer.produce(entry.topic, entry.message, key=entry.uuid, on_delivery=on_delivery)
        except BufferError:
            self._in_flight.discard(key)
            return False
        except KafkaException as error:
            code = error.args[0].code()
            if code in _NO_TOPIC:
                self._skip(key)
                self._say(f"it does not take the topic {entry.topic}: {error.args[0].str()}")
            elif code in _REFUSED:
                self._refused.append((spool, entry.seq, error.args[0].str()))
            else:
                raise
        return True

    def _skip(self, key: tuple[Spool, int]) -> None:
        """It is still in the spool, and goes again from there when those of other topics are gone."""
        spool, seq = key
        self._in_flight.discard(key)
        self._skipped[spool] = min(self._skipped.get(spool, seq), seq)

    def _try_skipped(self) -> int:
        for spool, seq in self._skipped.items():
            self._after[spool] = min(self._after.get(spool, 0), seq - 1)
        self._skipped.clear()
        return 0

    def _retry(self, key: tuple[Spool, int]) -> None:
        spool, seq = key
        self._in_flight.discard(key)
        self._after[spool] = min(self._after.get(spool, 0), seq - 1)

    def _settle(self) -> None:
        """Drop from the spools what Kafka has, and set aside what it refuses."""
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
            self._say("")
        self._release_orphans()

    def _release_orphans(self) -> None:
        """Let go of adopted spools that are empty."""
        for spool in list(self._spools):
            if spool is not self._own and self._executor.submit(lambda spool=spool: spool.empty).result():  # type: ignore[misc]
                self._spools.remove(spool)
                self._after.pop(spool, None)
                self._skipped.pop(spool, None)
                self._executor.submit(spool.close).result()

    def _on_error(self, error: KafkaError) -> None:
        self._say(f"{error.str()}")

    def _say(self, trouble: str) -> None:
        if trouble and not self.trouble:
            log.warning("Kafka: %s. Messages wait in the spool and are tried again.", trouble)
        elif self.trouble and not trouble:
            log.info("Kafka takes messages again")
        self.trouble = trouble
