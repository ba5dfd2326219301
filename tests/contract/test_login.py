"""Logins and tokens."""

from __future__ import annotations

from tests.contract.api import Api, quoted
from tests.servers.catalogue import Catalogue


def test_login_gives_a_token(catalogue: Catalogue, anonymous: Api) -> None:
    credentials = {"username": catalogue.ingestor.username, "password": catalogue.ingestor.password}
    answer = anonymous.post("/api/v3/auth/login", credentials)
    assert answer.status_code == 201
    assert answer.json()["access_token"]


def test_wrong_password_is_401(catalogue: Catalogue, anonymous: Api) -> None:
    answer = anonymous.post("/api/v3/auth/login", {"username": catalogue.ingestor.username, "password": "wrong"})
    assert answer.status_code == 401
    assert answer.json()["statusCode"] == 401


def test_unknown_user_is_401(anonymous: Api) -> None:
    assert anonymous.post("/api/v3/auth/login", {"username": "nobody", "password": "x"}).status_code == 401


def test_whoami_tells_a_live_token_from_a_dead_one(catalogue: Catalogue, api: Api, anonymous: Api) -> None:
    answer = api.get("/api/v3/auth/whoami")
    assert answer.status_code == 200
    assert answer.json()["username"] == catalogue.ingestor.username
    with Api(catalogue.url, token="not.a.token") as expired:
        for nobody in (anonymous, expired):
            lost = nobody.get("/api/v3/auth/whoami")
            assert (lost.status_code, lost.text.strip()) == (200, "")


def test_a_bad_token_counts_as_anonymous(catalogue: Catalogue, api: Api, new_dataset, proposal_id: str) -> None:
    pid = api.create(new_dataset())["pid"]
    with Api(catalogue.url, token="not.a.token") as expired:
        # A read is 200 and empty, so an empty answer may mean an expired token ...
        assert expired.find({"proposalId": proposal_id}) == []
        # ... and a write is 403, not 401.
        assert expired.patch(pid, {"comment": "x"}).status_code == 403
        assert expired.post("/api/v3/datasets", new_dataset()).status_code == 403
        assert expired.get(f"/api/v3/datasets/{quoted(pid)}").status_code == 403


def test_health(anonymous: Api) -> None:
    assert anonymous.get("/api/v3/health").status_code == 200
