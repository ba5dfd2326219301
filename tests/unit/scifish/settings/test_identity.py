"""Which spools a program may send: by the settings that they were recorded under."""

from dataclasses import replace

import pytest

from scifish.message import Message
from scifish.settings import Settings
from scifish.settings.identity import OWN_SETTINGS, Identity, tango_source
from scifish.settings.sources import WithPathFixer, identity_of

SETTINGS = Settings(beamline="lab", topic="scifish-lab", kafka_bootstrap_servers="a:9092, b:9092")
MINE = Identity.of("/etc/scifish.yaml", SETTINGS)


@pytest.mark.parametrize("source", ["/etc/other.yaml", OWN_SETTINGS, "tango://host:10000/a/b/scidog"])
def test_of_another_source_it_may_if_all_is_the_same(source: str) -> None:
    assert MINE.may_send(Identity.of(source, replace(SETTINGS, kafka_bootstrap_servers="b:9092,a:9092")))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("beamline", "other"),
        ("topic", "scifish-test"),
        ("kafka_bootstrap_servers", "a:9092"),
        ("kafka_config_file", "/etc/kafka.properties"),
        ("send_proprietary", True),
    ],
)
def test_any_other_setting_of_another_source_is_respected(name: str, value: object) -> None:
    changed = replace(SETTINGS, **{name: value})
    assert not MINE.may_send(Identity.of("/etc/other.yaml", changed))
    assert not MINE.may_send(Identity.of(OWN_SETTINGS, changed))
    assert MINE.may_send(Identity.of(MINE.source, changed))  # corrected since


OTHERS = replace(SETTINGS, path_fixer="b/ctl/pathfixer-2")
MINE_TODAY = replace(SETTINGS, path_fixer="b/ctl/pathfixer-1", send_without_proposal=True)


class NotKnownYet:
    """The source of `MINE`, in a program that was gone before it could read it."""

    name, trouble = MINE.source, ""

    def known(self) -> None:
        """Nothing is known."""

    def now(self, timeout: float = 0.0) -> None:
        """Nothing is known."""

    def described(self) -> Message:
        return {}


@pytest.mark.parametrize(
    "recorded",
    [
        Identity.of("/etc/other.yaml", OTHERS),
        Identity.of(OWN_SETTINGS, OTHERS),
        replace(Identity.of(MINE.source, OTHERS), chosen_path_fixer=True),
        identity_of(WithPathFixer(NotKnownYet(), OTHERS.path_fixer)),
    ],
    ids=["another file", "own settings", "chosen by the program", "chosen before the settings were known"],
)
def test_a_dataset_is_finished_with_the_pathfixer_that_its_program_asked(recorded: Identity) -> None:
    found = recorded.finished_with(MINE.source, MINE_TODAY)
    assert (found.path_fixer, found.send_without_proposal) == ("b/ctl/pathfixer-2", False)
    assert MINE.may_send(recorded)
    assert replace(found, path_fixer="", send_without_proposal=False) == SETTINGS


@pytest.mark.parametrize(
    "recorded",
    [Identity.of(MINE.source, OTHERS), Identity.of(MINE.source, None), replace(MINE, source="", path_fixer=None)],
    ids=["corrected since", "not known then", "of an older version"],
)
def test_else_with_that_of_today(recorded: Identity) -> None:
    assert recorded.finished_with(MINE.source, MINE_TODAY) == MINE_TODAY


def test_programs_that_pass_settings_themselves_have_no_source_in_common() -> None:
    own = Identity.of(OWN_SETTINGS, SETTINGS)
    assert own.may_send(Identity.of(OWN_SETTINGS, SETTINGS))
    assert not own.may_send(Identity.of(OWN_SETTINGS, replace(SETTINGS, topic="other")))
    assert not own.may_send(Identity.of(OWN_SETTINGS, None))


def test_what_was_recorded_before_the_scidog_was_known_is_of_its_tango_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TANGO_HOST", "Host:10000")
    mine = Identity.of(tango_source("A/B/SciDog"), SETTINGS)
    assert mine.source == "tango://host:10000/a/b/scidog"
    assert mine.may_send(Identity.of(tango_source(""), None))
    assert not mine.may_send(Identity.of("tango://host:1/", None))
    assert not mine.may_send(Identity.of(tango_source("a/b/scidog2"), None))
