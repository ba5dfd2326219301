"""A small client of SciCat's REST API: what SciCow writes with and the scan log reads with.

What the real backend does (v4.6+) was found by running it; the comments say so where it is
not what one would expect. Nothing here retries: whoever calls knows what a repeat costs.
"""

from __future__ import annotations

import json
import re
import threading
import time
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import requests

Json = dict[str, Any]


class SciCatError(Exception):
    """An answer that is not the one hoped for. `status` is 0 if there was no answer at all.

    `retry_after` is for how many seconds the server asks not to be called; 0 if it does not say.
    """

    def __init__(self, what: str, status: int = 0, text: str = "", retry_after: float = 0.0) -> None:
        super().__init__(f"{what}: {status} {text[:500]}" if status else f"{what}: {text[:500]}")
        self.status = status
        self.retry_after = retry_after

    @property
    def temporary(self) -> bool:
        """True where the same call may succeed later: no answer, a time-out, a server's fault."""
        return self.status == 0 or self.status in (408, 425, 429) or self.status >= 500


class Conflict(SciCatError):
    """409: what was to be created is there already."""


class NotAllowed(SciCatError):
    """401 or 403 although logged in: the account lacks the right."""


class TimedOut(SciCatError):
    """The call was sent, and no answer came in time; it may have been done."""


