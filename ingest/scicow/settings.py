"""SciCow's settings: one YAML file, checked whole before anything is started.

A value may hold `${NAME}`: the environment variable of that name, so that a secret
need not be written into the file.
"""

from __future__ import annotations

import dataclasses
import os
import re
import resource
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit

import yaml
from pydantic import BeforeValidator, PlainValidator, ValidationInfo

from sdm.office import OfficeError, office_from
from sdm.yaml_document import (
    FORBID_EXTRA,
    Flag,
    NotEmpty,
    Number,
    WholeNumber,
    YamlDocument,
    check,
    matching,
    read_text,
)

HIDDEN = "***"

OTHER_BEAMLINES = "*"
"""In `kafka.beamline_topics`, each beamline that it does not name."""

DEFAULT_TOPICS = ("scifish-{beamline}",)
"""SciFish's own default."""

MAX_SECONDS = 1e9
"""Seconds, some 30 years; the system's clocks overflow with much more."""


class SciCowSettingsError(Exception):
    """One line for each mistake: the file, the line in it, the field, what is wrong and what to do."""


class Secret(str):
    """Text whose printed form hides it; `str` of it is the text."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(HIDDEN) if self else "''"


# ------------------------------------------------------------------------------ checks
# Each returns what is wrong and what to do about it, or "".


def _regular_expression(value: str) -> str:
    if not value.startswith("^"):
        return "must begin with ^: Kafka reads any other text as the name of one topic"
    try:
        re.compile(value)
    except re.error as error:
        return f"is not a regular expression: {error}"
    # Kafka's client library has those of POSIX. It takes `\d` for a d, and no `(?`.
    python_only = re.search(r"\\[A-Za-z0-9]|\(\?", value)
    return (
        f"has {python_only[0]}, which Kafka's client library does not support: write [0-9] for a digit"
        if python_only
        else ""
    )


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
        good = good and parts.port != 0 and not re.search(r"[\s?#]", value)
    except ValueError:  # also a port that is none
        good = False
    if not good:
        return "must be like https://scicat.example.org, without a user name or password in it"
    if re.search(r"/api(/v\d+)?/*$", parts.path):
        return "must be the address of the server, without /api/v3 at its end"
    return ""


_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"


def wrong_email(value: str) -> str:
    """What is wrong with it for SciCat, "" if nothing is.

    Stricter than RFC 5322, as SciCat's check (validator.js) is: a domain with a dot, no two dots
    together, 64 characters before the @ and 254 in all. It answers 400 to all else.
    """
    good = (
        re.fullmatch(rf"{_ATOM}(\.{_ATOM})*@({_LABEL}\.)+[A-Za-z]{{2,63}}", value)
        and len(value) <= 254
        and value.index("@") <= 64
    )
    return "" if good else "must be an e-mail address that SciCat accepts, like data@example.org"


def _template(*known: str) -> Callable[[str], str]:
    def wrong(value: str) -> str:
        try:
            fields = [field for field in Formatter().parse(value) if field[1] is not None]
        except ValueError as error:
            return f"{error}: write {{{{ or }}}} for a brace"
        for _, name, form, conversion in fields:
            if name not in known:
                return f"{{{name}}} is not known: only {' and '.join(f'{{{one}}}' for one in known)} can be used here"
            if form or conversion:
                return f"{{{name}}} cannot have ':' or '!' in its braces"
        return "" if value.strip() else "is empty: write a value"

    return wrong


def _topic_of_beamline(value: str) -> str:
    if wrong := _template("beamline")(value):
        return wrong
    good = re.fullmatch(r"[A-Za-z0-9._*-]{1,249}", value.replace("{beamline}", "b"))
    return (
        "" if good else "is not the name of a Kafka topic, with * for any text and {beamline} for the beamline's name"
    )


def _office(value: str) -> str:
    try:
        office_from(value)
    except OfficeError as error:
        return str(error)
    return ""


def _positive(value: float) -> str:
    return "" if 0 < value <= MAX_SECONDS else f"must be a number of seconds greater than 0, {MAX_SECONDS:.0f} at most"


def _between(lowest: int, highest: int) -> Callable[[int], str]:
    return lambda value: "" if lowest <= value <= highest else f"must be from {lowest} to {highest}"


def private(path: Path) -> str:
    """Why this file cannot hold secrets, and what to do; "" if it can."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    return f"{path} can be read by others: chmod 600 {path}" if mode & 0o077 else ""


def _private_file(value: str) -> str:
    return private(Path(value)) if value else ""


# ------------------------------------------------------------------------------ types


