"""What the messages say should be in the catalogue, and what is there instead."""

import datetime as dt
import json
import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.embedded.javascript import is_date
from ingest.scicat import SciCatError
from ingest.scicow import mapping
from ingest.scicow.audit import compare, spool_listing
from ingest.scicow.audit.auditor import AuditOptions, Auditor, just_below
from ingest.scicow.audit.findings import FINDING_KINDS, Problem, dataset_finding
from ingest.scicow.audit.ledger import Ledger, MessageFacts, digest, file_lists, gaps
from ingest.scicow.commands.audit import as_json, shown
from ingest.scicow.dead_letters.topic import LetterId
from ingest.scicow.kafka.topics import MessagePosition
from ingest.scicow.settings import load
from scifish.message import encode, iso
from tests.builders.kafka_messages import Taken, taken
from tests.builders.messages import file, message
from tests.paths import DOCS
from tests.unit.ingest.scicow.dead_letters.test_dead_letters import FakeTopics, letter, settled
from tests.waiting import PATIENCE

SETTINGS = load(DOCS / "scicow.example.yaml", secrets=False)
TOPIC = "scifish-cosaxs"
WHEN = 1_795_341_600.0


def ledger_of(*messages):
    ledger = Ledger()
    for each in messages:
        ledger.expect(MessageFacts.of(encode(each)), TOPIC, WHEN)
    return ledger


def row(status="completed", annotations=(), files=((1, 10),), **more):
    scan = {"status": {"value": status, "unit": ""}, "annotations": {"value": " ".join(annotations), "unit": ""}}
    count, size = sum(number for number, _ in files), sum(number * size for number, size in files)
    return {"numberOfFiles": count, "size": size, "scientificMetadata": {"scan": scan}} | more


# -------------------------------------------------------------------------------- facts


FIELDS = ["uuid", "type", "origin", "run", "seq", "files", "part", "annotation", "creationTime"]
PLAIN = st.none() | st.booleans() | st.integers() | st.text()


@given(st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(FIELDS), inner)))
def test_anything_in_the_topic_can_be_read(value):
    assert MessageFacts.of(json.dumps(value).encode()) is None


@given(st.sampled_from(["began", "ended", "snapshot", "annotation"]), st.data())
def test_a_message_with_anything_in_one_of_its_fields_can_be_read(kind, data):
    found = message(kind)
    field = data.draw(st.sampled_from(sorted(found)))
    found[field] = data.draw(st.none() | st.integers() | st.text() | st.lists(st.integers()) | st.just({}))
    facts = MessageFacts.of(json.dumps(found).encode())
    assert facts is None or facts.uuid == found["uuid"]


@pytest.mark.parametrize("value", [b"", b"\xff", b"[" * 100_000, b"1" * 10_000, b"null"])
def test_invalid_messages(value):
    assert MessageFacts.of(value) is None


def test_the_id_of_an_annotation_is_that_which_the_dataset_keeps():
    given_message = message("annotation", origin={**message()["origin"], "run": "b 1/ü"}, seq=7)
    assert MessageFacts.of(encode(given_message)).id == mapping.annotations.identity(given_message)


def test_copies_count_once_and_order_does_not_matter():
    began, ended = message("began", seq=1), message("ended", seq=2)
    ended["uuid"] = began["uuid"]
    second = ended | {"seq": 3, "part": {"number": 2, "of": 2}, "files": [file("/b", 7)]}
    said = [began, ended, ended, second, began]
    random.Random(1).shuffle(said)
    [one] = ledger_of(*said).datasets.values()
    assert (one.began, one.over, one.files, one.size) == (True, True, 2, 17)
    assert one.digest == digest("scan_0042.h5", 10) + digest("/b", 7)


# -------------------------------------------------------------------------- comparison


