"""The embedded catalogue with faults: what a client sees, and what was done in spite of it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from deploy.demo.processes import Processes
from ingest.scicat import SciCat, SciCatError
from tests.builders.scicat_datasets import required_fields
from tests.contract.api import Api
from tests.failing_catalogue.__main__ import main
from tests.failing_catalogue.rules import FaultRule, Faults, FaultsError, read_rules, rules_from
from tests.servers.catalogue import INGESTOR, USER1, Catalogue, start_catalogue, write_accounts
from tests.waiting import PATIENCE

DATASETS = "/api/v3/datasets"


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    folder = tmp_path_factory.mktemp("faults")
    with Processes(folder / "logs") as processes:
        yield start_catalogue(processes, folder, failing=True)


@pytest.fixture
def api(catalogue: Catalogue) -> Iterator[Api]:
    with Api(catalogue.url, INGESTOR) as found:
        yield found


@pytest.fixture
def fail(catalogue: Catalogue, api: Api) -> Iterator[Callable[..., None]]:
    """Sets the catalogue's rules."""

    def tell(*rules: dict) -> None:
        answer = api.call("PUT", "/embedded/faults", list(rules))
        assert answer.status_code == 200, answer.text

    yield tell
    if api.call("DELETE", "/embedded/faults").status_code == 403:  # the test has invalidated its token
        with Api(catalogue.url, INGESTOR) as again:
            again.call("DELETE", "/embedded/faults")


def test_the_nth_call_is_answered_with_a_status_and_nothing_is_done(api, fail) -> None:
    fail({"do": "answer", "status": 503, "method": "POST", "path": "/datasets$", "nth": 2})
    statuses = [api.post(DATASETS, required_fields(f"nth/{number}")).status_code for number in range(3)]
    assert statuses == [201, 503, 201]
    assert {one["pid"] for one in api.find({"pid": {"like": "nth/"}})} == {"nth/0", "nth/2"}


def test_an_answer_after_writing_has_written(api, fail) -> None:
    fail({"do": "answer_after", "status": 500, "method": "POST"})
    answer = api.post(DATASETS, required_fields("after"))
    assert (answer.status_code, answer.json()["statusCode"]) == (500, 500)
    assert api.dataset("after")["pid"] == "after"


@pytest.mark.parametrize(("do", "written"), [("cut", False), ("cut_after", True), ("cut_body", True)])
def test_a_connection_that_is_cut_off(api, fail, do: str, written: bool) -> None:
    fail({"do": do, "method": "POST"})
    with pytest.raises(requests.RequestException) as raised:
        api.post(DATASETS, required_fields(do))
    assert isinstance(raised.value, requests.exceptions.ChunkedEncodingError) == (do == "cut_body")
    fail()
    assert [one["pid"] for one in api.find({"pid": do})] == ([do] if written else [])


def test_the_projects_client_takes_a_truncated_answer_for_none(catalogue, api, fail) -> None:
    client = SciCat(catalogue.url, INGESTOR.username, INGESTOR.password)
    client.login()
    for do in ("cut", "cut_after", "cut_body"):
        fail({"do": do})
        with pytest.raises(SciCatError) as raised:
            client.datasets()
        assert raised.value.temporary


def test_slow_calls_are_slow_and_do_their_work(api, fail) -> None:
    fail({"do": "slow", "seconds": 0.3}, {"do": "slow", "seconds": 0.2})
    begin = time.monotonic()
    assert api.post(DATASETS, required_fields("slow")).status_code == 201
    assert time.monotonic() - begin >= 0.5


def test_a_call_that_hangs_is_never_answered_and_others_are(api, fail) -> None:
    fail({"do": "hang", "nth": 1})
    with pytest.raises(requests.Timeout):
        requests.get(api._url + DATASETS, timeout=0.5)
    assert api.get(DATASETS).status_code == 200


def test_a_proxys_page(api, fail) -> None:
    fail({"do": "html"}, {"do": "answer", "status": 500})
    answer = api.get(DATASETS)
    assert answer.status_code == 502
    assert answer.headers["content-type"].startswith("text/html")
    assert "502 Bad Gateway" in answer.text


@pytest.mark.parametrize("body", ['{"status": "ok"}', "null", ""])
def test_another_program_answers_that_all_is_well(api, fail, body: str) -> None:
    fail({"do": "answer", "status": 200, "body": body, "method": "POST"})
    answer = api.post(DATASETS, required_fields("elsewhere"))
    assert (answer.status_code, answer.text) == (200, body)
    assert api.get("/embedded/faults").json()[0]["body"] == body
    assert api.get(f"{DATASETS}/elsewhere").status_code != 200


def test_expired_tokens_read_what_is_public_and_write_nothing_until_the_next_login(catalogue, api, fail) -> None:
    api.create(required_fields("closed"))
    api.create({**required_fields("public"), "isPublished": True})
    fail({"do": "expire", "nth": 1})
    assert {one["pid"] for one in api.find({})} == {"public"}
    assert api.post(DATASETS, required_fields("late")).status_code == 403
    assert api.get("/embedded/faults").status_code == 403
    with Api(catalogue.url, INGESTOR) as again:
        assert again.post(DATASETS, required_fields("late")).status_code == 201


def test_the_counts_of_the_rules_are_reported(api, fail) -> None:
    fail({"do": "answer", "status": 404, "every": 2, "times": 2, "method": "get"})
    assert [api.get(DATASETS).status_code for _ in range(7)] == [200, 404, 200, 404, 200, 200, 200]
    rule = {"do": "answer", "method": "GET", "every": 2, "times": 2, "status": 404, "seen": 7, "done": 2}
    assert api.get("/embedded/faults").json() == [rule]
    assert api.call("DELETE", "/embedded/faults").json() == [rule]
    assert api.get("/embedded/faults").json() == []


