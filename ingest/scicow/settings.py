"""SciCow's settings: one YAML file, checked whole before anything is started.

A value may hold `${NAME}`: the environment variable of that name, so that a secret
need not be written into the file.
"""

from __future__ import annotations

import dataclasses
import os
import re
import stat
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from string import Formatter
from typing import Any
from urllib.parse import urlsplit

import yaml

from sdm.office import OfficeError, office_from

HIDDEN = "***"

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


def _not_empty(value: str) -> str:
    return "" if value.strip() else "is empty: write a value"


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
        return _not_empty(value)

    return wrong


def _office(value: str) -> str:
    try:
        office_from(value)
    except OfficeError as error:
        return str(error)
    return ""


def _pid_prefix(value: str) -> str:
    return (
        "" if re.fullmatch(r"[A-Za-z0-9._-]+", value) else "may contain only letters, digits, dot, dash and underscore"
    )


def _topic(value: str) -> str:
    return "" if re.fullmatch(r"[A-Za-z0-9._-]{1,249}", value) else "is not the name of a Kafka topic"


def _full_path(value: str) -> str:
    return "" if value.startswith("/") else "must be a full path, like /data"


def _positive(value: float) -> str:
    return "" if 0 < value <= MAX_SECONDS else f"must be a number of seconds greater than 0, {MAX_SECONDS:.0f} at most"


def _one_of(*known: str) -> Callable[[str], str]:
    return lambda value: "" if value in known else f"must be one of {', '.join(known)}"


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


def _checked(check: Callable[[Any], str]) -> dict[str, Any]:
    return {"check": check}


# ---------------------------------------------------------------------------- settings


@dataclass(frozen=True)
class KafkaSettings:
    """The broker and what is read from it. `config_file` has librdkafka's further settings."""

    bootstrap_servers: str = field(metadata=_checked(_not_empty))
    group_id: str = field(default="scicow", metadata=_checked(_not_empty))
    topics: str = field(default="^scifish-.*", metadata=_checked(_regular_expression))
    config_file: str = field(default="", metadata=_checked(_private_file))

    def librdkafka(self) -> dict[str, Any]:
        """The configuration of every client of this broker. SciCowSettingsError if `config_file` is wrong."""
        return {"bootstrap.servers": self.bootstrap_servers} | _librdkafka_file(self.config_file)


@dataclass(frozen=True)
class SciCatAccount:
    """The catalogue, and an account in its ADMIN_GROUPS: others cannot change what they have created."""

    url: str = field(metadata=_checked(_url))
    username: str = field(metadata=_checked(_not_empty))
    password: Secret = field(metadata=_checked(_not_empty))
    timeout: float = field(default=10.0, metadata=_checked(_positive))
    api: str = field(default="auto", metadata=_checked(_one_of("auto", "v3", "v4")))


@dataclass(frozen=True)
class Contact:
    """The owner of a dataset if the user office does not name one."""

    owner: str = field(metadata=_checked(_not_empty))
    contact_email: str = field(metadata=_checked(wrong_email))
    principal_investigator: str = field(metadata=_checked(_not_empty))


_ACTIONS = _one_of("refuse", "hold", "fallback")


@dataclass(frozen=True)
class ProposalSettings:
    """What happens to a dataset, depending on what the user office says about its proposal.

    `unknown`, `foreign` (of another beamline) and `proprietary` are each `refuse` (a dead letter),
    `hold` (ask again, for `hold_for` seconds, then a dead letter) or `fallback` (taken, but into
    `fallback_group` alone). `create` creates proposals, samples and instruments that SciCat does not have.
    """

    unknown: str = field(default="hold", metadata=_checked(_ACTIONS))
    foreign: str = field(default="refuse", metadata=_checked(_ACTIONS))
    proprietary: str = field(default="refuse", metadata=_checked(_ACTIONS))
    hold_for: float = field(default=86_400.0, metadata=_checked(_positive))
    fallback_group: str = field(default="{beamline}-staff", metadata=_checked(_template("beamline")))
    create: bool = True


