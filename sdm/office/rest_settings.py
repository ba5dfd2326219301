"""The settings file of an office with a REST interface. Every mistake is reported with file, line and field."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BeforeValidator, TypeAdapter, ValidationInfo

from sdm.names import NameRefused, check_category, check_name
from sdm.office.field_mapping import (
    AnswerMapping,
    FieldSource,
    UnusableAnswer,
    VisitSource,
)
from sdm.office.model import CATEGORY_OF, BeamlineName, OfficeError, OfficeUnavailable, UnknownProposal
from sdm.office.rest import RestClient, Token
from sdm.yaml_document import FORBID_EXTRA, Number, YamlDocument, check, matching, read_text

DEFAULT_HEADER = "Authorization: Bearer {token}"
DEFAULT_TIMEOUT_SECONDS = 5.0
"""A client that writes PathFixer's Proposal waits for it."""

_HEADER = matching(r"[A-Za-z0-9-]+:[ -~]*\{token\}[ -~]*", f"is not of the form '{DEFAULT_HEADER}'")
_MAX_TIMEOUT_SECONDS = 300.0


def _url(given: str) -> str:
    try:
        parts = urlsplit(given)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or not given.isprintable() or " " in given:
        raise ValueError("is not of the form https://host/path")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("has a password, a query or a fragment: put the token into token_file")
    return given.rstrip("/")


def _beside(given: str, info: ValidationInfo) -> str:
    """The path of a file that is named from the folder of the settings, the validation's context."""
    return str(info.context / given) if given and isinstance(info.context, Path) else given


def _wrong_file(path: str) -> str:
    return "" if not path or Path(path).is_file() else f"there is no file {path}"


def _wrong_timeout(seconds: float) -> str:
    good = 0 < seconds <= _MAX_TIMEOUT_SECONDS
    return "" if good else f"must be a number of seconds greater than 0, {_MAX_TIMEOUT_SECONDS:g} at most"


def _wrong_dates(dates: str) -> str:
    return "" if not dates or "%" in dates else f"{dates!r} is not of the form %d/%m/%Y"


def _template(*allowed: str) -> Callable[[str], str]:
    """The template contains the first of `allowed`, and no other names than these."""
    needed = " or ".join(f"{{{name}}}" for name in allowed)

    def wrong(template: str) -> str:
        named = re.findall(r"\{([^{}]*)\}", template)
        braces = template.count("{") == template.count("}") == len(named)
        good = braces and allowed[0] in named and not set(named) - set(allowed)
        return "" if good else f"{template!r} must name {{{allowed[0]}}}, and in braces only {needed}"

    return wrong


def question(*allowed: str) -> AfterValidator:
    """Checks the path of a request, which contains the first of these names in braces, and no others."""
    wrong_names = _template(*allowed)

    def wrong(template: str) -> str:
        good = template.startswith("/") and template.isprintable() and " " not in template
        return wrong_names(template) or ("" if good else f"{template!r} is not a path that begins with '/'")

    return check(wrong)


def _path_alone(given: object) -> object:
    return {"path": given} if isinstance(given, str) else given


def _named_visits(given: object) -> object:
    if isinstance(given, dict) and not {"name", "start"} & set(given):
        raise ValueError("name or start is needed besides path")
    return _path_alone(given)


_OneOrMore = BeforeValidator(lambda given: given if isinstance(given, list) else [given])
_Sources = Annotated[tuple[Annotated[FieldSource, BeforeValidator(_path_alone)], ...], _OneOrMore]
_VisitSources = Annotated[tuple[Annotated[VisitSource, BeforeValidator(_named_visits)], ...], _OneOrMore]


@dataclass(frozen=True)
class ProposalSources:
    """Where the fields of a proposal are in an answer; None is the default of this kind of office."""

    id: _Sources | None = None
    title: _Sources | None = None
    abstract: _Sources | None = None
    pi_name: _Sources | None = None
    pi_email: _Sources | None = None
    type: _Sources | None = None
    proprietary: _Sources | None = None
    beamline: _Sources | None = None
    members: _Sources | None = None
    group: _Sources | None = None
    samples: _Sources | None = None
    visits: _VisitSources | None = None

    def given(self) -> dict[str, Any]:
        return {name: sources for name, sources in vars(self).items() if sources is not None}


