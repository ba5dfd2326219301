"""The settings file of an office with a REST interface. Every mistake is reported with file, line and field."""

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
from sdm.office.field_mapping import (
    RULES,
    AnswerMapping,
    AnswerPath,
    FieldSource,
    Template,
    UnusableAnswer,
    VisitSource,
    parse_part,
)
from sdm.office.model import CATEGORY_OF, OfficeError, OfficeUnavailable, UnknownProposal
from sdm.office.rest import RestClient, Token
from sdm.yaml_nodes import Mistake, checked, located_errors, mapping, read, root_of, text

PROPOSAL_FIELDS = (
    *("id", "title", "abstract", "pi_name", "pi_email", "type", "proprietary"),
    *("beamline", "members", "group", "samples", "visits"),
)

DEFAULT_HEADER = "Authorization: Bearer {token}"
DEFAULT_TIMEOUT_SECONDS = 5.0
"""A client that writes PathFixer's Proposal waits for it."""

COMMON_SETTINGS = (
    *("url", "token_file", "header", "timeout", "ca_file"),
    *("fields", "dates", "categories", "beamlines", "group"),
)

_MAX_TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True)
class RestSettings:
    """`specific` are the settings of this kind of office only, as texts."""

    url: str
    settings_name: str
    mapping: AnswerMapping
    token_file: Path | None = None
    header: str = DEFAULT_HEADER
    timeout: float = DEFAULT_TIMEOUT_SECONDS
    ca_file: str = ""
    specific: Mapping[str, str] = field(default_factory=dict)

    def client(self) -> RestClient:
        return RestClient(
            self.url,
            settings_name=self.settings_name,
            header=self.header,
            timeout=self.timeout,
            token=Token(self.token_file) if self.token_file else None,
            ca_file=self.ca_file,
        )

    def unknown(self, proposal_id: str) -> UnknownProposal:
        """The error for a proposal that the office does not have.

        It is raised here for an invalid number: that must not be sent, because it could be a path to elsewhere.
        """
        unknown = UnknownProposal(f"the user office ({self.url}) has no proposal {proposal_id!r}")
        try:
            check_name(proposal_id, "proposal")
        except NameRefused as error:
            raise unknown from error
        return unknown


@dataclass(frozen=True)
class OfficeDefaults:
    """The defaults of one kind of office: the sources of its fields, and further settings.

    `questions` are the paths of its requests: by setting, the default template and the names that it may contain;
    it must contain the first of these. `places` are settings with dotted paths into an answer.
    """

    fields: Mapping[str, object]
    questions: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    places: tuple[str, ...] = ()


def load(file: Path, defaults: OfficeDefaults) -> RestSettings:
    """Raises OfficeError."""
    with located_errors(str(file), OfficeError):
        root = root_of(read(file, OfficeError))
        if root is None:
            raise OfficeError(f"{file} is empty: it needs at least a url")
        return _settings(root, file, defaults)


def default_settings(url: str, defaults: OfficeDefaults) -> RestSettings:
    """All settings by default. Raises OfficeError."""
    with located_errors("the user office's address", OfficeError):
        return _settings(_node({"url": url}), Path("/"), defaults, settings_name="the user office's address")


def _node(value: object) -> yaml.Node:
    node = yaml.compose(yaml.safe_dump(value), Loader=yaml.SafeLoader)
    assert node is not None  # there is always a node
    return node


def _settings(root: yaml.Node, file: Path, defaults: OfficeDefaults, settings_name: str = "") -> RestSettings:
    given = mapping(root, "the file", (*COMMON_SETTINGS, *defaults.questions, *defaults.places))
    if "url" not in given:
        raise Mistake(root, "url is missing")
    token_file = text(given.get("token_file"), "token_file")
    ca_file = text(given.get("ca_file"), "ca_file")
    if ca_file and not (file.parent / ca_file).is_file():
        raise Mistake(given["ca_file"], f"ca_file: there is no file {ca_file}")
    return RestSettings(
        url=_url(given["url"]),
        settings_name=settings_name or str(file),
        token_file=file.parent / token_file if token_file else None,
        header=_header(given["header"]) if "header" in given else DEFAULT_HEADER,
        timeout=_timeout(given["timeout"]) if "timeout" in given else DEFAULT_TIMEOUT_SECONDS,
        ca_file=str(file.parent / ca_file) if ca_file else "",
        mapping=_answer_mapping(given, defaults),
        specific={
            **{name: _question(given.get(name), name, *wanted) for name, wanted in defaults.questions.items()},
            **{name: _dotted(given[name], name).text for name in defaults.places if name in given},
        },
    )


