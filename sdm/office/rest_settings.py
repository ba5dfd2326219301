"""The settings file of an office that is asked over REST. Every mistake is told with file, line and field."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from sdm.names import NameRefused, check_category, check_name
from sdm.office.field_mapping import RULES, Dotted, Field, Reading, Template, Unreadable, VisitFields, part
from sdm.office.model import CATEGORY_OF, OfficeError, OfficeUnavailable, UnknownProposal
from sdm.office.rest import Server, Token
from sdm.yaml_nodes import Mistake, checked, mapping, read, root_of, telling, text

FIELDS = (
    *("id", "title", "abstract", "pi_name", "pi_email", "type", "proprietary"),
    *("beamline", "members", "group", "samples", "visits"),
)

HEADER = "Authorization: Bearer {token}"
TIMEOUT = 5.0
"""Seconds. Who writes PathFixer's Proposal waits for it."""

COMMON = ("url", "token_file", "header", "timeout", "ca_file", "fields", "dates", "categories", "beamlines", "group")

_LONGEST_TIMEOUT = 300.0


@dataclass(frozen=True)
class RestSettings:
    """`own` are the settings that only one kind of office has, as texts."""

    url: str
    told_in: str
    reading: Reading
    token_file: Path | None = None
    header: str = HEADER
    timeout: float = TIMEOUT
    ca_file: str = ""
    own: Mapping[str, str] = field(default_factory=dict)

    def server(self) -> Server:
        return Server(
            self.url,
            told_in=self.told_in,
            header=self.header,
            timeout=self.timeout,
            token=Token(self.token_file) if self.token_file else None,
            ca_file=self.ca_file,
        )

    def unknown(self, proposal_id: str) -> UnknownProposal:
        """The error for a proposal that the office does not have.

        It is raised here for a number that is none: that is not asked for, as it could be a path to elsewhere.
        """
        unknown = UnknownProposal(f"the user office ({self.url}) has no proposal {proposal_id!r}")
        try:
            check_name(proposal_id, "proposal")
        except NameRefused as error:
            raise unknown from error
        return unknown


@dataclass(frozen=True)
class Own:
    """What one kind of office has of its own: where it usually has its fields, and further settings.

    `questions` are templates of paths with their defaults, and with what they may name; the first
    of these they must name. `places` are dotted paths into an answer.
    """

    fields: Mapping[str, object]
    questions: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    places: tuple[str, ...] = ()


def load(file: Path, own: Own) -> RestSettings:
    """Raises OfficeError."""
    with telling(str(file), OfficeError):
        root = root_of(read(file, OfficeError))
        if root is None:
            raise OfficeError(f"{file} is empty: it needs at least a url")
        return _settings(root, file, own)


def without_file(url: str, own: Own) -> RestSettings:
    """All by default. Raises OfficeError."""
    with telling("the user office's address", OfficeError):
        return _settings(_node({"url": url}), Path("/"), own, told_in="the user office's address")


def _node(value: object) -> yaml.Node:
    node = yaml.compose(yaml.safe_dump(value), Loader=yaml.SafeLoader)
    assert node is not None  # what is dumped is there
    return node


def _settings(root: yaml.Node, file: Path, own: Own, told_in: str = "") -> RestSettings:
    given = mapping(root, "the file", (*COMMON, *own.questions, *own.places))
    if "url" not in given:
        raise Mistake(root, "url is missing")
    token_file = text(given.get("token_file"), "token_file")
    ca_file = text(given.get("ca_file"), "ca_file")
    if ca_file and not (file.parent / ca_file).is_file():
        raise Mistake(given["ca_file"], f"ca_file: there is no file {ca_file}")
    return RestSettings(
        url=_url(given["url"]),
        told_in=told_in or str(file),
        token_file=file.parent / token_file if token_file else None,
        header=_header(given["header"]) if "header" in given else HEADER,
        timeout=_timeout(given["timeout"]) if "timeout" in given else TIMEOUT,
        ca_file=str(file.parent / ca_file) if ca_file else "",
        reading=_reading(given, own),
        own={
            **{name: _question(given.get(name), name, *wanted) for name, wanted in own.questions.items()},
            **{name: _dotted(given[name], name).text for name in own.places if name in given},
        },
    )


def _reading(given: Mapping[str, yaml.Node], own: Own) -> Reading:
    places = {name: _node(value) for name, value in own.fields.items()}
    if "fields" in given:
        places |= mapping(given["fields"], "fields", FIELDS)
    dates = text(given.get("dates"), "dates")
    if dates and "%" not in dates:
        raise Mistake(given["dates"], f"dates: {dates!r} is not of the form %d/%m/%Y")
    group = text(given.get("group"), "group") or "{proposal}-group"
    if "group" in given:
        _names(given["group"], "group", ("proposal",))
    return Reading(
        fields={
            name: tuple(_field(one, name) for one in _each(node)) for name, node in places.items() if name != "visits"
        },
        visits=tuple(_visits(one) for one in _each(places["visits"])),
        dates=dates,
        categories={**CATEGORY_OF, **_words(given, "categories", check_category)},
        beamlines=_words(given, "beamlines", lambda name: check_name(name, "beamline")),
        group=group,
    )


