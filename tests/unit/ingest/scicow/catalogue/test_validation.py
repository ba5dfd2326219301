"""Whose a dataset is: by the user office, by the settings, and for each kind of proposal that does not count."""

import copy
import dataclasses
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.scicat import SciCatError
from ingest.scicow.catalogue.ingestor import Ingestor
from ingest.scicow.catalogue.office_cache import SharedOffice
from ingest.scicow.catalogue.references import ReferenceRegistry
from ingest.scicow.catalogue.validation import Validator, validation_from
from ingest.scicow.errors import ForeignMessage, MessageRefused, NotYet
from ingest.scicow.mapping.ownership import Ownership, by_settings, is_name
from ingest.scicow.settings import ProposalSettings, SciCowSettingsError, load, wrong_email
from sdm.names import check_name
from sdm.office import OfficeRefused, OfficeUnavailable, Proposal
from tests.builders.messages import message
from tests.homeless import without_home
from tests.paths import DOCS
from tests.servers.fake_scicat import FakeServer
from tests.unit.ingest.scicow.catalogue.test_office_cache import Clock, FakeOffice
from tests.unit.ingest.scicow.catalogue.test_references import FakeSciCat
from tests.unit.ingest.scicow.test_settings import GOOD, PASSWORD

SETTINGS = load(DOCS / "scicow.example.yaml", secrets=False)
FALLBACK = Ownership("Data manager", "data@example.org", "Data manager", "cosaxs-staff", (), alone=True)


def rules(**changes):
    return dataclasses.replace(SETTINGS, proposals=ProposalSettings(**changes))


@pytest.fixture
def office():
    fake = FakeOffice()
    for number, more in {
        "20250001": {"title": "Fibres", "abstract": "Slowly.", "group": "grp-1"},
        "20250002": {"beamline": "veritas"},
        "20250003": {"beamline": "veritas", "also_at": ("CoSAXS",), "group": "g3"},
        "20250004": {"category": "proprietary"},
        "20250005": {"category": "proprietary", "beamline": "veritas"},
        "IN20250042": {},
    }.items():
        people = {"pi_name": "Astrid Lindqvist", "pi_email": "astrid@example.org"}
        fake.answers[number] = Proposal(**{"id": number, "title": "T", "beamline": "cosaxs", **people, **more})
    return fake


@pytest.fixture
def scicat():
    return FakeSciCat()


@pytest.fixture
def validator(office, scicat):
    def make(settings=SETTINGS):
        return Validator(settings, SharedOffice(office), ReferenceRegistry(scicat))

    return make


# ------------------------------------------------------------------ proposals that count


def test_people_come_from_the_office_and_groups_from_templates(validator, scicat):
    whose = validator()(message(proposalId="20250001"))
    assert whose == Ownership(
        "Astrid Lindqvist", "astrid@example.org", "Astrid Lindqvist", "20250001-group", ("cosaxs",), "pid of cosaxs"
    )
    assert (scicat.proposals["20250001"]["title"], scicat.proposals["20250001"]["abstract"]) == ("Fibres", "Slowly.")
    assert scicat.samples["S-1"]["ownerGroup"] == "20250001-group"
    assert scicat.all_instruments == [{"uniqueName": "cosaxs", "name": "cosaxs", "pid": "pid of cosaxs"}]


def test_the_groups_name_can_be_the_offices(validator):
    settings = dataclasses.replace(SETTINGS, owner_group="{group}", access_groups=("{group}-x", "{beamline}", "staff"))
    whose = validator(settings)(message(proposalId="20250001"))
    assert (whose.owner_group, whose.access_groups) == ("grp-1", ("grp-1-x", "cosaxs", "staff"))
    settings = dataclasses.replace(SETTINGS, owner_group="{group}")
    assert by_settings(message(proposalId="7"), settings).owner_group == "7-group"