@dataclass(frozen=True)
class HttpSettings:
    """Where metrics, health and status are served; with port 0 they are not."""

    host: str = field(default="127.0.0.1", metadata=_checked(_not_empty))
    port: int = field(default=9404, metadata=_checked(_between(0, 65_535)))


@dataclass(frozen=True)
class SciCowSettings:
    """All of SciCow's settings. Times are in seconds; `{proposal}` and `{beamline}` are the message's.

    `{group}` is the group that the user office names for the proposal. `user_office` is an address
    as `sdm.office` has it, `mapping` a file; "" is none.
    """

    kafka: KafkaSettings
    scicat: SciCatAccount
    contact: Contact
    user_office: str = field(default="", metadata=_checked(_office))
    office_memory: str = ""
    proposals: ProposalSettings = ProposalSettings()
    mapping: str = ""
    checksums: str = field(default="none", metadata=_checked(_one_of("none", "blake2b", "sha256")))
    checksum_folders: tuple[str, ...] = field(default=("/data",), metadata=_checked(_full_path))
    workers: int = field(default=8, metadata=_checked(_between(1, 64)))
    max_waiting: int = field(default=1000, metadata=_checked(_between(1, 1_000_000)))
    http: HttpSettings = HttpSettings()
    dead_letter_topic: str = field(default="scicow-dead-letters", metadata=_checked(_topic))
    pid_prefix: str = field(default="scizoo", metadata=_checked(_pid_prefix))
    owner_group: str = field(default="{proposal}-group", metadata=_checked(_template("proposal", "beamline", "group")))
    no_proposal_group: str = field(default="{beamline}-staff", metadata=_checked(_template("beamline")))
    access_groups: tuple[str, ...] = field(
        default=("{beamline}",), metadata=_checked(_template("proposal", "beamline", "group"))
    )
    creation_location: str = field(default="/{beamline}", metadata=_checked(_template("proposal", "beamline")))
    missing_dataset_wait: float = field(default=60.0, metadata=_checked(_positive))
    server_error_wait: float = field(default=600.0, metadata=_checked(_positive))
    check_sequence: bool = True