def test_a_large_body_is_read_before_it_is_refused(api, fail) -> None:
    fail({"do": "answer", "status": 413, "method": "POST"})
    assert api.post(DATASETS, {**required_fields("big"), "description": "x" * 8_000_000}).status_code == 413


def test_only_an_administrator_may_make_it_fail(catalogue) -> None:
    with Api(catalogue.url, USER1) as user:
        for method in ("GET", "PUT", "DELETE"):
            assert user.call(method, "/embedded/faults", []).status_code == 403
    assert requests.get(f"{catalogue.url}/embedded/faults", timeout=PATIENCE).status_code == 403


def test_only_this_machine_may_make_it_fail(catalogue, api) -> None:
    # The headers in which a proxy on this machine names its client.
    answer = api.call("DELETE", "/embedded/faults", headers={"X-Forwarded-For": "192.0.2.1"})
    assert answer.status_code == 403


def test_rules_with_a_mistake_change_nothing(api, fail) -> None:
    fail({"do": "slow", "seconds": 0})
    answer = api.call("PUT", "/embedded/faults", b"- {do: slow, seconds: 1}\n- {do: slo}\n")
    assert answer.status_code == 400
    assert "the rules:2: do: 'slo' is not one of answer" in answer.json()["message"]
    assert len(api.get("/embedded/faults").json()) == 1


def test_a_file_of_rules_at_the_start(tmp_path: Path) -> None:
    rules = tmp_path / "faults.yaml"
    rules.write_text("# all of them\n- {do: answer, status: 503, path: /health}\n")
    with Processes(tmp_path / "logs") as processes:
        started = start_catalogue(processes, tmp_path, options=("--faults", str(rules)), failing=True)
        assert requests.get(f"{started.url}/api/v3/health", timeout=PATIENCE).status_code == 503


def test_a_file_of_rules_with_a_mistake_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = tmp_path / "faults.yaml"
    rules.write_text("- {do: answer}\n- {do: answer, status: 99}\n")
    accounts = write_accounts(tmp_path / "a.yaml")
    arguments = ("--port", "0", "--database", tmp_path / "db", "--accounts", accounts, "--faults", rules)
    monkeypatch.setattr(sys, "argv", ["failing_catalogue", *map(str, arguments)])
    assert main() == 1
    assert "faults.yaml:2: status" in capsys.readouterr().err


def test_the_command_of_the_product_cannot_be_made_to_fail(tmp_path: Path) -> None:
    with Processes(tmp_path / "logs") as processes:
        url = start_catalogue(processes, tmp_path).url
        with Api(url, INGESTOR) as api:
            assert api.call("PUT", "/embedded/faults", [{"do": "answer"}]).status_code == 404
            assert api.get(DATASETS).status_code == 200


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [", ":1: not YAML"),
        ("do: slow", ":1: a list of rules is needed"),
        ("- slow", ":1: a rule is a mapping"),
        ("- {}", ":1: do is missing; it is one of answer, answer_after"),
        ("\n- do: cut\n  pth: x", ":3: unknown field 'pth'; allowed are do, method"),
        ("- do: cut\n  do: cut", ":2: do is given twice"),
        ("- {do: [cut]}", ":1: do: must be one value"),
        ("- {do: cut, path: '('}", ":1: path: not a regular expression"),
        ("- {do: cut, method: 'P T'}", ":1: method: 'P T' is not a method"),
        ("- {do: cut, nth: 0}", ":1: nth: '0' is not a whole number from 1 on"),
        ("- {do: cut, nth: 1, every: 2}", ":1: nth and every cannot both be given; keep one"),
        ("- {do: cut, fraction: 1.5}", ":1: fraction: '1.5' is not a number above 0, at most 1"),
        ("- {do: cut, fraction: nan}", ":1: fraction: 'nan' is not"),
        ("- {do: cut, seed: 2}", ":1: seed is only for fraction"),
        ("- {do: cut, status: 500}", ":1: status is only for answer, answer_after, html"),
        ("- {do: answer, status: 204}", ":1: status: '204' is not a status"),
        ("- {do: slow}", ":1: slow needs seconds"),
        ("- {do: cut, body: x}", ":1: body is only for answer"),
        ("- {do: cut, seconds: 2}", ":1: seconds is only for slow"),
        ("- {do: slow, seconds: -1}", ":1: seconds: '-1' is not a number of seconds"),
    ],
)
def test_a_mistake_is_reported_with_its_line_and_what_to_do(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text(text)
    with pytest.raises(FaultsError) as raised:
        read_rules(path)
    assert f"{path}{reason}" in str(raised.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FaultsError, match=r"none\.yaml: cannot be read"):
        read_rules(tmp_path / "none.yaml")


@pytest.mark.parametrize("text", ["", "[]", "# nothing"])
def test_no_rules(text: str) -> None:
    assert rules_from(text, "x") == []


def test_a_fraction_is_the_same_for_the_same_seed() -> None:
    def hits(seed: int) -> list[bool]:
        faults = Faults([FaultRule("cut", fraction=0.2, seed=seed)])
        return [bool(faults.due("GET", "/")) for _ in range(2000)]

    assert hits(1) == hits(1) != hits(2)
    assert 300 < sum(hits(1)) < 500


anything = st.recursive(
    st.none() | st.text() | st.integers(), lambda some: st.lists(some) | st.dictionaries(st.text(), some)
)


@given(anything)
def test_any_other_file_is_refused_and_not_a_crash(value) -> None:
    if value == []:
        assert rules_from("[]", "x") == []
        return
    with pytest.raises(FaultsError, match=r"^x:1: "):
        rules_from(json.dumps(value), "x")