@dataclass(frozen=True)
class _Sources:
    """What the types below need besides the file's text: the environment, and the file that holds secrets."""

    environ: Mapping[str, str]
    secrets: bool
    path: Path


def _filled(given: object, info: ValidationInfo) -> object:
    """The text with the environment's values in place of `${NAME}`; other values are left to the type."""
    if not isinstance(given, str):
        return given
    sources = cast(_Sources, info.context)
    for variable in re.findall(r"\$\{(\w+)\}", given):
        if variable not in sources.environ:
            raise ValueError(f"the environment variable {variable} is not set: set it")
    return re.sub(r"\$\{(\w+)\}", lambda found: sources.environ[found[1]], given)


def _secret(given: object, info: ValidationInfo) -> Secret:
    sources = cast(_Sources, info.context)
    if not isinstance(given, str):
        raise ValueError("must be one value")
    if not sources.secrets:
        return Secret(HIDDEN)
    if "${" not in given and (wrong := private(sources.path)):
        raise ValueError(f"is a secret, and {wrong}, or write ${{NAME}} and set that variable")
    return Secret(_filled(given, info))


_Filled = BeforeValidator(_filled)

_Text = Annotated[str, _Filled]
_Flag = Annotated[Flag, _Filled]
_WholeNumber = Annotated[WholeNumber, _Filled]
_Seconds = Annotated[Number, check(_positive), _Filled]
_Topic = Annotated[_Text, matching(r"[A-Za-z0-9._-]{1,249}", "is not the name of a Kafka topic")]
_TopicOfBeamline = Annotated[_Text, check(_topic_of_beamline)]
_FullPath = Annotated[_Text, matching("/.*", "must be a full path, like /data")]
_PidPrefix = Annotated[
    _Text, matching(r"[A-Za-z0-9._-]+", "may contain only letters, digits, dot, dash and underscore")
]
_Name = Annotated[_Text, NotEmpty]
_Action = Annotated[Literal["refuse", "hold", "fallback"], _Filled]


# ---------------------------------------------------------------------------- settings


@dataclass(frozen=True)
class KafkaSettings:
    """The broker and what is read from it. `config_file` has librdkafka's further settings.

    `beamline_topics` are the topics that each beamline writes to: see `topics_of`.
    """

    bootstrap_servers: _Name
    group_id: _Name = "scicow"
    topics: Annotated[_Text, check(_regular_expression)] = "^scifish-.*"
    beamline_topics: dict[_Name, tuple[_TopicOfBeamline, ...]] = field(
        default_factory=lambda: {OTHER_BEAMLINES: DEFAULT_TOPICS}
    )
    config_file: Annotated[_Text, check(_private_file)] = ""

    def librdkafka(self) -> dict[str, Any]:
        """The configuration of every client of this broker. SciCowSettingsError if `config_file` is wrong."""
        return {"bootstrap.servers": self.bootstrap_servers} | _librdkafka_file(self.config_file)

    def topics_of(self, beamline: str) -> list[str]:
        """The topics that this beamline may write to; a `*` in one is any text."""
        by_name = {name.lower(): topics for name, topics in self.beamline_topics.items()}
        topics = by_name.get(beamline.lower(), by_name.get(OTHER_BEAMLINES, DEFAULT_TOPICS))
        return [topic.format(beamline=beamline) for topic in topics]

    def may_write(self, beamline: str, topic: str) -> bool:
        """Whether this topic is one of the beamline's. Upper and lower case are the same."""
        return any(fnmatchcase(topic.lower(), each.lower()) for each in self.topics_of(beamline))


@dataclass(frozen=True)
class SciCatAccount:
    """The catalogue, and an account in its ADMIN_GROUPS: others cannot change what they have created."""

    url: Annotated[_Text, check(_url)]
    username: _Name
    password: Annotated[Secret, PlainValidator(_secret), NotEmpty]
    timeout: _Seconds = 10.0
    api: Annotated[Literal["auto", "v3", "v4"], _Filled] = "auto"


@dataclass(frozen=True)
class Contact:
    """The owner of a dataset if the user office does not name one."""

    owner: _Name
    contact_email: Annotated[_Text, check(wrong_email)]
    principal_investigator: _Name


@dataclass(frozen=True)
class ProposalSettings:
    """What happens to a dataset, depending on what the user office says about its proposal.

    `unknown`, `foreign` (of another beamline) and `proprietary` are each `refuse` (a dead letter),
    `hold` (ask again, for `hold_for` seconds, then a dead letter) or `fallback` (taken, but into
    `fallback_group` alone). `create` creates proposals, samples and instruments that SciCat does not have.
    """

    unknown: _Action = "hold"
    foreign: _Action = "refuse"
    proprietary: _Action = "refuse"
    hold_for: _Seconds = 86_400.0
    fallback_group: Annotated[_Text, check(_template("beamline"))] = "{beamline}-staff"
    create: _Flag = True