@given(
    st.lists(st.sampled_from(["began", "ended", "annotation", "image"]), min_size=1, max_size=6),
    st.booleans(),
    st.sets(st.integers(0, 5)),
)
def test_only_what_the_messages_say_and_the_catalogue_lacks_is_wrong(kinds, running, kept):
    uuid = message()["uuid"]
    messages = []
    for number, kind in enumerate(kinds, start=1):
        said = {"image": {"caption": "", "uri": "data:image/png;base64,"}} if kind == "image" else {"comment": "x"}
        more = {"annotation": said} if kind in ("annotation", "image") else {}
        messages.append(message("annotation" if more else kind, uuid, seq=number, **more))
    [expected] = ledger_of(*messages).datasets.values()
    comments = [f"run-1:{number}" for number, kind in enumerate(kinds, start=1) if kind == "annotation"]
    have = [each for number, each in enumerate(comments) if number in kept]
    problems = compare.compare(expected, row("running" if running else "completed", have), [])
    lacking = set(comments) - set(have)
    assert any("end" in each.text for each in problems) == (running and "ended" in kinds)
    assert any("annotation" in each.text for each in problems) == bool(lacking)
    assert len(problems) == (running and "ended" in kinds) + bool(lacking)


def test_annotations_that_are_no_longer_named_are_not_missing():
    [expected] = ledger_of(message("annotation", seq=1)).datasets.values()
    assert compare.compare(expected, row(annotations=[f"run-1:{number}" for number in range(100, 150)]), []) == []


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 9)),
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 9))),
)
def test_files_are_compared_one_by_one(expected, there):
    listed = [{"path": path, "size": size} for path, size in there]
    counts = {"numberOfFiles": len(there), "size": sum(size for _, size in there)}
    problems = compare.compare_files(expected, listed, counts)
    paths = [path for path, _ in there]
    right = all(
        paths.count(path) == 1 and all(other == size for name, other in there if name == path)
        for path, size in expected.items()
    )
    assert (problems == []) == right
    assert any(each.repairable for each in problems) == any(path not in paths for path in expected)
    assert compare.compare_files(expected, listed, {"numberOfFiles": len(there) + 1, "size": 0})


def test_totals_that_scicat_has_wrong_are_mended_by_sending_again():
    listed = [{"path": "a", "size": 3}]
    [problem] = compare.compare_files({"a": 3}, listed, {"numberOfFiles": 0, "size": 0})
    assert problem.text == "SciCat counts 0 files, 0 bytes, but lists 1, 3 bytes"
    assert problem.repairable
    [problem] = compare.compare_files({}, listed, {"numberOfFiles": 0, "size": 0})
    assert not problem.repairable  # no message names its files


def seen(ledger, run, *numbers, when=WHEN):
    for number in numbers:
        ledger.number(run, number, TOPIC, when)


@given(st.sets(st.integers(1, 40), min_size=2), st.sets(st.integers(1, 40)))
def test_gaps_are_what_is_between_the_messages_of_a_run(numbers, spooled):
    ledger = Ledger()
    seen(ledger, "a", *random.Random(2).sample(sorted(numbers), len(numbers)))
    seen(ledger, "b", 7, 8)
    lost = {each for gap in gaps(ledger, {"a": spooled}, 0, 2 * WHEN) for each in range(gap.first, gap.last + 1)}
    there = numbers | spooled
    assert lost == set(range(min(there), max(there))) - there


def test_gaps_at_the_edge_of_the_range_are_not_judged():
    ledger = Ledger()
    seen(ledger, "a", 1, when=WHEN)
    seen(ledger, "a", 3, when=WHEN + 10)
    assert len(list(gaps(ledger, {}, WHEN, WHEN + 10))) == 1
    assert list(gaps(ledger, {}, WHEN + 1, WHEN + 10)) == []
    assert list(gaps(ledger, {}, WHEN, WHEN + 9)) == []


# --------------------------------------------------------------------------- the whole


