"""SciCow's settings: what a mistake in them says, and that no secret gets out."""

import pytest

from ingest.scicow.settings import SciCowSettingsError, load, shown
from tests.paths import DOCS

EXAMPLE = DOCS / "scicow.example.yaml"
PASSWORD = {"SCIZOO_SCICAT_PASSWORD": "s3cret"}

GOOD = """\
kafka:
  bootstrap_servers: localhost:9092
scicat:
  url: http://localhost:3000
  username: ingestor
  password: ${SCIZOO_SCICAT_PASSWORD}
contact:
  owner: Data manager
  contact_email: data@example.org
  principal_investigator: Data manager
"""


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "scicow.yaml"
        path.write_text(text, "utf-8")
        return path

    return write


def test_the_example_is_good_and_shows_the_defaults(written):
    example = load(EXAMPLE, PASSWORD)
    assert example == load(written(GOOD), PASSWORD)
    text = EXAMPLE.read_text("utf-8")
    uncommented = "\n".join(
        line.replace("# ", "", 1) if ": " in line and " # " not in line else line
        for line in (each for each in text.splitlines() if _is_setting(each))
    )
    assert load(written(uncommented), PASSWORD) == example


HAVE_NO_DEFAULT = ("config_file", "user_office", "office_memory", "mapping")


def _is_setting(line):
    name = line.lstrip(" #").partition(":")[0]
    return bool(line.strip()) and " " not in name and name not in HAVE_NO_DEFAULT


def test_the_password_comes_from_the_environment_and_is_not_printed():
    settings = load(EXAMPLE, PASSWORD)
    assert str(settings.scicat.password) == "s3cret"
    assert "s3cret" not in repr(settings)
    assert "s3cret" not in shown(settings)
    assert "password: '***'" in shown(settings)


def test_the_rest_can_be_looked_at_without_the_password():
    assert load(EXAMPLE, {}, secrets=False).kafka.group_id == "scicow"


def test_a_password_in_the_file_itself_must_be_private(written):
    path = written(GOOD.replace("${SCIZOO_SCICAT_PASSWORD}", "s3cret"))
    path.chmod(0o644)
    with pytest.raises(SciCowSettingsError, match=r"line 6: scicat.password: is a secret.*chmod 600") as raised:
        load(path, {})
    assert "s3cret" not in str(raised.value)
    path.chmod(0o600)
    assert str(load(path, {}).scicat.password) == "s3cret"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("localhost:9092", "''", "line 2: kafka.bootstrap_servers: is empty"),
        ("bootstrap_servers", "bootstrap_server", "line 2: kafka.bootstrap_server: is not known: did you mean"),
        ("  username: ingestor\n", "", "scicat.username: is missing: add it"),
        ("http://localhost:3000", "localhost:3000", "line 4: scicat.url: must be like https://"),
        ("http://localhost", "http://me:pw@localhost", "line 4: scicat.url: must be like https://"),
        ("data@example.org", "data@localhost", "line 9: contact.contact_email: must be an e-mail address"),
        ("localhost:3000", "localhost:99999", "line 4: scicat.url: must be like https://"),
        ("localhost:3000", "local host", "line 4: scicat.url: must be like https://"),
        ("localhost:3000", "localhost:3000/api/v3", "line 4: scicat.url: must be the address of the server, without"),
        ("ingestor\n", "ingestor\n  timeout: 1e10\n", "line 6: scicat.timeout: must be a number of seconds"),
        ("contact:", "workers: ${NOT_SET}\ncontact:", "line 7: workers: the environment variable NOT_SET"),
        ("${SCIZOO_SCICAT_PASSWORD}", "${NOT_SET}", "line 6: scicat.password: the environment variable NOT_SET"),
        ("ingestor\n", "ingestor\n  username: other\n", "line 6: scicat.username: is set twice"),
        ("ingestor\n", "[a]\n", "line 5: scicat.username: must be one value"),
        ("ingestor\n", "\n", "line 5: scicat.username: must be one value"),
        ("contact:", "owner_group: '{visit}'\ncontact:", "line 7: owner_group: {visit} is not known"),
        ("contact:", "owner_group: 'a{'\ncontact:", "line 7: owner_group:"),
        ("contact:", "access_groups: staff\ncontact:", "line 7: access_groups: must be a list"),
        ("contact:", "access_groups: [a, '']\ncontact:", "line 7: access_groups: is empty"),
        ("contact:", "missing_dataset_wait: soon\ncontact:", "line 7: missing_dataset_wait: must be a number"),
        ("contact:", "missing_dataset_wait: -1\ncontact:", "line 7: missing_dataset_wait: must be a number of seconds"),
        ("contact:", "check_sequence: 3\ncontact:", "line 7: check_sequence: must be true or false"),
        ("contact:", "pid_prefix: a/b\ncontact:", "line 7: pid_prefix: may contain only"),
        ("contact:", "dead_letter_topic: scifish-dead\ncontact:", "line 7: dead_letter_topic: must not match"),
        ("kafka:\n", "kafka:\n  topics: '.*'\n", "line 2: kafka.topics: must begin with ^"),
        ("kafka:\n", "kafka:\n  topics: '^('\n", "line 2: kafka.topics: is not a regular expression"),
        ("kafka:\n", "kafka:\n  topics: '^scifish-\\d'\n", r"line 2: kafka.topics: has \d, which Kafka's client"),
        ("kafka:\n", "kafka:\n  topics: '^scifish-(?!x)'\n", "line 2: kafka.topics: has (?, which Kafka's client"),
        (
            "kafka:\n",
            "kafka:\n  topics: '^sdm-.*'\n",
            "line 2: kafka.topics: has topics that are not scifish-<beamline>",
        ),
        ("kafka:\n", "kafka:\n  beamline_topics: scifish\n", "kafka.beamline_topics: must be 'name: value' lines"),
        ("kafka:\n", "kafka:\n  beamline_topics: {a: b}\n", "kafka.beamline_topics.a: must be a list"),
        ("kafka:\n", "kafka:\n  beamline_topics: {a: ['{proposal}']}\n", "beamline_topics.a: {proposal} is not known"),
        ("kafka:\n", "kafka:\n  beamline_topics: {a: [^x]}\n", "beamline_topics.a: is not the name of a Kafka topic"),
        (
            "kafka:\n",
            "kafka:\n  topics: '^scifish-|^sci.*'\n",
            "line 2: kafka.topics: must not match dead_letter_topic, 'scicow",
        ),
        ("kafka:\n", "kafka:\n  config_file: /nowhere\n", "line 2: kafka.config_file: /nowhere cannot be read"),
        (GOOD, "- a", "line 1: must be 'name: value' lines"),
        (GOOD, "", "line 1: must be 'name: value' lines"),
        (GOOD, "a: [", "not YAML"),
    ],
)
def test_a_mistake_is_reported_with_its_line_its_field_and_what_to_do(written, old, new, said):
    path = written(GOOD.replace(old, new, 1))
    with pytest.raises(SciCowSettingsError) as raised:
        load(path, PASSWORD)
    assert said in str(raised.value)
    assert str(raised.value).startswith(str(path))