@pytest.mark.parametrize(
    "email",
    [
        *(
            "",
            "astrid@localhost",
            "a@example.org;b@example.org",
            "a b@example.org",
            "..a@example.org",
            "a..b@example.org",
        ),
        *("a@-example.org", "a@example..org", f"{'a' * 65}@example.org", f"a@{'b.' * 130}org", "a@example.o", "@b.org"),
    ],
)
def test_an_address_that_scicat_refuses_is_replaced(validator, office, email):
    office.answers["1"] = Proposal("1", "T", "cosaxs", pi_name="Astrid Lindqvist", pi_email=email)
    whose = validator()(message(proposalId="1"))
    assert (whose.contact_email, whose.principal_investigator) == ("data@example.org", "Astrid Lindqvist")


@pytest.mark.parametrize("email", ["a@b.org", "o'brien+x@sub.example.org", "a.b_c@xn--bcher-kva.example"])
def test_addresses_that_scicat_takes(email):
    assert wrong_email(email) == ""


def test_without_a_leader_the_settings_contact_is(validator, office):
    office.answers["1"] = Proposal("1", "T", "cosaxs")
    whose = validator()(message(proposalId="1"))
    assert (whose.owner, whose.principal_investigator) == ("Data manager", "Data manager")


@pytest.mark.parametrize("beamline", ["cosaxs", "CoSAXS", "veritas"])
def test_a_proposal_at_several_beamlines_counts_at_each(validator, beamline):
    whose = validator()(message(proposalId="20250003", beamline=beamline))
    assert whose.owner_group == "20250003-group"
    assert [group.lower() for group in whose.access_groups] == [beamline.lower()]


def test_a_dataset_without_a_proposal_is_the_beamlines(validator, office, scicat):
    settings = dataclasses.replace(SETTINGS, access_groups=("{proposal}-readers", "{group}-readers", "{beamline}"))
    whose = validator(settings)(message(proposalId=""))
    manager = ("Data manager", "data@example.org", "Data manager")
    assert whose == Ownership(*manager, "cosaxs-staff", ("cosaxs",), "pid of cosaxs")
    assert office.asked == []
    assert (list(scicat.proposals), list(scicat.samples)) == ([], ["S-1"])


@pytest.mark.parametrize("state", ["unknown", "away", "there"])
def test_commissioning_is_known_everywhere_and_is_the_beamlines(validator, office, scicat, state):
    if state == "away":
        office.answers["commissioning"] = OfficeUnavailable("down")
    if state == "there":
        office.answers["commissioning"] = Proposal("commissioning", "All", "cosaxs", category="staff", pi_name="Boss")
    for beamline in ("cosaxs", "veritas"):
        whose = validator()(message(proposalId="commissioning", beamline=beamline))
        assert (whose.owner_group, whose.access_groups) == (f"{beamline}-staff", (beamline,))
        assert whose.owner == ("Boss" if (state, beamline) == ("there", "cosaxs") else "Data manager")
    assert scicat.proposals == {}


# ------------------------------------------------------- proposals that do not count

KINDS = {"unknown": "1999", "foreign": "20250002", "proprietary": "20250004"}


@pytest.mark.parametrize("kind", KINDS)
def test_refused(validator, scicat, kind):
    with pytest.raises(MessageRefused, match=KINDS[kind]):
        validator(rules(**{kind: "refuse"}))(message(proposalId=KINDS[kind]))
    assert scicat.calls == []


@pytest.mark.parametrize("kind", KINDS)
def test_held_for_a_time(validator, scicat, kind):
    with pytest.raises(NotYet, match=KINDS[kind]) as raised:
        validator(rules(hold_for=60.0, **{kind: "hold"}))(message(proposalId=KINDS[kind]))
    assert raised.value.longest == 60.0
    assert scicat.calls == []


@pytest.mark.parametrize("kind", KINDS)
def test_taken_under_the_fallback_group_alone_and_without_names(validator, scicat, kind):
    settings = rules(**{kind: "fallback"})
    whose = validator(settings)(message(proposalId=KINDS[kind]))
    assert whose == dataclasses.replace(FALLBACK, instrument_id="pid of cosaxs")
    assert (scicat.proposals, scicat.samples) == ({}, {})


