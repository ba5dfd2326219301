"""Kafka as the programs of a beamline use it, and the topic of the beamline with its retention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from scifish.message import MAX_MESSAGE_BYTES
from scifish.settings import Settings, SettingsError
from scifish.spool.kafka_config import make_client, producer_config
from scizoo.doctor.report import NOT_CHECKED, OK, WRONG, PartReport

SECONDS_PER_DAY = 86_400.0

MIN_RETENTION_SECONDS = 7 * SECONDS_PER_DAY
"""Shorter retention is reported. It is Kafka's default: SciCow may be down for a holiday."""

ADVISED_RETENTION_SECONDS = 30 * SECONDS_PER_DAY
"""The retention that docs/reference/scicow.md requires."""

RECORD_OVERHEAD_BYTES = 1_000
"""Bytes that Kafka adds to the largest message at most: its key, its header, the header of the batch."""

ANSWERS = 4
"""Number of Kafka's answers that are awaited one after the other; all together stay within the time of the part."""


def kafka(settings: Settings | None, timeout: float) -> Sequence[PartReport]:
    """The parts Kafka and Topic; `timeout` is in seconds for both."""
    if settings is None:
        return [PartReport(part, NOT_CHECKED, "see SciDog") for part in ("Kafka", "Topic")]
    try:
        config: dict[str, Any] = {**producer_config(settings)}
    except SettingsError as error:
        return [_config_error(settings, error), PartReport("Topic", NOT_CHECKED, "see Kafka")]
    if "bootstrap.servers" not in config:
        text = (
            f"KafkaBootstrapServers of {settings.where} is empty, and {settings.kafka_config_file} has no "
            "bootstrap.servers either"
        )
        return [PartReport("Kafka", WRONG, text, "Set it (in jive)."), PartReport("Topic", NOT_CHECKED, "see Kafka")]
    errors: list[str] = []
    try:
        quiet = {"log_level": 0, "error_cb": lambda error: errors.append(error.str())}
        client = make_client(AdminClient, config | quiet, settings)
    except SettingsError as error:
        return [_config_error(settings, error), PartReport("Topic", NOT_CHECKED, "see Kafka")]
    servers = str(config["bootstrap.servers"])
    try:
        # Of all topics: to name one can make Kafka create it.
        metadata = client.list_topics(timeout=timeout / ANSWERS)
    except KafkaException as error:
        client.poll(0)  # calls `error_cb`
        text = f"{servers} does not answer: {errors[0] if errors else _text(error)}"
        advice = (
            f"Is it running, and reachable from this machine? Check KafkaBootstrapServers of {settings.where}"
            f"{' and KafkaConfigFile' if settings.kafka_config_file else ''}. Until then metadata waits on disk."
        )
        return [PartReport("Kafka", WRONG, text, advice), PartReport("Topic", NOT_CHECKED, "see Kafka")]
    broker = PartReport("Kafka", OK, f"{servers} answers; brokers: {len(metadata.brokers)}")
    topic = metadata.topics.get(settings.topic)
    if topic is None:
        return [broker, _no_topic(settings)]
    if topic.error is not None:
        text = f"{settings.topic}: {topic.error.str()}"
        return [broker, PartReport("Topic", WRONG, text, "Ask the administrator of Kafka.")]
    return [broker, _topic(client, settings.topic, len(topic.partitions), timeout / ANSWERS)]


def _config_error(settings: Settings, error: SettingsError) -> PartReport:
    file = Path(settings.kafka_config_file)
    if isinstance(error.__cause__, PermissionError):
        advice = f"Only the account that records may read {file}: run it as that account."
        return PartReport("Kafka", NOT_CHECKED, str(error), advice)
    return PartReport("Kafka", WRONG, str(error), f"Correct it in {settings.where}; metadata waits on disk until then.")


def _no_topic(settings: Settings) -> PartReport:
    text = f"{settings.topic} does not exist yet"
    advice = (
        "Kafka may make it with the first message (auto.create.topics.enable). Else make it: kafka-topics.sh --create "
        f"--topic {settings.topic} --config retention.ms={ADVISED_RETENTION_SECONDS * 1000:.0f}"
    )
    return PartReport("Topic", NOT_CHECKED, text, advice)


def _topic(client: AdminClient, name: str, partitions: int, timeout: float) -> PartReport:
    resource = ConfigResource(ResourceType.TOPIC, name)
    try:
        (answer,) = client.describe_configs([resource], request_timeout=timeout).values()
        config = {key: str(entry.value) for key, entry in answer.result(timeout + 1.0).items()}
    except (KafkaException, TimeoutError) as error:
        text = f"{name} exists; its retention is not known: {_text(error)}"
        return PartReport("Topic", NOT_CHECKED, text, "Ask the administrator of Kafka for retention.ms of this topic.")
    wanted = ("retention.ms", "retention.bytes", "cleanup.policy", "max.message.bytes")
    facts = {"topic": name, "partitions": partitions, **{key: config.get(key) for key in wanted}}
    problems = topic_problems(config)
    if problems:
        changes = ",".join(f"{key}={value}" for key, (_, value) in problems.items())
        advice = f"kafka-configs.sh --alter --entity-type topics --entity-name {name} --add-config {changes}"
        lines = [f"{name}: {sentence}" for sentence, _ in problems.values()]
        return PartReport("Topic", WRONG, "\n".join(lines), advice, facts)
    text = f"{name}: partitions: {partitions}; messages are kept for {_duration(config.get('retention.ms', ''))}"
    return PartReport("Topic", OK, text, facts=facts)


def topic_problems(config: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """By setting of a topic: what is wrong with its value, and a value that is right. {} if all are right."""
    problems: dict[str, tuple[str, str]] = {}
    kept = _seconds(config.get("retention.ms", ""))
    if kept is not None and kept < MIN_RETENTION_SECONDS:
        problems["retention.ms"] = (
            f"messages are kept for {_duration(config['retention.ms'])} only; what SciCow has not read by then is lost",
            f"{ADVISED_RETENTION_SECONDS * 1000:.0f}",
        )
    if "compact" in config.get("cleanup.policy", ""):  # the key of a message is its dataset
        problems["cleanup.policy"] = (
            f"cleanup.policy is {config['cleanup.policy']}: only the last message of each dataset is kept",
            "delete",
        )
    largest = config.get("max.message.bytes", "")
    if largest.isdigit() and int(largest) < MAX_MESSAGE_BYTES + RECORD_OVERHEAD_BYTES:
        problems["max.message.bytes"] = (
            f"messages of up to {MAX_MESSAGE_BYTES} bytes are sent, and {largest} are allowed",
            "1048588",
        )
    return problems


def _seconds(milliseconds: str) -> float | None:
    """None if it is unlimited or not a number."""
    return int(milliseconds) / 1000 if milliseconds.isdigit() else None


def _duration(milliseconds: str) -> str:
    seconds = _seconds(milliseconds)
    if seconds is None:
        return "ever" if milliseconds == "-1" else "a time that Kafka does not say"
    if seconds >= SECONDS_PER_DAY:
        return f"{seconds / SECONDS_PER_DAY:g} days"
    return f"{seconds / 3600:g} hours" if seconds >= 3600 else f"{seconds:g} s"


def _text(error: Any) -> str:
    found = error.args[0] if error.args else error
    return found.str() if isinstance(found, KafkaError) else str(found) or "no answer in time"