@dataclass(frozen=True)
class OfficeFile:
    """The settings that all kinds of office have; a kind with further ones derives from it."""

    __pydantic_config__ = FORBID_EXTRA

    url: Annotated[str, AfterValidator(_url)]
    token_file: Annotated[str, AfterValidator(_beside)] = ""
    header: Annotated[str, _HEADER] = DEFAULT_HEADER
    timeout: Annotated[Number, check(_wrong_timeout)] = DEFAULT_TIMEOUT_SECONDS
    ca_file: Annotated[str, AfterValidator(_beside), check(_wrong_file)] = ""
    fields: ProposalSources = ProposalSources()
    dates: Annotated[str, check(_wrong_dates)] = ""
    categories: dict[str, Annotated[str, AfterValidator(check_category)]] = field(default_factory=dict)
    beamlines: dict[str, BeamlineName] = field(default_factory=dict)
    group: Annotated[str, check(_template("proposal"))] = "{proposal}-group"


@dataclass(frozen=True)
class RestSettings:
    """A file's settings; `settings_name` names them in messages."""

    file: OfficeFile
    settings_name: str
    mapping: AnswerMapping

    def client(self) -> RestClient:
        file = self.file
        return RestClient(
            file.url,
            settings_name=self.settings_name,
            header=file.header,
            timeout=file.timeout,
            token=Token(Path(file.token_file)) if file.token_file else None,
            ca_file=file.ca_file,
        )

    def unknown(self, proposal_id: str) -> UnknownProposal:
        """The error for a proposal that the office does not have.

        It is raised here for an invalid number: that must not be sent, because it could be a path to elsewhere.
        """
        unknown = UnknownProposal(f"the user office ({self.file.url}) has no proposal {proposal_id!r}")
        try:
            check_name(proposal_id, "proposal")
        except NameRefused as error:
            raise unknown from error
        return unknown


@dataclass(frozen=True)
class OfficeDefaults:
    """The sources of the fields of one kind of office, as in its file, and the class of its file."""

    fields: Mapping[str, object]
    file: type[OfficeFile] = OfficeFile


def load(file: Path, defaults: OfficeDefaults) -> RestSettings:
    """Raises OfficeError."""
    return _settings(YamlDocument(str(file), read_text(file, OfficeError), OfficeError), file, defaults)


def default_settings(url: str, defaults: OfficeDefaults) -> RestSettings:
    """All settings by default. Raises OfficeError."""
    where = "the user office's address"
    return _settings(YamlDocument(where, yaml.safe_dump({"url": url}), OfficeError), Path(where), defaults)


def _settings(document: YamlDocument, file: Path, defaults: OfficeDefaults) -> RestSettings:
    given = document.validated(defaults.file, context=file.parent)
    sources = TypeAdapter(ProposalSources).validate_python(defaults.fields).given() | given.fields.given()
    mapping = AnswerMapping(
        visits=sources.pop("visits"),
        fields=sources,
        dates=given.dates,
        categories={**CATEGORY_OF, **given.categories},
        beamlines=given.beamlines,
        group=given.group,
    )
    return RestSettings(given, str(file), mapping)


PROPOSAL_FIELDS = tuple(one.name for one in fields(ProposalSources))
COMMON_SETTINGS = tuple(one.name for one in fields(OfficeFile))


@contextlib.contextmanager
def answer_errors(settings: RestSettings) -> Iterator[None]:
    """Turn an answer that cannot be used into OfficeUnavailable."""
    try:
        yield
    except UnusableAnswer as error:
        raise OfficeUnavailable(
            f"the answer of the user office ({settings.file.url}) cannot be used: {error}. "
            f"Is its field named in {settings.settings_name}?"
        ) from error