def test_the_defaults_are_safe(validator):
    for kind, expected in (("unknown", NotYet), ("foreign", MessageRefused), ("proprietary", MessageRefused)):
        with pytest.raises(expected):
            validator()(message(proposalId=KINDS[kind]))


@pytest.mark.parametrize("number", ["IN20250042", "in1", "IN-none"])
def test_proprietary_by_its_number_whatever_the_office_says_and_without_asking_it(validator, office, number):
    with pytest.raises(MessageRefused, match="proprietary"):
        validator(rules(unknown="fallback"))(message(proposalId=number))
    with pytest.raises(MessageRefused, match="proprietary"):
        Validator(SETTINGS, None, None)(message(proposalId=number))
    assert office.asked == []


def test_the_strictest_of_several_rules_counts(validator, scicat):
    foreign_too = message(proposalId="20250005")
    with pytest.raises(MessageRefused, match="proprietary"):
        validator(rules(foreign="fallback"))(foreign_too)
    with pytest.raises(MessageRefused, match="veritas"):
        validator(rules(proprietary="fallback"))(foreign_too)
    with pytest.raises(NotYet, match="proprietary"):
        validator(rules(foreign="fallback", proprietary="hold"))(foreign_too)
    unknown_too = message(proposalId="IN1")
    with pytest.raises(NotYet, match="no IN1"):
        validator(rules(proprietary="fallback"))(unknown_too)
    whose = validator(rules(foreign="fallback", proprietary="fallback"))(foreign_too)
    assert whose.owner_group == "cosaxs-staff"
    assert scicat.proposals == {}


def test_a_proposal_that_becomes_proprietary_or_known_is_so(office, scicat):
    clock = Clock()
    validator = Validator(SETTINGS, SharedOffice(office, clock), ReferenceRegistry(scicat))
    validator(message(proposalId="20250001"))
    office.answers["20250001"] = dataclasses.replace(office.answers["20250001"], category="proprietary")
    with pytest.raises(NotYet):
        validator(message(proposalId="77"))
    office.answers["77"] = Proposal("77", "New", "cosaxs")
    clock.now += 301
    with pytest.raises(MessageRefused):
        validator(message(proposalId="20250001"))
    assert validator(message(proposalId="77")).owner_group == "77-group"


@pytest.mark.parametrize("error", [OfficeUnavailable("it is down"), OfficeRefused("another token")])
@pytest.mark.parametrize("action", ["refuse", "hold", "fallback"])
def test_an_office_that_is_away_holds_without_a_limit_whatever_the_rules(validator, office, scicat, error, action):
    office.answers["20250001"] = error
    with pytest.raises(NotYet, match=str(error)) as raised:
        validator(rules(unknown=action, foreign=action, proprietary=action))(message(proposalId="20250001"))
    assert raised.value.longest is None
    assert scicat.calls == []


def test_fifty_messages_of_a_proposal_ask_once_and_make_it_once(validator, office, scicat):
    check = validator()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: check(message(proposalId="20250001")), range(50)))
    assert len(set(found)) == 1
    assert office.asked == ["20250001"]
    assert (scicat.calls.count("create_proposal"), scicat.calls.count("create_sample")) == (1, 1)


def test_what_scicat_does_not_take_costs_no_dataset_and_what_passes_is_raised(validator, scicat):
    scicat.fail = {name: [SciCatError("POST", 400)] for name in ("create_proposal", "create_sample")}
    assert validator()(message(proposalId="20250001")).owner_group == "20250001-group"
    scicat.fail = {"sample": [SciCatError("GET", 503)]}
    with pytest.raises(SciCatError):
        validator()(message(proposalId="20250001"))


# -------------------------------------------------------------------- hostile messages

HOSTILE = st.one_of(
    st.text(),
    st.sampled_from(
        [
            *("../x", "..", ".", "/etc/passwd", "{}", "{0}", "{proposal}", "{proposal.__class__}", "{group}", "{{"),
            *("}", "%s", "$where", "a,b", "a;b", "\x00", "1\n", "\n1", "20250001 ", " 20250001", "\uff12\uff10"),
            *("x" * 10_000, "\u202e1", "20250001/../20250002", "con", "CON", "-rf", "*", "", "IN{}", "commissioning\n"),
        ]
    ),
)


