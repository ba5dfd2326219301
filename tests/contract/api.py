"""A bare HTTP client for the tests: what is sent and answered is seen as it is."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import requests

from tests.servers.catalogue import Account
from tests.waiting import PATIENCE

Json = dict[str, Any]

PNG = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def quoted(pid: str) -> str:
    """A pid as one part of a path."""
    return quote(pid, safe="")


class Api:
    """One account, or nobody, on one SciCat. A context manager."""

    def __init__(self, url: str, account: Account | None = None, token: str = "") -> None:
        self._url = url
        self._http = requests.Session()
        self.token = token
        if account is not None:
            credentials = {"username": account.username, "password": account.password}
            answer = self.post("/api/v3/auth/login", credentials)
            assert answer.status_code == 201, answer.text
            self.token = answer.json()["access_token"]

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        """`body` as JSON, unless it is bytes; `params` of dictionaries and lists as JSON."""
        headers = {"Content-Type": "application/json", **more.pop("headers", {})}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        params = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in more.pop("params", {}).items()
        }
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        return self._http.request(
            method, self._url + path, data=data, headers=headers, params=params, timeout=PATIENCE, **more
        )

    def get(self, path: str, **params: Any) -> requests.Response:
        return self.call("GET", path, params=params)

    def post(self, path: str, body: Any) -> requests.Response:
        return self.call("POST", path, body)

    def patch(self, pid: str, body: Any, version: str = "v3", **more: Any) -> requests.Response:
        return self.call("PATCH", f"/api/{version}/datasets/{quoted(pid)}", body, **more)

    def merge(self, pid: str, body: Any, content_type: str = "application/merge-patch+json") -> requests.Response:
        return self.patch(pid, body, "v4", headers={"Content-Type": content_type})

    def dataset(self, pid: str, version: str = "v3") -> Json:
        answer = self.get(f"/api/{version}/datasets/{quoted(pid)}")
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    def create(self, dataset: Json) -> Json:
        answer = self.post("/api/v3/datasets", dataset)
        assert answer.status_code == 201, answer.text
        found: Json = answer.json()
        return found

    def find(self, where: Json, **more: Any) -> list[Json]:
        answer = self.get("/api/v3/datasets", filter={"where": where, **more})
        assert answer.status_code == 200, answer.text
        found: list[Json] = answer.json()
        return found