def load(path: Path, environ: Mapping[str, str] = os.environ, secrets: bool = True) -> SciCowSettings:
    """The settings in this file. Raises SciCowSettingsError naming every mistake.

    Without `secrets`, a missing password is no mistake, so that the other settings can be shown.
    """
    try:
        root = yaml.compose(path.read_text("utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise SciCowSettingsError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise SciCowSettingsError(f"{path}: not YAML: {error}") from error
    reader = _SettingsReader(path, environ, secrets)
    settings = reader.section(SciCowSettings, root, "")
    if not reader.mistakes and re.search(settings.kafka.topics, settings.dead_letter_topic):
        node = reader.nodes.get("dead_letter_topic") or reader.nodes.get("kafka.topics")
        reader.mistake(node, "dead_letter_topic", f"must not match kafka.topics, {settings.kafka.topics!r}: change one")
    reader.raise_if_any()
    return typing.cast(SciCowSettings, settings)


def shown(settings: SciCowSettings) -> str:
    """The settings in force, as YAML with secrets hidden."""

    def hide(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: hide(inner) for name, inner in value.items()}
        if isinstance(value, tuple):
            return [hide(inner) for inner in value]
        return HIDDEN if isinstance(value, Secret) else value

    return str(yaml.safe_dump(hide(dataclasses.asdict(settings)), sort_keys=False, allow_unicode=True))


class YamlMistakes:
    """Collects the mistakes in one YAML file, each with its line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mistakes: list[str] = []

    def mistake(self, node: yaml.Node | None, name: str, text: str) -> None:
        line = node.start_mark.line + 1 if node else 1
        self.mistakes.append(f"{self.path}, line {line}: {name}: {text}")

    def raise_if_any(self) -> None:
        """SciCowSettingsError with a line for each."""
        if self.mistakes:
            raise SciCowSettingsError("\n".join(self.mistakes))


class _SettingsReader(YamlMistakes):
    """Converts YAML nodes, which have line numbers, to the dataclasses above, and collects the mistakes."""

    def __init__(self, path: Path, environ: Mapping[str, str], secrets: bool) -> None:
        super().__init__(path)
        self.nodes: dict[str, yaml.Node] = {}
        self._environ = environ
        self._secrets = secrets

    def section(self, cls: type, node: yaml.Node | None, prefix: str) -> Any:
        """An instance of the dataclass, or None if it has a mistake."""
        if not isinstance(node, yaml.MappingNode):
            self.mistake(node, prefix.rstrip(".") or "settings", "must be 'name: value' lines")
            return None
        before = len(self.mistakes)
        fields = {known.name: known for known in dataclasses.fields(cls)}
        types = typing.get_type_hints(cls)
        found: dict[str, Any] = {}
        for key, inner in node.value:
            name = str(key.value)
            if name not in fields:
                near = get_close_matches(name, fields, 1)
                hint = f"did you mean {near[0]}?" if near else f"allowed are {', '.join(fields)}"
                self.mistake(key, prefix + name, f"is not a setting: {hint}")
            elif name in found:
                self.mistake(key, prefix + name, "is set twice: keep one")
            else:
                found[name] = self._value(fields[name], types[name], inner, prefix + name)
        for name, known in fields.items():
            if known.default is dataclasses.MISSING and name not in found:
                self.mistake(node, prefix + name, "is missing: add it")
        return cls(**found) if len(self.mistakes) == before else None

    def _value(self, known: dataclasses.Field[Any], kind: Any, node: yaml.Node, name: str) -> Any:
        self.nodes[name] = node
        if dataclasses.is_dataclass(kind):
            return self.section(typing.cast(type, kind), node, name + ".")
        if typing.get_origin(kind) is tuple:
            if not isinstance(node, yaml.SequenceNode):
                self.mistake(node, name, "must be a list, like [a, b]")
                return ()
            return tuple(self._value(known, str, inner, name) for inner in node.value)
        if not isinstance(node, yaml.ScalarNode) or node.tag.endswith(":null"):
            self.mistake(node, name, "must be one value; remove the line to use the default")
            return None
        value = self._scalar(kind, node, name)
        wrong = known.metadata["check"](value) if "check" in known.metadata and value is not None else ""
        if wrong:
            self.mistake(node, name, wrong)
        return value

    def _scalar(self, kind: Any, node: yaml.ScalarNode, name: str) -> Any:
        if kind is Secret:
            return self._secret(node, name)
        text = self._filled(node, name)
        if kind is str or text is None:
            return text
        if kind is bool:
            if text not in ("true", "false"):
                self.mistake(node, name, "must be true or false")
            return text == "true"
        try:
            return kind(text)
        except ValueError:
            self.mistake(node, name, "must be a whole number" if kind is int else "must be a number")
            return None

    def _secret(self, node: yaml.ScalarNode, name: str) -> Secret | None:
        if not self._secrets:
            return Secret(HIDDEN)
        if "${" not in node.value and private(self.path):
            self.mistake(node, name, f"is a secret, and {private(self.path)}, or write ${{NAME}} and set that variable")
        filled = self._filled(node, name)
        return None if filled is None else Secret(filled)

    def _filled(self, node: yaml.ScalarNode, name: str) -> str | None:
        names = re.findall(r"\$\{(\w+)\}", node.value)
        unset = [variable for variable in names if variable not in self._environ]
        if unset:
            self.mistake(node, name, f"the environment variable {unset[0]} is not set: set it")
            return None
        return re.sub(r"\$\{(\w+)\}", lambda found: self._environ[found[1]], node.value)


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