def _each(node: yaml.Node) -> list[yaml.Node]:
    return list(node.value) if isinstance(node, yaml.SequenceNode) else [node]


def _part(node: yaml.Node, what: str) -> Dotted | Template:
    try:
        return part(text(node, what))
    except ValueError as error:
        raise Mistake(node, f"{what}: {error}") from error


def _dotted(node: yaml.Node, what: str) -> Dotted:
    found = _part(node, what)
    if not isinstance(found, Dotted):
        raise Mistake(node, f"{what}: a path without braces is needed")
    return found


def _field(node: yaml.Node, name: str) -> Field:
    """`path`, `{path} {path}`, or `{path, text, rule}`."""
    what = f"fields: {name}"
    if isinstance(node, yaml.ScalarNode):
        return Field(_part(node, what))
    given = mapping(node, what, ("path", "text", "rule"))
    if "path" not in given:
        raise Mistake(node, f"{what}: path is missing")
    rule = text(given.get("rule"), f"{what}: rule")
    if rule and rule not in RULES:
        raise Mistake(given["rule"], f"{what}: rule {rule!r} is not one of {', '.join(RULES)}")
    if "text" in given:
        return Field(_part(given["text"], f"{what}: text"), _dotted(given["path"], f"{what}: path"), rule)
    return Field(_part(given["path"], f"{what}: path"), None, rule)


def _visits(node: yaml.Node) -> VisitFields:
    """`path` of starts or of names, or `{path, name, start, end, beamline}`."""
    what = "fields: visits"
    if isinstance(node, yaml.ScalarNode):
        return VisitFields(_dotted(node, what))
    given = mapping(node, what, ("path", "name", "start", "end", "beamline"))
    if "path" not in given or not {"name", "start"} & set(given):
        raise Mistake(node, f"{what}: path, and name or start, are needed")
    parts = {name: _part(one, f"{what}: {name}") for name, one in given.items() if name != "path"}
    return VisitFields(_dotted(given["path"], f"{what}: path"), parts)


def _words(given: Mapping[str, yaml.Node], what: str, check: Callable[[str], str]) -> dict[str, str]:
    if what not in given:
        return {}
    return {name: checked(node, f"{what}: {name}", check) for name, node in mapping(given[what], what).items()}


def _names(node: yaml.Node, what: str, allowed: tuple[str, ...]) -> str:
    """The template, checked: it names the first of `allowed`, and nothing else than these."""
    template = text(node, what)
    named = re.findall(r"\{([^{}]*)\}", template)
    if set(named) - set(allowed) or allowed[0] not in named or template.count("{") != template.count("}") != len(named):
        needed = " or ".join(f"{{{name}}}" for name in allowed)
        raise Mistake(
            node, f"{what}: {template!r} must name {{{allowed[0]}}}, and in braces nothing else than {needed}"
        )
    return template


def _question(node: yaml.Node | None, what: str, default: str, allowed: tuple[str, ...]) -> str:
    if node is None:
        return default
    template = _names(node, what, allowed)
    if not template.startswith("/") or not template.isprintable() or " " in template:
        raise Mistake(node, f"{what}: {template!r} is not a path that begins with '/'")
    return template


def _url(node: yaml.Node) -> str:
    said = text(node, "url")
    try:
        parts = urlsplit(said)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not said.isprintable() or " " in said:
        raise Mistake(node, "url is not of the form https://host/path")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise Mistake(node, "url holds a password, a query or a fragment: the token goes into token_file")
    return said.rstrip("/")


def _header(node: yaml.Node) -> str:
    said = text(node, "header")
    if not re.fullmatch(r"[A-Za-z0-9-]+:[ -~]*\{token\}[ -~]*", said):
        raise Mistake(node, "header is not of the form 'Authorization: Bearer {token}'")
    return said


def _timeout(node: yaml.Node) -> float:
    said = text(node, "timeout")
    try:
        seconds = float(said)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= _LONGEST_TIMEOUT:
        raise Mistake(node, f"timeout: {said!r} is not a number of seconds up to {_LONGEST_TIMEOUT:g}")
    return seconds


@contextlib.contextmanager
def unreadable(settings: RestSettings) -> Iterator[None]:
    """An answer that cannot be used is an office that cannot be asked."""
    try:
        yield
    except Unreadable as error:
        raise OfficeUnavailable(
            f"the answer of the user office ({settings.url}) cannot be used: {error}. "
            f"Is its field named in {settings.told_in}?"
        ) from error