def _answer_mapping(given: Mapping[str, yaml.Node], defaults: OfficeDefaults) -> AnswerMapping:
    sources = {name: _node(value) for name, value in defaults.fields.items()}
    if "fields" in given:
        sources |= mapping(given["fields"], "fields", PROPOSAL_FIELDS)
    dates = text(given.get("dates"), "dates")
    if dates and "%" not in dates:
        raise Mistake(given["dates"], f"dates: {dates!r} is not of the form %d/%m/%Y")
    group = text(given.get("group"), "group") or "{proposal}-group"
    if "group" in given:
        _names(given["group"], "group", ("proposal",))
    return AnswerMapping(
        fields={
            name: tuple(_field(one, name) for one in _each(node)) for name, node in sources.items() if name != "visits"
        },
        visits=tuple(_visits(one) for one in _each(sources["visits"])),
        dates=dates,
        categories={**CATEGORY_OF, **_words(given, "categories", check_category)},
        beamlines=_words(given, "beamlines", lambda name: check_name(name, "beamline")),
        group=group,
    )


def _each(node: yaml.Node) -> list[yaml.Node]:
    return list(node.value) if isinstance(node, yaml.SequenceNode) else [node]


def _part(node: yaml.Node, what: str) -> AnswerPath | Template:
    try:
        return parse_part(text(node, what))
    except ValueError as error:
        raise Mistake(node, f"{what}: {error}") from error


def _dotted(node: yaml.Node, what: str) -> AnswerPath:
    found = _part(node, what)
    if not isinstance(found, AnswerPath):
        raise Mistake(node, f"{what}: a path without braces is needed")
    return found


def _field(node: yaml.Node, name: str) -> FieldSource:
    """`path`, `{path} {path}`, or `{path, text, rule}`."""
    what = f"fields: {name}"
    if isinstance(node, yaml.ScalarNode):
        return FieldSource(_part(node, what))
    given = mapping(node, what, ("path", "text", "rule"))
    if "path" not in given:
        raise Mistake(node, f"{what}: path is missing")
    rule = text(given.get("rule"), f"{what}: rule")
    if rule and rule not in RULES:
        raise Mistake(given["rule"], f"{what}: rule {rule!r} is not one of {', '.join(RULES)}")
    if "text" in given:
        return FieldSource(_part(given["text"], f"{what}: text"), _dotted(given["path"], f"{what}: path"), rule)
    return FieldSource(_part(given["path"], f"{what}: path"), None, rule)


def _visits(node: yaml.Node) -> VisitSource:
    """A `path` to starts or names, or `{path, name, start, end, beamline}`."""
    what = "fields: visits"
    if isinstance(node, yaml.ScalarNode):
        return VisitSource(_dotted(node, what))
    given = mapping(node, what, ("path", "name", "start", "end", "beamline"))
    if "path" not in given or not {"name", "start"} & set(given):
        raise Mistake(node, f"{what}: path, and name or start, are needed")
    parts = {name: _part(one, f"{what}: {name}") for name, one in given.items() if name != "path"}
    return VisitSource(_dotted(given["path"], f"{what}: path"), parts)


def _words(given: Mapping[str, yaml.Node], what: str, check: Callable[[str], str]) -> dict[str, str]:
    if what not in given:
        return {}
    return {name: checked(node, f"{what}: {name}", check) for name, node in mapping(given[what], what).items()}


def _names(node: yaml.Node, what: str, allowed: tuple[str, ...]) -> str:
    """The template, checked: it contains the first of `allowed`, and no other names than these."""
    template = text(node, what)
    named = re.findall(r"\{([^{}]*)\}", template)
    if set(named) - set(allowed) or allowed[0] not in named or template.count("{") != template.count("}") != len(named):
        needed = " or ".join(f"{{{name}}}" for name in allowed)
        raise Mistake(node, f"{what}: {template!r} must name {{{allowed[0]}}}, and in braces only {needed}")
    return template


def _question(node: yaml.Node | None, what: str, default: str, allowed: tuple[str, ...]) -> str:
    if node is None:
        return default
    template = _names(node, what, allowed)
    if not template.startswith("/") or not template.isprintable() or " " in template:
        raise Mistake(node, f"{what}: {template!r} is not a path that begins with '/'")
    return template


def _url(node: yaml.Node) -> str:
    given = text(node, "url")
    try:
        parts = urlsplit(given)
        folder_name = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        folder_name = False
    if not folder_name or not given.isprintable() or " " in given:
        raise Mistake(node, "url is not of the form https://host/path")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise Mistake(node, "url has a password, a query or a fragment: put the token into token_file")
    return given.rstrip("/")


def _header(node: yaml.Node) -> str:
    given = text(node, "header")
    if not re.fullmatch(r"[A-Za-z0-9-]+:[ -~]*\{token\}[ -~]*", given):
        raise Mistake(node, "header is not of the form 'Authorization: Bearer {token}'")
    return given


def _timeout(node: yaml.Node) -> float:
    given = text(node, "timeout")
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= _MAX_TIMEOUT_SECONDS:
        raise Mistake(node, f"timeout: {given!r} is not a number of seconds up to {_MAX_TIMEOUT_SECONDS:g}")
    return seconds


@contextlib.contextmanager
def answer_errors(settings: RestSettings) -> Iterator[None]:
    """Turn an answer that cannot be used into OfficeUnavailable."""
    try:
        yield
    except UnusableAnswer as error:
        raise OfficeUnavailable(
            f"the answer of the user office ({settings.url}) cannot be used: {error}. "
            f"Is its field named in {settings.settings_name}?"
        ) from error