class FakeSciCat:
    """A catalogue in memory. Its token dies after `calls` calls, and then only nothing is seen."""

    def __init__(self, rows, calls=10**9):
        self.rows = sorted(rows, key=lambda each: each["pid"])
        self.blocks = {}
        self.calls = self.left = calls
        self.logins = 0
        self.down = 0
        self.given = []

    def _alive(self):
        self.left -= 1
        return self.left > 0

    def revived(self):
        if self.left > 0:
            return False
        self.left = self.calls
        self.logins += 1
        return True

    def datasets(self, where, fields, order, limit, skip=0):
        if self.down:
            self.down -= 1
            raise SciCatError("GET", 503)
        assert order == "pid:asc"
        pid = where.get("pid", {})
        rows = [each for each in self.rows if each["pid"] > pid.get("gt", "")]
        if "inq" in pid:
            rows = [each for each in rows if each["pid"] in pid["inq"]]
        else:
            begin, end = (dt.datetime.fromisoformat(where["creationTime"][name]) for name in ("gte", "lte"))
            rows = [each for each in rows if begin <= dt.datetime.fromisoformat(each["creationTime"]) <= end]
        self.given += rows[:limit]
        return rows[:limit] if self._alive() else []

    def files(self, pid):
        return self.blocks.get(pid, [{"path": "scan_0042.h5", "size": 10}]) if self._alive() else []


class AuditTopics(FakeTopics):
    done = 10**9

    def committed(self, ranges):
        return {(each.topic, each.partition): self.done for each in ranges}


@pytest.fixture
def run(monkeypatch):
    """An audit of these records of the topic."""
    monkeypatch.setattr("ingest.scicow.audit.auditor.RETRY_WAITS_SECONDS", (0.0, 0.0))
    monkeypatch.setattr("ingest.scicow.audit.auditor.time.time", lambda: WHEN + 7200)

    def audited(records, scicat, letters=(), done=10**9, listings=(), running_after=3600.0, thorough=False):
        topics = AuditTopics(scifish_cosaxs=records, scicow_dead_letters=list(letters))
        topics.done = done
        options = AuditOptions(WHEN - 3600, WHEN + 7200, running_after, thorough)
        auditor = Auditor(SETTINGS, topics, scicat, topics.whole(TOPIC), options, lambda what, of: lambda number: None)
        return auditor.audit(listings)

    return audited


def there(given_message, **more):
    return row(**more) | {"pid": f"scizoo/{given_message['uuid']}", "creationTime": "2026-11-22T10:00:00.000Z"}


def findings(report):
    return [(each.kind, each.uuid) for each in report.sorted()]


def test_all_is_well(run):
    messages = [message("snapshot", seq=number) for number in range(1, 1300)]
    records = [taken(each, number) for number, each in enumerate(messages)]
    report = run(records, FakeSciCat(map(there, messages)))
    assert report.findings == []
    assert report.counts["complete"] == report.counts["datasets"] == report.counts["messages"] == 1299
    assert shown(report, [TOPIC], None).endswith("nothing is wrong")


@pytest.mark.parametrize("calls", [2, 3, 4, 50])
def test_a_token_that_expires_in_the_middle_makes_nothing_missing(run, calls, monkeypatch):
    monkeypatch.setattr("ingest.scicow.audit.auditor.DATASETS_PER_PAGE", 10)
    messages = [message("snapshot", seq=number) for number in range(1, 60)]
    records = [taken(each, number) for number, each in enumerate(messages)]
    scicat = FakeSciCat(map(there, messages), calls)
    assert run(records, scicat, thorough=True).findings == []
    assert scicat.logins


def test_scicat_may_be_away_for_a_moment_but_not_for_long(run):
    scicat = FakeSciCat([])
    scicat.down = 2
    assert run([taken(message())], scicat).counts["datasets"] == 1
    scicat.down = 3
    with pytest.raises(SciCatError):
        run([taken(message())], scicat)


def test_a_dataset_that_was_made_at_another_time_is_not_missing(run):
    given_message = message("snapshot")
    found = there(given_message) | {"creationTime": "1999-01-01T00:00:00.000Z"}
    assert run([taken(given_message)], FakeSciCat([found])).findings == []


