"""What the client of SciCat says of a call that failed."""

import datetime as dt
from email.utils import format_datetime

import pytest
import requests

from ingest.scicat import SciCat, SciCatError, TimedOut
from ingest.scicat.errors import Answer


def asked(status, said):
    return Answer(status, b"busy", retry_after=said).error("GET /x")


@pytest.mark.parametrize(("said", "seconds"), [("120", 120.0), ("0", 0.0), ("soon", 0.0), ("", 0.0), ("-3", 0.0)])
@pytest.mark.parametrize("status", [429, 503])
def test_how_long_the_server_asks_for(status, said, seconds):
    found = asked(status, said)
    assert (found.status, found.retry_after) == (status, seconds)


@pytest.mark.parametrize(("ahead", "least", "most"), [(100, 97, 101), (-100, 0, 0)])
def test_a_date_is_understood_too(ahead, least, most):
    date = format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=ahead), usegmt=True)
    assert least <= asked(503, date).retry_after <= most


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