@dataclass(frozen=True)
class HttpSettings:
    """Where metrics, health and status are served; with port 0 they are not."""

    host: _Name = "127.0.0.1"
    port: Annotated[_WholeNumber, check(_between(0, 65_535))] = 9404


@dataclass(frozen=True)
class SciCowSettings:
    """All of SciCow's settings. Times are in seconds; `{proposal}` and `{beamline}` are the message's.

    `{group}` is the group that the user office names for the proposal. `user_office` is an address
    as `sdm.office` has it, `mapping` a file; "" is none.
    """

    __pydantic_config__ = FORBID_EXTRA

    kafka: KafkaSettings
    scicat: SciCatAccount
    contact: Contact
    user_office: Annotated[_Text, check(_office)] = ""
    office_memory: _Text = ""
    proposals: ProposalSettings = ProposalSettings()
    mapping: _Text = ""
    checksums: Annotated[Literal["none", "blake2b", "sha256"], _Filled] = "none"
    checksum_folders: tuple[_FullPath, ...] = ("/data",)
    workers: Annotated[_WholeNumber, check(_between(1, 64))] = 8
    max_waiting: Annotated[_WholeNumber, check(_between(1, 1_000_000))] = 1000
    http: HttpSettings = HttpSettings()
    dead_letter_topic: _Topic = "scicow-dead-letters"
    pid_prefix: _PidPrefix = "scizoo"
    owner_group: Annotated[_Text, check(_template("proposal", "beamline", "group"))] = "{proposal}-group"
    no_proposal_group: Annotated[_Text, check(_template("beamline"))] = "{beamline}-staff"
    access_groups: tuple[Annotated[_Text, check(_template("proposal", "beamline", "group"))], ...] = ("{beamline}",)
    creation_location: Annotated[_Text, check(_template("proposal", "beamline"))] = "/{beamline}"
    missing_dataset_wait: _Seconds = 60.0
    server_error_wait: _Seconds = 600.0
    check_sequence: _Flag = True


def load(path: Path, environ: Mapping[str, str] = os.environ, secrets: bool = True) -> SciCowSettings:
    """The settings in this file. Raises SciCowSettingsError naming every mistake.

    Without `secrets`, a missing password is not a mistake, so that the other settings can be shown. With them, a crash
    of this process leaves no core dump, which would have them.
    """
    if secrets:
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    text = read_text(path, SciCowSettingsError)
    document = YamlDocument(str(path), text, SciCowSettingsError, keep_nulls=True)
    settings = document.validated(SciCowSettings, _Sources(environ, secrets, path))
    if not settings.kafka.topics.startswith("^scifish-") and not document.has(("kafka", "beamline_topics")):
        document.refuse(
            ("kafka", "topics"),
            "has topics that are not scifish-<beamline>: write in kafka.beamline_topics which beamline writes to "
            f"which, like {{cosaxs: [cosaxs-metadata]}}, or {{'{OTHER_BEAMLINES}': ['{{beamline}}-metadata']}} for all",
        )
    if re.search(settings.kafka.topics, settings.dead_letter_topic):
        topics, dead_letters = ("kafka", "topics"), ("dead_letter_topic",)
        if document.has(dead_letters):
            document.refuse(dead_letters, f"must not match kafka.topics, {settings.kafka.topics!r}: change one")
        document.refuse(topics, f"must not match dead_letter_topic, {settings.dead_letter_topic!r}: change one")
    return settings


def shown(settings: SciCowSettings) -> str:
    """The settings in force, as YAML with secrets hidden."""

    def hide(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: hide(inner) for name, inner in value.items()}
        if isinstance(value, tuple):
            return [hide(inner) for inner in value]
        return HIDDEN if isinstance(value, Secret) else value

    return str(yaml.safe_dump(hide(dataclasses.asdict(settings)), sort_keys=False, allow_unicode=True))


def _librdkafka_file(name: str) -> dict[str, str]:
    """`name=value` lines as in Kafka's client.properties; `#` begins a comment line."""
    if not name:
        return {}
    path = Path(name)
    wrong = private(path)
    if wrong:
        raise SciCowSettingsError(wrong)
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SciCowSettingsError(f"{path}: cannot be read: {error}") from error
    found = {}
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            key, equals, value = line.partition("=")
            if not equals:
                raise SciCowSettingsError(f"{path}, line {number}: must be name=value")  # not shown: it may be a secret
            found[key.strip()] = value.strip()
    return found
