"""What the client of SciCat says of a call that failed."""

import datetime as dt
from email.utils import format_datetime

import pytest
import requests

from ingest.scicat import SciCat, SciCatError, TimedOut


def answering(monkeypatch, status, **headers):
    answer = requests.Response()
    answer.status_code, answer._content = status, b"busy"
    answer.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    monkeypatch.setattr(requests.Session, "request", lambda *_, **__: answer)
    return SciCat("http://scicat.example.org")


@pytest.mark.parametrize(("said", "seconds"), [("120", 120.0), ("0", 0.0), ("soon", 0.0), ("", 0.0), ("-3", 0.0)])
@pytest.mark.parametrize("status", [429, 503])
def test_how_long_the_server_asks_for(monkeypatch, status, said, seconds):
    with pytest.raises(SciCatError) as found:
        answering(monkeypatch, status, Retry_After=said).call("GET", "/x")
    assert found.value.retry_after == seconds


@pytest.mark.parametrize(("ahead", "least", "most"), [(100, 97, 101), (-100, 0, 0)])
def test_a_date_is_understood_too(monkeypatch, ahead, least, most):
    date = format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=ahead), usegmt=True)
    with pytest.raises(SciCatError) as found:
        answering(monkeypatch, 503, Retry_After=date).call("GET", "/x")
    assert least <= found.value.retry_after <= most


def test_a_server_that_does_not_say_asks_for_nothing(monkeypatch):
    with pytest.raises(SciCatError) as found:
        answering(monkeypatch, 503).call("GET", "/x")
    assert found.value.retry_after == 0.0


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