@pytest.mark.parametrize("when", ["0005-01-01T00:00:00Z", "1999-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_a_message_of_any_time_does_not_have_the_whole_catalogue_read(run, when):
    good, wild = message("snapshot", seq=1), message("snapshot", seq=2, startTime=when)
    others = [there(message("snapshot")) | {"creationTime": "2001-01-01T00:00:00Z"} for _ in range(3)]
    scicat = FakeSciCat([there(good), there(wild) | {"creationTime": when}, *others])
    assert run([taken(good, 0), taken(wild, 1)], scicat).findings == []
    assert {row["pid"] for row in scicat.given}.isdisjoint(row["pid"] for row in others)


def test_missing_double_and_another_prefix(run):
    gone, double, moved = message("snapshot", seq=1), message("snapshot", seq=2), message("snapshot", seq=3)
    lonely = message("annotation", seq=4)
    rows = [there(double), there(double) | {"pid": f"x/{double['uuid']}"}]
    rows.append(there(moved) | {"pid": f"x/{moved['uuid']}"})
    report = run([taken(each, number) for number, each in enumerate((gone, double, moved, lonely))], FakeSciCat(rows))
    assert dict(map(reversed, findings(report))) == {
        gone["uuid"]: "missing",
        moved["uuid"]: "missing",
        lonely["uuid"]: "missing",
        double["uuid"]: "double",
    }
    assert report.repairable() == {gone["uuid"]}


def test_files_are_named_where_they_are_wrong(run):
    given_message = message("snapshot", files=[file("/a", 1), file("/b", 2)])
    scicat = FakeSciCat([there(given_message, files=[(2, 1)])])
    scicat.blocks[f"scizoo/{given_message['uuid']}"] = [{"path": "/a", "size": 1}, {"path": "/a", "size": 1}]
    [found] = run([taken(given_message)], scicat).findings
    assert found.what == ("1 file missing: /b", "1 file listed more than once: /a")
    assert found.repairable


def test_only_a_thorough_look_sees_what_counts_do_not(run):
    given_message = message("snapshot", files=[file("/a", 1), file("/b", 1)])
    scicat = FakeSciCat([there(given_message, files=[(2, 1)])])
    scicat.blocks[f"scizoo/{given_message['uuid']}"] = [{"path": "/a", "size": 1}, {"path": "/c", "size": 1}]
    assert run([taken(given_message)], scicat).findings == []
    [found] = run([taken(given_message)], scicat, thorough=True).findings
    assert found.what == ("1 file missing: /b",)


def test_dead_letters_are_known_and_what_is_neither_here_nor_there_is_lost(run):
    dead, dropped, replayed = (message("snapshot", seq=number) for number in (1, 2, 3))
    records = [taken(each, number) for number, each in enumerate((dead, dropped, replayed))]
    records += [Taken(offset_=3, value_=b"junk"), Taken(offset_=4, value_=b"more junk")]
    letters = [letter(each, number) for number, each in enumerate(records[:4])]
    letters += [
        settled(letter_id, how, 9) for letter_id, how in ((LetterId(0, 1), "dropped"), (LetterId(0, 2), "replayed"))
    ]
    report = run(records, FakeSciCat([]), letters)
    assert sorted(findings(report)) == sorted(
        [("missing", replayed["uuid"]), ("dead letter", dead["uuid"]), ("dead letter", ""), ("lost", "")]
    )
    assert report.counts["dropped"] == 1


@pytest.mark.parametrize("seq", [2**53, 10**30])
def test_a_dataset_is_not_lost_by_a_number_that_nobody_counts_to(run, seq):
    wild = message("snapshot", seq=seq)
    assert run([taken(wild)], FakeSciCat([there(wild)])).findings == []
    assert findings(run([taken(wild)], FakeSciCat([]))) == [("missing", wild["uuid"])]


@pytest.mark.parametrize("changes", [{"startTime": "2026-99-22T10:00:00Z"}, {"uuid": 5}, {"beamline": None}])
def test_a_dead_letter_is_not_a_gap_whatever_is_wrong_with_it(run, changes):
    first, dead, last = (message("snapshot", seq=number) for number in (1, 2, 3))
    records = [taken(first), taken(dead, 1, value_=encode(dead | changes)), taken(last, 2)]
    for each in records:
        each.when = WHEN
    report = run(records, FakeSciCat([there(first), there(last)]), [letter(records[1])])
    assert [each.kind for each in report.findings] == ["dead letter"]
    assert report.counts["messages"] == 3


def test_what_scicow_has_not_come_to_is_on_its_way(run):
    first, second = message("snapshot", seq=1), message("snapshot", seq=2)
    again = Taken(offset_=2, key_=first["uuid"].encode(), value_=encode(first))
    again.headers_ = [("scicow.again", f"audit of {TOPIC}[0]@0".encode())]
    records = [taken(first, 0), taken(second, 1), again]
    report = run(records, FakeSciCat([]), done=1)
    assert report.findings == []
    assert report.counts["on their way"] == 2
    assert len(run(records, FakeSciCat([]), done=2).findings) == 1


@pytest.mark.parametrize(
    ("alive", "age", "kind"), [(None, 1, []), (None, 9, ["running"]), (True, 9, []), (False, 9, ["running"])]
)
def test_what_runs_too_long_is_reported_but_not_what_its_machine_knows(run, alive, age, kind):
    began = message("began", creationTime=iso(WHEN + 7200 - age * 3600))
    recording = () if alive is None else (spool_listing.RunningDataset(began["uuid"], alive),)
    listing = spool_listing.SpoolListing((), recording, ("m1: broken.spool: cannot be read",))
    report = run([taken(began)], FakeSciCat([there(began, status="running", files=[])]), listings=[listing],
                 running_after=5 * 3600)  # fmt: skip
    assert [each.kind for each in report.findings] == kind
    assert report.notes == ["m1: broken.spool: cannot be read"]
    assert ("scifish flush" in str(report.findings)) == (alive is False)


def test_what_waits_in_a_spool_is_neither_a_gap_nor_missing(run):
    began, later = message("began", seq=1), message("snapshot", seq=4)
    spooled = [
        spool_listing.SpooledMessage("run-1", began["uuid"], 2, TOPIC, "scan", ""),
        spool_listing.SpooledMessage("run-1", "other", 3, TOPIC, "scan", "too large"),
        spool_listing.SpooledMessage("run-1", later["uuid"], 4, TOPIC, "scan", ""),  # it has come since
        spool_listing.SpooledMessage("run-1", "other", 9, "scifish-veritas", "scan", ""),
    ]
    records = [taken(began), taken(later, 1)]
    report = run(records, FakeSciCat([there(later)]), listings=[spool_listing.SpoolListing(tuple(spooled), (), ())])
    assert findings(report) == [("refused", "other")]
    assert report.counts["messages in spools"] == 1
    assert {each.kind for each in run(records, FakeSciCat([there(later)])).findings} == {"missing", "gap"}


def test_reports_can_be_read_by_people_and_programs(run):
    gone = message("snapshot", datasetName="\x1b[31m evil\nline")
    report = run([taken(gone)], FakeSciCat([]))
    text = shown(report, [TOPIC], 3)
    assert "\x1b" not in text
    assert f"missing: cosaxs {gone['uuid']}" in text
    assert "sent again: 3 messages of 1 datasets" in text
    found = json.loads(as_json(report, [TOPIC], None))
    assert found["findings"][0]["uuid"] == gone["uuid"]
    assert found["counts"]["on_their_way"] == 0


def test_every_kind_of_finding_has_a_meaning():
    [expected] = ledger_of(message()).datasets.values()
    assert {dataset_finding(kind, "u", expected, [Problem("x", False)]).kind for kind in FINDING_KINDS} == set(
        FINDING_KINDS
    )


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"spools": [1]}', '{"spools": [{"origin": {}}]}', "[" * 9999])
def test_a_file_that_is_not_a_list_of_spools_is_refused_by_name(tmp_path, text):
    path = tmp_path / "spool.json"
    path.write_text(text)
    with pytest.raises(spool_listing.SpoolFileError, match=r"spool\.json: is not what `scifish list --json` writes"):
        spool_listing.read(path)
    with pytest.raises(spool_listing.SpoolFileError, match="cannot be read"):
        spool_listing.read(tmp_path / "none.json")


MEMORY = """
import resource, sys, uuid
from ingest.scicow.audit.ledger import MessageFacts, Ledger
ledger = Ledger()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for number in range(20_000):
    name = str(uuid.UUID(int=number))
    for kind in ("began", "ended"):
        seq = 2 * number + (kind == "ended") + 1
        facts = MessageFacts(name, kind, "run-%d" % (number % 20), seq, "ascan mot01 0 1 10 0.1", "cosaxs",
                             1.8e9 + number, True, False, {"scan.h5": number})
        ledger.number(facts.run, seq, "scifish-cosaxs", 1.8e9)
        ledger.expect(facts, "scifish-cosaxs", 1.8e9)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / 20_000)
"""


def test_a_dataset_costs_less_than_a_kilobyte():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert float(done.stdout) < 1000


# ---------------------------------------------------------------------------- revisions


def recorded_again():
    first = message("snapshot", seq=1, files=[file("/a", 1), file("/gone", 3)])
    return first, first | {"seq": 2, "revision": 1, "files": [file("/a", 2), file("/b", 4)]}


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 0)])
def test_of_a_dataset_that_is_recorded_again_the_last_recording_counts(order):
    said = recorded_again()
    ledger = ledger_of(*(said[index] for index in order))
    (one,) = ledger.datasets.values()
    assert (one.revision, one.files, one.size) == (1, 2, 6)
    placed = [(MessagePosition(TOPIC, 0, number), encode(said[index])) for number, index in enumerate(order)]
    assert file_lists(placed, {said[0]["uuid"]}, ()) == {said[0]["uuid"]: {"/a": 2, "/b": 4}}