class SciCat:
    """One account on one SciCat. Threads may share it.

    `base_url` is the server's, without `/api/v3`. Without `username` or `token` only what is
    public is seen. `timeout` is in seconds, for connecting and for each read.
    """

    def __init__(
        self, base_url: str, username: str = "", password: str = "", token: str = "", timeout: float = 10.0
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.username = username
        self._password = password
        self._token = token
        self._timeout = timeout
        self._login_lock = threading.Lock()
        self._sessions = threading.local()

    def __repr__(self) -> str:
        return f"SciCat({self.base_url!r}, username={self.username!r})"

    # ------------------------------------------------------------------ calls

    def login(self) -> None:
        """Take a new token. NotAllowed if name or password are wrong."""
        answer = self._send("POST", "/api/v3/auth/login", {"username": self.username, "password": self._password})
        if answer.status_code in (401, 403):
            raise NotAllowed(f"SciCat refuses the user {self.username!r}", answer.status_code, answer.text)
        if answer.status_code not in (200, 201):
            raise SciCatError("login to SciCat", answer.status_code, answer.text, _retry_after(answer))
        try:
            self._token = answer.json()["access_token"]
        except (ValueError, KeyError, TypeError) as error:
            # As a proxy's own page would be.
            raise SciCatError("login to SciCat", answer.status_code, "the answer has no access_token") from error

    def call(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        params: Json | None = None,
        content_type: str = "application/json",
    ) -> Any:
        """The decoded answer (None if it is empty). Raises SciCatError or one of its kinds."""
        with self._login_lock:
            if self.username and not self._token:
                self.login()
            token = self._token
        answer = self._send(method, path, body, params, content_type)
        if answer.status_code in (401, 403) and self.username:
            # An expired token counts as anonymous, and a write then answers 403, so the
            # first refusal may only mean that. A read would be 200 and empty: see `alive`.
            with self._login_lock:
                if self._token == token:
                    self.login()
            answer = self._send(method, path, body, params, content_type)
        what = f"{method} {path}"
        if answer.status_code == 409:
            raise Conflict(what, 409, answer.text)
        if answer.status_code in (401, 403):
            raise NotAllowed(what, answer.status_code, answer.text)
        if not 200 <= answer.status_code < 300:
            raise SciCatError(what, answer.status_code, answer.text, _retry_after(answer))
        try:
            return answer.json() if answer.content else None
        except ValueError as error:
            raise SciCatError(what, answer.status_code, f"the answer is not JSON: {answer.text[:200]}") from error

    def alive(self) -> bool:
        """Whether the token still counts: reads with a dead one are 200 and empty."""
        answer = self._send("GET", "/api/v3/auth/whoami")
        return answer.status_code == 200 and b"username" in answer.content

    # --------------------------------------------------------------- datasets

    def create_dataset(self, dataset: Json) -> None:
        """Create it with the pid that it carries. Conflict if that pid is there."""
        self.call("POST", "/api/v3/datasets", dataset)

    def dataset(self, pid: str) -> Json | None:
        """The dataset as v3 shows it, or None if there is none."""
        return self._found("/api/v3/datasets", pid)

    def datasets(
        self,
        where: Json | None = None,
        fields: list[str] | None = None,
        order: str = "creationTime:desc",
        limit: int = 100,
        skip: int = 0,
    ) -> list[Json]:
        """One page. `where` is SciCat's, `{"updatedAt": {"gte": "...Z"}}` included."""
        wanted: Json = {"where": where or {}, "limits": {"limit": limit, "skip": skip, "order": order}}
        if fields:
            wanted["fields"] = fields
        found: list[Json] = self.call("GET", "/api/v3/datasets", params={"filter": wanted})
        return found

    def patch_dataset(self, pid: str, changes: Json) -> None:
        """Change fields of v3. Never `scientificMetadata`: that would be replaced whole."""
        if "scientificMetadata" in changes:
            raise ValueError("use merge_dataset for scientificMetadata: a PATCH of v3 replaces all of it")
        self.call("PATCH", f"/api/v3/datasets/{quote(pid, safe='')}", changes)

    def merge_dataset(self, pid: str, changes: Json) -> None:
        """Change fields of v4 (arrays `proposalIds`, ...), merging `scientificMetadata`; null deletes."""
        # The content type must be exactly this: with a charset behind it the real server
        # silently replaces all metadata instead of merging.
        self.call(
            "PATCH", f"/api/v4/datasets/{quote(pid, safe='')}", changes, content_type="application/merge-patch+json"
        )

    def files(self, pid: str) -> list[Json]:
        """All `{path, size, time}` of the dataset's datablocks."""
        blocks = self.call("GET", f"/api/v3/datasets/{quote(pid, safe='')}/origdatablocks") or []
        return [file for block in blocks for file in block["dataFileList"]]

    def add_files(self, pid: str, files: list[Json]) -> None:
        """A datablock of these files. Not repeatable: the server would count them twice."""
        block = {"datasetId": pid, "size": sum(file["size"] for file in files), "dataFileList": files}
        self.call("POST", "/api/v3/origdatablocks", block)

    # ---------------------------------------- what datasets refer to, by paths of v3

    def proposal(self, proposal_id: str) -> Json | None:
        """The proposal, or None if there is none. NotAllowed if this account may not see it."""
        return self._found("/api/v3/proposals", proposal_id)

    def create_proposal(self, proposal: Json) -> bool:
        """Whether it was created: False if its `proposalId` is there. NotAllowed if the account may not.

        Required: proposalId, email, title, ownerGroup.
        """
        return self._created("/api/v3/proposals", proposal, "proposalId")

    def sample(self, sample_id: str) -> Json | None:
        """The sample, or None if there is none. NotAllowed if this account may not see it."""
        return self._found("/api/v3/samples", sample_id)

    def create_sample(self, sample: Json) -> bool:
        """Whether it was created: False if its `sampleId` is there. NotAllowed if the account may not.

        Required: sampleId, sampleName, ownerGroup. The real server answers 500 to one that is there.
        """
        return self._created("/api/v3/samples", sample, "sampleId")

    def instrument(self, pid: str) -> Json | None:
        """The instrument, or None if there is none."""
        return self._found("/api/v3/instruments", pid)

    def create_instrument(self, instrument: Json) -> bool:
        """Whether it was created: False if its pid or name is there. NotAllowed but for administrators.

        Required: pid, uniqueName, name.
        """
        return self._created("/api/v3/instruments", instrument, "pid")

    # ---------------------------------------------------------------- private

    def _found(self, path: str, key: str) -> Json | None:
        """The document with this key; None only if a token that lives does not see one, either."""
        found = self._look(path, key)
        if found is None and self.username and not self.alive():
            self.login()
            found = self._look(path, key)
        return found

    def _look(self, path: str, key: str) -> Json | None:
        try:
            # 404, an empty answer, or null: each of them is given somewhere for what is not there.
            return self.call("GET", f"{path}/{quote(key, safe='')}") or None
        except SciCatError as error:
            if error.status == 404:
                return None
            raise

    def _created(self, path: str, document: Json, key: str) -> bool:
        try:
            self.call("POST", path, document)
        except Conflict:
            return False
        except SciCatError as error:
            # It may be there already (a sample), or the write may have happened.
            if error.status != 500 or self._found(path, str(document[key])) is None:
                raise
            return False
        return True

    def _send(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        params: Json | None = None,
        content_type: str = "application/json",
    ) -> requests.Response:
        headers = {"Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None
        if body is not None:
            data = json.dumps(body, allow_nan=False).encode()
            headers["Content-Type"] = content_type
        query = {name: value if isinstance(value, str) else json.dumps(value) for name, value in (params or {}).items()}
        session: requests.Session | None = getattr(self._sessions, "http", None)
        if session is None:
            session = self._sessions.http = requests.Session()
        try:
            return session.request(
                method, self.base_url + path, data=data, headers=headers, params=query, timeout=self._timeout
            )
        except requests.ReadTimeout as error:
            raise TimedOut(f"{method} {self.base_url}{path}", 0, f"no answer in {self._timeout:.0f} s") from error
        except requests.RequestException as error:
            raise SciCatError(f"{method} {self.base_url}{path}", 0, f"no answer ({error})") from error


def _retry_after(answer: requests.Response) -> float:
    """Seconds, from a number of them or from a date (RFC 9110, 10.2.3); 0 if there is neither."""
    text = answer.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}", text):
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (ValueError, OverflowError):
        return 0.0