def is_safe(group):
    return check_name(group, "group") == group


@given(number=HOSTILE, sample=HOSTILE, beamline=st.sampled_from(["cosaxs", "b{proposal}", "-x", "..", "cosaxs\n"]))
def test_no_message_makes_a_group_of_its_own(number, sample, beamline):
    office, scicat = FakeOffice(), FakeSciCat()
    sent = message(proposalId=number, sampleId=sample, beamline=beamline)
    everything = rules(unknown="fallback", foreign="fallback", proprietary="fallback")
    for validator in (
        Validator(everything, SharedOffice(office), ReferenceRegistry(scicat)),
        Validator(everything, None, ReferenceRegistry(scicat)),
        lambda sent: by_settings(sent, SETTINGS),
    ):
        if beamline != "cosaxs":
            with pytest.raises(MessageRefused, match="beamline"):
                validator(sent)
            continue
        whose = validator(sent)
        assert all(is_safe(group) for group in (whose.owner_group, *whose.access_groups))
        assert set(whose.access_groups) <= {"cosaxs"}
    assert all(check_name(asked, "number") for asked in office.asked)
    assert all(made.isprintable() for made in scicat.samples)


@given(number=HOSTILE.filter(lambda number: number and not is_name(number)))
def test_what_can_be_no_number_is_refused_and_not_held(number):
    with pytest.raises(MessageRefused) as raised:
        Validator(SETTINGS, SharedOffice(FakeOffice()), None)(message(proposalId=number))
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 700


@given(title=st.text(), name=st.text(), email=st.text())
def test_what_the_office_says_is_data(title, name, email):
    office, scicat = FakeOffice(), FakeSciCat()
    office.answers["1"] = Proposal("1", title, "cosaxs", pi_name=name, pi_email=email, group="{proposal.__class__}")
    settings = dataclasses.replace(SETTINGS, access_groups=("{group}",))
    whose = Validator(settings, SharedOffice(office), ReferenceRegistry(scicat))(message(proposalId="1"))
    assert whose.owner_group == "1-group"
    assert whose.access_groups == ("{proposal.__class__}",)
    assert scicat.proposals["1"]["title"]


@pytest.mark.parametrize("version", ["v3", "v4"])
@pytest.mark.parametrize("kind", ["began", "annotation", "ended", "snapshot", "part"])
def test_a_dataset_is_changed_only_from_its_own_beamline(kind, version):
    server = FakeServer(v4=version == "v4")
    ingest = Ingestor(server.client(), SETTINGS, partial(by_settings, settings=SETTINGS)).ingest
    began = message("began")
    ingest(began)
    before = copy.deepcopy((server.shown(f"scizoo/{began['uuid']}"), server.blocks))
    part = {"part": {"number": 2, "of": 2}} if kind == "part" else {}
    sent = message("ended" if part else kind, began["uuid"], **part)
    with pytest.raises(ForeignMessage, match="dataset of the beamline 'cosaxs', and this message is from 'veritas'"):
        ingest(sent | {"beamline": "veritas"})
    assert (server.shown(f"scizoo/{began['uuid']}"), server.blocks) == before
    ingest(sent | {"beamline": "CoSAXS"})


@pytest.mark.parametrize("version", ["v3", "v4"])
@pytest.mark.parametrize("first", ["", "20250001"])
def test_what_falls_back_only_at_its_end_is_seen_by_one_group_from_then_on(office, first, version):
    server, clock = FakeServer(v4=version == "v4"), Clock()
    validator = Validator(rules(proprietary="fallback"), SharedOffice(office, clock), None)
    ingest = Ingestor(server.client(), SETTINGS, validator).ingest
    began = message("began", proposalId=first)
    ingest(began)
    assert server.shown(f"scizoo/{began['uuid']}")["accessGroups"] == ["cosaxs"]
    office.answers["20250001"] = dataclasses.replace(office.answers["20250001"], category="proprietary")
    clock.now += 301
    ingest(message("ended", began["uuid"], proposalId="20250001"))
    found = server.shown(f"scizoo/{began['uuid']}")
    assert (found["ownerGroup"], found["accessGroups"]) == ("cosaxs-staff", [])


