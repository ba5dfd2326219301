"""What the client of SciCat says of a call that failed."""

import datetime as dt
from email.utils import format_datetime

import pytest
import requests

from ingest.scicat import SciCat, SciCatError, TimedOut
from ingest.scicat.errors import Answer
from tests.servers.fake_scicat import LIES, FakeServer


def asked(status, said, date=""):
    return Answer(status, b"busy", retry_after=said, date=date).error("GET /x")


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        *[("7", 7.0), ("0", 0.0), ("soon", 0.0), ("", 0.0), ("-3", 0.0), ("1e9", 0.0), ("nan", 0.0), ("\u0663", 0.0)],
        *[("999999999", 60.0), ("9" * 5000, 0.0), ("Fri, 31 Dec 99999999 23:59:59 GMT", 0.0)],
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_how_long_the_server_asks_for(status, said, seconds):
    found = asked(status, said)
    assert (found.status, found.retry_after) == (status, seconds)


@pytest.mark.parametrize(("ahead", "seconds"), [(40, 40.0), (-100, 0.0), (86_400, 60.0)])
def test_a_date_is_by_the_servers_clock(ahead, seconds):
    """This machine's own may be wrong by hours."""
    now = dt.datetime(1999, 12, 31, 23, 59, tzinfo=dt.UTC)
    until = now + dt.timedelta(seconds=ahead)
    assert asked(503, format_datetime(until, usegmt=True), format_datetime(now, usegmt=True)).retry_after == seconds
    assert asked(503, format_datetime(until, usegmt=True), "no date").retry_after == 0.0


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (requests.ReadTimeout("x"), TimedOut),
        (requests.ConnectTimeout("x"), SciCatError),
        (requests.ConnectionError("x"), SciCatError),
    ],
)
def test_no_answer_in_time_is_not_the_same_as_no_server(monkeypatch, failure, kind):
    def fail(*_, **__):
        raise failure

    monkeypatch.setattr(requests.Session, "request", fail)
    with pytest.raises(SciCatError) as found:
        SciCat("http://scicat.example.org").call("GET", "/x")
    assert type(found.value) is kind
    assert found.value.status == 0


PID = "scizoo/1"
WRITES = {
    "dataset": lambda client: client.create_dataset({"pid": PID}),
    "dataset of v4": lambda client: client.create_dataset({"pid": PID}, "v4"),
    "patch": lambda client: client.patch_dataset(PID, {"comment": "x"}),
    "metadata": lambda client: client.replace_metadata(PID, {"scientificMetadata": {}}),
    "merge": lambda client: client.merge_dataset(PID, {"scientificMetadata": {}}, found={}),
    "files": lambda client: client.add_files(PID, [{"path": "a", "size": 1, "time": ""}]),
    "changed block": lambda client: client.change_block("b1", []),
    "deleted block": lambda client: client.delete_block("b1"),
    "picture": lambda client: client.attach(PID, "group", "plot", "data:"),
    "proposal": lambda client: client.create_proposal({"proposalId": "1"}),
    "sample": lambda client: client.create_sample({"sampleId": "1"}),
    "instrument": lambda client: client.create_instrument({"uniqueName": "1", "name": "1"}),
    "login": lambda client: client.login(),
}
READS = {
    "blocks": lambda client: client.blocks(PID),
    "pictures": lambda client: client.attachments(PID),
    "datasets": lambda client: client.datasets(),
    "instruments": lambda client: client.instruments(),
    "count": lambda client: client.count(),
    "has v4": lambda client: client.has_v4(),
}
DOCUMENTS = {
    "dataset": lambda client: client.dataset(PID),
    "proposal": lambda client: client.proposal("1"),
    "sample": lambda client: client.sample("1"),
    "instrument": lambda client: client.instrument("1"),
}
LISTS = {("datasets", "list"), ("datasets", "others"), ("instruments", "list"), ("instruments", "others")}
"""What may be SciCat's: there are none, or others."""

CASES = [
    *((name, call, lie) for name, call in {**WRITES, **READS}.items() for lie in LIES if (name, lie) not in LISTS),
    *((f"one {name}", call, lie) for name, call in DOCUMENTS.items() for lie in LIES),
]


@pytest.mark.parametrize(("name", "call", "lie"), CASES, ids=[f"{name}-{lie}" for name, _, lie in CASES])
def test_an_answer_that_is_not_scicats_is_a_failure_that_passes(name, call, lie):
    server = FakeServer()
    server.fault = lambda *_: f"lie:{lie}"
    client = server.client(token="a-secret-token")
    with pytest.raises(SciCatError) as raised:
        call(client)
    assert raised.value.temporary
    assert len(str(raised.value)) < 400


def test_an_answer_that_is_not_scicats_is_shown_without_secrets(monkeypatch):
    client = FakeServer().client(token="a-secret-token")
    monkeypatch.setitem(LIES, "echo", b'{"authorization": "Bearer a-secret-token", "password": "s3cret"}')
    client._transport.fault = lambda *_: "lie:echo"
    with pytest.raises(SciCatError, match="the answer is not SciCat's") as raised:
        client.create_dataset({"pid": PID})
    assert "Bearer ***" in str(raised.value)
    assert "s3cret" not in str(raised.value)