@pytest.mark.parametrize(
    ("revision", "problems"), [(0, ["its revision 1 is not applied"]), (1, []), (2, [])], ids=["older", "same", "newer"]
)
def test_a_revision_that_is_not_applied_is_reported(revision, problems):
    (one,) = ledger_of(*recorded_again()).datasets.values()
    there = row(files=((1, 4),))
    there["scientificMetadata"]["scan"]["revision"] = {"value": revision, "unit": ""}
    assert [each.text for each in compare.compare(one, there, [])] == problems
    assert compare.is_newer(one, there) == (revision == 2)


class WithDates(FakeSciCat):
    """As the real one: what JavaScript takes for a date is one, and no pid comes after it."""

    def datasets(self, where, fields, order, limit, skip=0):
        if is_date(where.get("pid", {}).get("gt", "")):
            return []
        return super().datasets(where, fields, order, limit, skip)


def test_pids_that_look_like_dates_do_not_end_the_catalogue(run, monkeypatch):
    monkeypatch.setattr("ingest.scicow.audit.auditor.DATASETS_PER_PAGE", 2)
    others = [row() | {"pid": f"samples/{number}", "creationTime": "2026-11-22T10:00:00.000Z"} for number in range(9)]
    ours = message("snapshot", seq=1)
    double = there(ours) | {"pid": f"samples/9/{ours['uuid']}"}
    scicat = WithDates([*others, there(ours), double])
    assert findings(run([taken(ours)], scicat)) == [("double", ours["uuid"])]
    # Each page but the first begins with the last of the one before.
    assert len({each["pid"] for each in scicat.given}) == 11


@given(st.text(min_size=1, alphabet=st.characters(exclude_categories=["Cs", "Cc", "Co"])))
def test_what_is_just_below_a_pid_is_not_a_date_and_has_nothing_above_it(pid):
    below = just_below(pid)
    assert below < pid
    assert below.startswith(pid[:-1])
    assert "(" in pid or not is_date(below)