# ------------------------------------------------------------------------ the settings


@pytest.fixture
def written(tmp_path):
    def write(more):
        path = tmp_path / "scicow.yaml"
        path.write_text(GOOD + more, "utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("user_office: proposals.yaml", "line 11: user_office: user office 'proposals.yaml' is not of the form yaml:"),
        ("user_office: duo:/nowhere/duo.yaml", "line 11: user_office: .*/nowhere/duo.yaml"),
        ("user_office: 'duo:https://me:pw@host'", r"line 11: user_office: user office 'duo:\.\.\.' is not"),
        ("proposals: {unknown: guess}", "line 11: proposals.unknown: must be 'refuse', 'hold' or 'fallback'"),
        ("proposals: {fallback_group: '{proposal}'}", r"line 11: proposals.fallback_group: \{proposal\} is not known"),
        ("no_proposal_group: '{proposal}-x'", r"line 11: no_proposal_group: \{proposal\} is not known"),
        ("owner_group: '{proposal.__class__}'", r"line 11: owner_group: \{proposal.__class__\} is not known"),
        ("owner_group: '{}'", r"line 11: owner_group: \{\} is not known"),
        ("owner_group: '{0}'", r"line 11: owner_group: \{0\} is not known"),
        ("owner_group: '{proposal!r}'", r"line 11: owner_group: \{proposal\} cannot have ':' or '!'"),
        ("owner_group: '{proposal:{visit}}'", r"line 11: owner_group: \{proposal\} cannot have ':' or '!'"),
        ("owner_group: '{proposal:>999999999}'", r"line 11: owner_group: \{proposal\} cannot have ':' or '!'"),
        ("creation_location: '{group}'", r"line 11: creation_location: \{group\} is not known"),
    ],
)
def test_a_mistake_in_them_is_reported_with_its_line(written, line, said):
    with pytest.raises(SciCowSettingsError, match=said) as raised:
        load(written(line + "\n"), PASSWORD)
    assert "pw" not in str(raised.value)


def test_a_mistake_in_the_offices_own_file_is_reported_with_its_line_there(written, tmp_path):
    (tmp_path / "duo.yaml").write_text("url: https://duo.example.org\ntimeout: soon\n")
    with pytest.raises(SciCowSettingsError, match=r"line 11: user_office: .*duo\.yaml.*line 2.*timeout"):
        load(written(f"user_office: duo:{tmp_path}/duo.yaml\n"), PASSWORD)


def test_an_office_of_the_settings_is_asked_and_remembered(written, tmp_path):
    proposals = tmp_path / "proposals.yaml"
    proposals.write_text("proposals:\n  - {id: 20250001, title: Fibres, beamline: cosaxs}\n")
    memory = tmp_path / "memory" / "proposals.json"
    settings = load(written(f"user_office: yaml:{proposals}\noffice_memory: {memory}\n"), PASSWORD)
    assert validation_from(settings)(message()).owner_group == "20250001-group"
    proposals.unlink()
    assert memory.is_file()
    assert validation_from(settings)(message()).owner_group == "20250001-group"
    with pytest.raises(NotYet, match="cannot be read"):
        validation_from(settings)(message(proposalId="20250002"))


def test_an_account_without_a_home_gets_the_setting_that_it_needs(written, tmp_path, monkeypatch):
    settings = load(written(f"user_office: yaml:{tmp_path}/proposals.yaml\n"), PASSWORD)
    without_home(monkeypatch)
    with pytest.raises(SciCowSettingsError, match="no home folder"):
        validation_from(settings)


def test_without_an_office_this_is_reported_once_and_the_settings_count(written, caplog):
    caplog.set_level(logging.INFO)
    validation = validation_from(load(written(""), PASSWORD))
    assert validation(message()) == by_settings(message(), SETTINGS)
    assert ["proposals are not checked" in one for one in caplog.messages] == [True]