def test_numbers_and_switches_may_come_from_the_environment_too(written):
    path = written(GOOD + "workers: ${MANY}\ncheck_sequence: ${CHECK}\n")
    settings = load(path, PASSWORD | {"MANY": "3", "CHECK": "false"})
    assert (settings.workers, settings.check_sequence) == (3, False)


def test_all_mistakes_are_reported_at_once(written):
    bad = GOOD.replace("ingestor", "''").replace("data@example.org", "nobody").replace("localhost:9092", "''")
    with pytest.raises(SciCowSettingsError) as raised:
        load(written(bad), PASSWORD)
    assert len(str(raised.value).splitlines()) == 3


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SciCowSettingsError, match="cannot be read"):
        load(tmp_path / "none.yaml")


def test_librdkafka_settings_are_read_from_a_private_file(written, tmp_path):
    file = tmp_path / "kafka.properties"
    file.write_text("# SASL\nsecurity.protocol = SASL_SSL\nsasl.password=a=b\n")
    path = written(GOOD.replace("kafka:\n", f"kafka:\n  config_file: {file}\n"))
    file.chmod(0o640)
    with pytest.raises(SciCowSettingsError, match=r"kafka.config_file: .* can be read by others: chmod 600"):
        load(path, PASSWORD)
    file.chmod(0o600)
    assert load(path, PASSWORD).kafka.librdkafka() == {
        "bootstrap.servers": "localhost:9092",
        "security.protocol": "SASL_SSL",
        "sasl.password": "a=b",
    }
    file.write_text("sasl.password s3cret\n")
    with pytest.raises(SciCowSettingsError, match="line 1: must be name=value") as raised:
        load(path, PASSWORD).kafka.librdkafka()
    assert "s3cret" not in str(raised.value)


def test_a_file_of_librdkafka_settings_that_is_not_text(written, tmp_path):
    file = tmp_path / "kafka.properties"
    file.touch(0o600)
    file.write_bytes(b"\xff\xfe=1\n")
    kafka = load(written(GOOD.replace("kafka:\n", f"kafka:\n  config_file: {file}\n")), PASSWORD).kafka
    with pytest.raises(SciCowSettingsError, match=r"kafka.properties: cannot be read"):
        kafka.librdkafka()


@pytest.mark.parametrize(
    ("given", "beamline", "topic", "may"),
    [
        ("", "cosaxs", "scifish-cosaxs", True),
        ("", "CoSAXS", "scifish-cosaxs", True),
        ("", "max", "scifish-cosaxs", False),
        ("", "max", "scifish-bio-max", False),
        ("", "max", "scifish-max-2", False),
        ("{cosaxs: [saxs, saxs-*]}", "CoSAXS", "saxs", True),
        ("{cosaxs: [saxs, saxs-*]}", "cosaxs", "saxs-9", True),
        ("{cosaxs: [saxs, saxs-*]}", "cosaxs", "scifish-cosaxs", False),
        ("{cosaxs: [saxs, saxs-*]}", "max", "scifish-max", True),
        ("{'*': ['sdm.{beamline}']}", "max", "sdm.max", True),
        ("{'*': ['sdm.{beamline}']}", "max", "sdm-max", False),
        ("{cosaxs: []}", "cosaxs", "scifish-cosaxs", False),
    ],
)
def test_the_topics_that_a_beamline_may_write(written, given, beamline, topic, may):
    text = GOOD.replace("kafka:\n", f"kafka:\n  beamline_topics: {given}\n") if given else GOOD
    assert load(written(text), PASSWORD).kafka.may_write(beamline, topic) == may
