"""The configuration of attributes: their units and enum labels, which may change at any time.

Somebody edits them in jive, a device sets them by itself, or its server is started with another version. `ConfigEvents`
follows the changes by Tango's events, so that a read of values needs no further call.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import tango

from scifish.native import threading
from scifish.tango_io.database import reason, text
from scifish.tango_io.executors import SerialExecutor

log = logging.getLogger(__name__)

SUBSCRIPTION_RETRY_SECONDS = 600.0
"""Seconds until a subscription that a device has refused is tried again. Its configuration is read until then."""

_NO_UNIT = {"", "no unit", "not specified", "no standard unit", "no display unit"}


class AttributeConfig(NamedTuple):
    """What a value means: its unit, "" if it has none, and the labels of an enum, () for other types."""

    unit: str = ""
    labels: tuple[str, ...] = ()


def unit_of(received: str) -> str:
    """The unit in an attribute's configuration as PyTango gives it; "" for none."""
    unit = text(received)
    return "" if unit.strip().lower() in _NO_UNIT else unit


def config_of(info: Any) -> AttributeConfig:
    """The configuration in a `tango.AttributeInfoEx`."""
    return AttributeConfig(unit_of(info.unit), tuple(text(label) for label in info.enum_labels))


class ConfigEvents:
    """The configurations of one device's attributes, kept up to date by events. Threads may share it.

    An attribute is known here only while each change of it is certain to arrive: not before the subscription, not while
    its server does not send the heartbeat, and not after a connection to it was lost (`lost`).
    """

    def __init__(self, device: str, executor: SerialExecutor) -> None:
        """`executor` makes the subscriptions: it is not the one that reads values, which must not wait for them."""
        self.changed = 0.0
        """Time of the last change of a known configuration (`time.monotonic`)."""
        self.device = device
        self._executor = executor
        self._known: dict[str, AttributeConfig] = {}
        self._requested: dict[str, float] = {}
        self._proxy: Any = None
        self._subscriptions: dict[str, int] = {}
        self._connection = 0
        self._lock = threading.Lock()

    @property
    def known(self) -> Mapping[str, AttributeConfig]:
        """By the attribute's name in lower case."""
        return self._known

    def follow(self, attributes: Iterable[str]) -> None:
        """Subscribe to the changes of attributes (names in lower case), in the background, if that is not done yet."""
        now = time.monotonic()
        for attribute in attributes:
            requested = self._requested.get(attribute)
            retry = requested is None or (attribute not in self._known and now - requested > SUBSCRIPTION_RETRY_SECONDS)
            if retry:
                self._requested[attribute] = now
                self._executor.submit(functools.partial(self._subscribe, attribute, self._connection))

    def lost(self) -> None:
        """The connection to the device was lost: its server may have been started with other configurations."""
        with self._lock:
            self._connection += 1
            self._known = {}
            subscribed, self._requested = bool(self._requested), {}
        if subscribed:
            self._executor.submit(self._unsubscribe)

    def close(self) -> None:
        """End all subscriptions in the background."""
        self.lost()

    def _subscribe(self, attribute: str, connection: int) -> None:
        if connection != self._connection or attribute in self._subscriptions:
            return  # one that waits for the heartbeat stays: Tango restores it
        try:
            on_event = functools.partial(self._on_event, attribute, connection)
            if self._proxy is None:
                self._proxy = tango.DeviceProxy(self.device)
            number = self._proxy.subscribe_event(attribute, tango.EventType.ATTR_CONF_EVENT, on_event)
            self._subscriptions[attribute] = number
        except tango.DevFailed as failed:
            log.info("the configuration of %s/%s is read with each value: %s", self.device, attribute, reason(failed))

    def _unsubscribe(self) -> None:
        subscriptions, self._subscriptions = self._subscriptions, {}
        for number in subscriptions.values():
            try:
                self._proxy.unsubscribe_event(number)
            except (tango.DevFailed, KeyError) as error:
                log.debug("a subscription to %s cannot be ended: %s", self.device, error)

    def _on_event(self, attribute: str, connection: int, event: Any) -> None:
        """Called by a thread of Tango, so it must be short; and by the subscription, with the present configuration."""
        with self._lock:
            if connection != self._connection:
                return  # of a subscription that is about to end
            known = dict(self._known)  # a copy: other threads read it without the lock
            before = known.pop(attribute, None)
            if not event.err:  # else there is no heartbeat; Tango reports the configuration when it is back
                known[attribute] = now = config_of(event.attr_conf)
                if before is not None and now != before:
                    self.changed = time.monotonic()
            self._known = known
