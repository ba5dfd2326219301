"""A small client of SciCat's REST API: SciCow, the scan log and the demo use it.

What the real backend does (v4.6+) was found by running it; the comments say so where it is
not what one would expect. No write is repeated here: the caller knows what a repeated write does.
PUT is never used: it drops each field that is not in it.
"""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from ingest.scicat.errors import (
    Answer,
    DocumentConflict,
    Expired,
    Modified,
    NotAllowed,
    SciCatError,
    TimedOut,
    TooLarge,
)
from ingest.scicat.token_life import seconds_left
from ingest.scicat.transport import CALL_TIMEOUT_FACTOR, Transport

__all__ = [
    "DocumentConflict",
    "Expired",
    "Json",
    "Modified",
    "NotAllowed",
    "SciCat",
    "SciCatError",
    "TimedOut",
    "TooLarge",
]

Json = dict[str, Any]

IsScicats = Callable[[Any], bool]
"""Whether this decoded answer is the one that SciCat gives to a call. A proxy may answer anything, also with 200."""

MAX_BODY = 16 * 1024 * 1024
"""Bytes. To more the real server answers 500, as if it could be sent again."""

MERGE_PATCH = "application/merge-patch+json"

TOTALS = ("size", "packedSize", "numberOfFiles")
"""What a PATCH of v4 sets to 0 where it does not carry it, whatever else it is about."""

UNKNOWN_USER = "0" * 24
"""An identifier in MongoDB's form that no account has."""

RENEW_AFTER = 0.9
"""The part of its life after which a token is replaced."""

CLOCK_CHECK_SECONDS = 60.0
"""Seconds until a token that has expired by this machine's clock, but not by the server's, is checked again."""

LIST_LENGTH = 10
"""Pictures in the list of a dataset: the newest ones. Older servers list all of them."""


class SciCat:
    """One account on one SciCat. Threads may share it.

    `base_url` is the server's, without `/api/v3`. Without `username` or `token` only what is
    public is seen. A token that has expired is replaced by a new one where there is a password;
    without one the calls raise Expired, until `use` brings another. `timeout` is in seconds, for
    connecting and for each read; a whole call ends after six times that.
    """

    def __init__(
        self, base_url: str, username: str = "", password: str = "", token: str = "", timeout: float = 10.0
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.username = username
        self._password = password
        self._token = token
        self._check_at = _moment(seconds_left(token))
        self._login_lock = threading.Lock()
        self._timeout = timeout
        self._transport = Transport(self.base_url, timeout, CALL_TIMEOUT_FACTOR * timeout)

    def __repr__(self) -> str:
        return f"SciCat({self.base_url!r}, username={self.username!r})"

    def use(self, username: str = "", password: str = "", token: str = "") -> None:
        """Use another login, in all threads; without arguments none."""
        with self._login_lock:
            self.username, self._password, self._token = username, password, token
            self._check_at = _moment(seconds_left(token))

    @property
    def anonymous(self) -> bool:
        """Whether nobody is logged in: only what is public is seen, and nothing can be written."""
        return not self.username and not self._token

    @property
    def renewable(self) -> bool:
        """Whether a token that has expired is replaced without asking anybody."""
        return bool(self._password)

    def twin(self) -> SciCat:
        """Another client with this login, which `use` does not change: what is sent goes under one name to the end."""
        return SciCat(self.base_url, self.username, self._password, self._token, self._timeout)

    @property
    def token(self) -> str:
        """The one in use, for whoever keeps it; "" before the first call."""
        return self._token

    # ------------------------------------------------------------------ calls

    def login(self) -> None:
        """Take a new token. NotAllowed if name or password are wrong."""
        answer = self._send("POST", "/api/v3/auth/login", {"username": self.username, "password": self._password})
        if answer.status in (401, 403):
            raise NotAllowed(f"SciCat refuses the user {self.username!r}", answer.status, "check name and password")
        if not answer.good:
            raise answer.error("login to SciCat")
        try:
            token = answer.json()["access_token"]
        except (ValueError, KeyError, TypeError):  # as a proxy's own page would be
            token = None
        if not token or not isinstance(token, str):
            raise SciCatError("login to SciCat", answer.status, "the answer has no access_token")
        self._token = token
        self._check_at = _moment(RENEW_AFTER * seconds_left(token, fresh=True))

    def call(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        params: Json | None = None,
        content_type: str = "application/json",
        since: str = "",
        is_scicats: IsScicats = lambda _: True,
    ) -> Any:
        """The decoded answer (None if it is empty). Raises SciCatError or one of its kinds.

        An answer that is not JSON, or not `is_scicats`, is of something else at this address, and counts as none.
        `since` is for `If-Unmodified-Since`: Modified if the document has been changed after that time.
        """
        with self._login_lock:
            if self.username and not self._token:
                self.login()
            token = self._token
        if time.monotonic() >= self._check_at:
            token = self._replaced(token)
        answer = self._send(method, path, body, params, content_type, since)
        if answer.status in (401, 403) and self._renewed(token):
            # An expired token counts as anonymous, and a write then answers 403, so the
            # first refusal may only mean that. A read would be 200 and empty: see `revived`.
            answer = self._send(method, path, body, params, content_type, since)
        what = f"{method} {path}"
        if not answer.good:
            raise answer.error(what)
        return self._decoded(what, answer, is_scicats)

    def whoami(self) -> Json | None:
        """Whom SciCat takes us for (`username`, `email`, ...); None with a dead token, and without one."""
        path = "/api/v3/auth/whoami"
        answer = self._send("GET", path)
        if not answer.good:
            error = answer.error(f"GET {path}")
            if isinstance(error, NotAllowed):
                return None
            raise error
        try:
            found = answer.json()
        except ValueError as error:
            raise SciCatError(f"GET {path}", answer.status, "the answer is not JSON") from error
        return found if isinstance(found, dict) and found.get("username") else None

    def alive(self) -> bool:
        """Whether the token still counts: reads with a dead one are 200 and empty."""
        return self.whoami() is not None

    def revived(self) -> bool:
        """Whether the token had expired, so that reads saw only what is public. There is a new one then.

        Expired if there is no password to take one with.
        """
        token = self._token
        if self.anonymous or self.alive():
            return False
        self._renew(token)
        return True

    def is_administrator(self) -> bool | None:
        """Whether this account is in SciCat's ADMIN_GROUPS; None if this server does not say.

        Only administrators may read who another user is (`UserReadAny` in the backend's abilities), here one who does
        not exist; nothing is written. NotAllowed if the login is refused.
        """
        try:
            self.call("GET", f"/api/v3/users/{UNKNOWN_USER}/userIdentity")
        except NotAllowed as error:
            if error.status == 403:
                return False
            raise
        except SciCatError as error:
            if error.temporary:
                raise
            return None
        return True

    def has_v4(self) -> bool:
        """Whether the server has version 4 of the interface besides version 3; an account is not needed."""
        path = "/api/v4/datasets/count"
        answer = self._send("GET", path)
        if answer.good:
            # What is taken for version 4 once is called for as long as SciCow runs.
            self._decoded(f"GET {path}", answer, _is_count)
            return True
        error = answer.error(f"GET {path}")
        if error.temporary:
            raise error
        return error.status != 404  # 400, 401 or 403 is an answer of its own

    # --------------------------------------------------------------- datasets

    def create_dataset(self, dataset: Json, version: str = "v3") -> None:
        """Create it with the pid that it carries. Conflict if that pid is there."""
        self.call("POST", f"/api/{version}/datasets", dataset, is_scicats=_has("pid", dataset["pid"]))

    def dataset(self, pid: str) -> Json | None:
        """The dataset as v3 shows it, keys decoded, or None if there is none: never for an expired token."""
        try:
            return self._found("/api/v3/datasets", pid, "pid")
        except SciCatError as error:
            if error.status != 500:
                raise
            # Where the server keeps a history (TRACKABLES), it answers so for good about a dataset that was deleted and
            # made again. Its list has the dataset. A pid in `inq` is never taken for a date.
            found = [one for one in self.datasets({"pid": {"inq": [pid]}}, limit=1) if one.get("pid") == pid]
            if not found:
                raise
            return found[0]

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
        found: list[Json] = self.call("GET", "/api/v3/datasets", params={"filter": wanted}, is_scicats=_are_documents)
        return found

    def count(self, where: Json | None = None) -> int:
        """How many datasets fit. Of those that are public only, if the token has expired."""
        params = {"filter": {"where": where or {}}}
        return int(self.call("GET", "/api/v3/datasets/count", params=params, is_scicats=_is_count)["count"])

    def patch_dataset(self, pid: str, changes: Json, since: str = "") -> None:
        """Change fields of v3. Never `scientificMetadata`: that would be replaced whole.

        Modified if it was changed after `since`.
        """
        if "scientificMetadata" in changes:
            raise ValueError("use merge_dataset for scientificMetadata: a PATCH of v3 replaces all of it")
        self.call("PATCH", _dataset(pid), changes, since=since, is_scicats=_has("pid", pid))

    def replace_metadata(
        self, pid: str, changes: Json, since: str = "", version: str = "v3", found: Json | None = None
    ) -> None:
        """Change fields, `scientificMetadata` as a whole. `since` and `found` are as in `merge_dataset`."""
        if version == "v4":
            changes = _with_totals(changes, self._read_before(pid, found))
        self.call("PATCH", _dataset(pid, version), changes, since=since, is_scicats=_has("pid", pid))

    def merge_dataset(self, pid: str, changes: Json, since: str = "", found: Json | None = None) -> None:
        """Change fields of v4 (arrays `proposalIds`, ...), merging `scientificMetadata`; null deletes.

        Modified if it was changed after `since`. `found` is the dataset as it was read before, whose size and number
        of files stay; without it, it is read.
        """
        there = self._read_before(pid, found)
        changes = _with_totals(changes, there)
        if "scientificMetadata" in changes:
            # The real server answers 500 to every merge as long as there is a null, which a client may have left.
            metadata = there.get("scientificMetadata") or {}
            nulls = {name: None for name, value in metadata.items() if value is None}
            changes["scientificMetadata"] = nulls | changes["scientificMetadata"]
        # The content type must be exactly this: with a charset behind it the real server
        # silently replaces all metadata instead of merging.
        good = _has("pid", pid)
        self.call("PATCH", _dataset(pid, "v4"), changes, content_type=MERGE_PATCH, since=since, is_scicats=good)

    # ------------------------------------------------------ files and pictures

    def blocks(self, pid: str) -> list[Json]:
        """The dataset's origdatablocks. Empty only if a token that lives sees none."""
        return self._listed(f"{_dataset(pid)}/origdatablocks", _belong_to(pid))

    def files(self, pid: str) -> list[Json]:
        """All `{path, size, time}` of the dataset's datablocks."""
        return [file for block in self.blocks(pid) for file in block["dataFileList"]]

    def add_files(self, pid: str, files: list[Json], algorithm: str = "") -> None:
        """A datablock of these files. Not repeatable: the server would count them twice.

        `algorithm` is that of the checksums `chk` that files may have.
        """
        block: Json = {"datasetId": pid, "size": sum(file["size"] for file in files), "dataFileList": files}
        if algorithm:
            block["chkAlg"] = algorithm
        self.call("POST", "/api/v3/origdatablocks", block, is_scicats=_has("datasetId", pid))

    def change_block(self, key: str, files: list[Json], algorithm: str = "") -> None:
        """These files in place of the datablock's. Repeatable. NotAllowed but for ADMIN_GROUPS."""
        changes: Json = {"size": sum(file["size"] for file in files), "dataFileList": files}
        if algorithm:
            changes["chkAlg"] = algorithm
        self.call("PATCH", f"/api/v3/origdatablocks/{quote(key, safe='')}", changes, is_scicats=_is_block(key))

    def share_block(self, key: str, groups: Json) -> None:
        """Give a datablock these groups, `ownerGroup` and `accessGroups`: its own, as all lists of datablocks go by."""
        self.call("PATCH", f"/api/v3/origdatablocks/{quote(key, safe='')}", groups, is_scicats=_is_block(key))

    def share_attachment(self, key: str, groups: Json) -> None:
        """As `share_block`, for a picture. SciCatError with status 404 where there is no version 4 of the interface."""
        # PUT of v3, the only change that it has, would detach it from the dataset.
        self.call("PATCH", f"/api/v4/attachments/{quote(key, safe='')}", groups, is_scicats=_has("aid", key))

    def delete_block(self, key: str) -> None:
        """Take a datablock away. NotAllowed but for DELETE_GROUPS; none there is no mistake."""
        try:
            self.call("DELETE", f"/api/v3/origdatablocks/{quote(key, safe='')}", is_scicats=_is_block(key))
        except SciCatError as error:
            if error.status != 404:
                raise

    def attachments(self, pid: str) -> list[Json]:
        """All of the dataset's pictures, the oldest first. Empty only if a token that lives sees none."""
        newest = self._listed(f"{_dataset(pid)}/attachments", _belong_to(pid))
        every = self._every_attachment(pid) if len(newest) >= LIST_LENGTH else []
        # Not all that may be seen with the dataset may be seen in the list of everything.
        found = every if len(every) > len(newest) else newest[::-1]
        return sorted(found, key=lambda one: str(one.get("createdAt", "")))

    def attach_once(
        self, pid: str, owner_group: str, caption: str, thumbnail: str, access_groups: Sequence[str] = ()
    ) -> bool:
        """Whether the picture was not there yet. Lists show the first that a dataset got: none is put before it."""
        if self._is_attached(pid, caption, thumbnail):
            return False
        try:
            self.attach(pid, owner_group, caption, thumbnail, access_groups)
        except SciCatError as error:
            # The write may have happened.
            if not error.temporary or not self._is_attached(pid, caption, thumbnail):
                raise
        return True

    def thumbnail(self, pid: str) -> str:
        """The dataset's first picture as a `data:` URI; "" if it has none, or is not to be seen."""
        try:
            found = self.call("GET", f"{_dataset(pid)}/thumbnail")
        except SciCatError as error:
            if error.status in (403, 404):
                return ""
            raise
        return str(found.get("thumbnail") or "") if isinstance(found, dict) else ""

    def attach(
        self, pid: str, owner_group: str, caption: str, thumbnail: str, access_groups: Sequence[str] = ()
    ) -> None:
        """Add a picture, as a full `data:` URI. Not repeatable.

        Its access groups are only these. SciCat takes the owner group from the dataset.
        """
        body = {
            "ownerGroup": owner_group,
            "accessGroups": list(access_groups),
            "caption": caption,
            "thumbnail": thumbnail,
        }
        self.call("POST", f"{_dataset(pid)}/attachments", body, is_scicats=_has("datasetId", pid))

    # ---------------------------------------- what datasets refer to, by paths of v3

    def proposal(self, proposal_id: str) -> Json | None:
        """The proposal, or None if there is none. NotAllowed if this account may not see it."""
        return self._found("/api/v3/proposals", proposal_id, "proposalId")

    def create_proposal(self, proposal: Json) -> bool:
        """Whether it was created: False if its `proposalId` is there. NotAllowed if the account may not.

        Required: proposalId, email, title, ownerGroup.
        """
        return self._created("/api/v3/proposals", proposal, "proposalId")

    def sample(self, sample_id: str) -> Json | None:
        """The sample, or None if there is none. NotAllowed if this account may not see it."""
        return self._found("/api/v3/samples", sample_id, "sampleId")

    def create_sample(self, sample: Json) -> bool:
        """Whether it was created: False if its `sampleId` is there. NotAllowed if the account may not.

        Required: sampleId, ownerGroup. The real server answers 500 to one that is there, and 400 to a sampleName.
        """
        return self._created("/api/v3/samples", sample, "sampleId")

    def instrument(self, pid: str) -> Json | None:
        """The instrument, or None if there is none."""
        return self._found("/api/v3/instruments", pid, "pid")

    def instruments(self) -> list[Json]:
        """The first thousand. Everybody may see them."""
        path, params = "/api/v3/instruments", {"filter": {"limits": {"limit": 1000}}}
        found: list[Json] = self.call("GET", path, params=params, is_scicats=_are_documents)
        return found

    def create_instrument(self, instrument: Json) -> bool:
        """Whether it was created: False if its unique name is there. NotAllowed but for administrators.

        Required: uniqueName, name. The pid is SciCat's: one that is sent is a 400.
        """
        good = _has("uniqueName", instrument["uniqueName"])
        try:
            self.call("POST", "/api/v3/instruments", instrument, is_scicats=good)
        except DocumentConflict:
            return False
        return True

    # ---------------------------------------------------------------- private

    def _found(self, path: str, key: str, name: str) -> Json | None:
        """The document whose `name` is this key; None only if a token that lives does not see one, either."""
        found = self._look(path, key, name)
        if found is None and self.revived():
            found = self._look(path, key, name)
        return found

    def _look(self, path: str, key: str, name: str) -> Json | None:
        is_it = _has(name, key)
        try:
            # 404, an empty answer, or null: each of them is given somewhere for what is not there.
            found: Json | None = self.call(
                "GET", f"{path}/{quote(key, safe='')}", is_scicats=lambda found: found is None or is_it(found)
            )
            return found
        except SciCatError as error:
            if error.status == 404:
                return None
            raise

    def _listed(self, path: str, is_scicats: IsScicats) -> list[Json]:
        found: list[Json] = self.call("GET", path, is_scicats=is_scicats)
        if not found and self.revived():
            found = self.call("GET", path, is_scicats=is_scicats)
        return found

    def _replaced(self, token: str) -> str:
        """A token that is valid for some time. Reads with an expired one are 200, with what is public alone.

        Expired if there is no password to take one with.
        """
        if not self._password and self.alive():  # one of the two clocks is wrong
            self._check_at = _moment(CLOCK_CHECK_SECONDS)
        else:
            self._renew(token)
        return self._token

    def _renewed(self, token: str) -> bool:
        """Whether it is worth asking again after a refusal: there may be another token now. Raises as `_renew`."""
        if not self._password and (not token or self.alive()):
            return False
        self._renew(token)
        return True

    def _renew(self, token: str) -> None:
        """Log in, unless another thread has already taken the place of this token. Expired without a password."""
        with self._login_lock:
            if self._token != token:
                return
            if token and not self._password:
                raise Expired(f"the login of {self.username or 'this token'} has expired", 401, "log in again")
            self.login()

    def _read_before(self, pid: str, found: Json | None) -> Json:
        """`found`, or the dataset as it is now; {} if it is not there."""
        return found if found is not None else self.dataset(pid) or {}

    def _every_attachment(self, pid: str, caption: str | None = None) -> list[Json]:
        """The dataset's pictures, or those of this caption, by the list that has all; none where there is no v4."""
        where: Json = {"relationships.targetId": pid, "relationships.targetType": "dataset"}
        if caption is not None:
            where["caption"] = {"$in": [caption]}
        found: list[Json] = []
        while True:
            limits = {"limit": LIST_LENGTH, "skip": len(found), "sort": {"createdAt": "asc", "aid": "asc"}}
            try:
                params = {"filter": {"where": where, "limits": limits}}
                page = self.call("GET", "/api/v4/attachments", params=params, is_scicats=_are_documents)
            except SciCatError as error:
                if error.temporary:
                    raise
                return []
            found += page
            if len(page) < LIST_LENGTH:
                return found

    def _is_attached(self, pid: str, caption: str, thumbnail: str) -> bool:
        # Not all of them, as each of many large ones would then be read for each that is added.
        there = self._listed(f"{_dataset(pid)}/attachments", _belong_to(pid))
        if len(there) >= LIST_LENGTH:
            there += self._every_attachment(pid, caption)
        return any((each.get("caption"), each.get("thumbnail")) == (caption, thumbnail) for each in there)

    def _created(self, path: str, document: Json, key: str) -> bool:
        try:
            self.call("POST", path, document, is_scicats=_has(key, document[key]))
        except DocumentConflict:
            return False
        except SciCatError as error:
            # It may be there already (a sample), or the write may have happened.
            if error.status != 500 or self._found(path, str(document[key]), key) is None:
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
        since: str = "",
    ) -> Answer:
        headers = {"Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if since:
            headers["If-Unmodified-Since"] = since
        data = None
        if body is not None:
            data = json.dumps(body, allow_nan=False).encode()
            headers["Content-Type"] = content_type
            if len(data) > MAX_BODY:
                raise TooLarge(
                    f"{method} {path}", 413, f"{len(data)} bytes are more than SciCat accepts ({MAX_BODY}): not sent"
                )
        query = {name: value if isinstance(value, str) else json.dumps(value) for name, value in (params or {}).items()}
        answer = self._transport.send(method, path, data, headers, query)
        return answer if answer.good else self._without_secrets(answer)

    def _decoded(self, what: str, answer: Answer, is_scicats: IsScicats) -> Any:
        try:
            found = answer.json()
            good = is_scicats(found)
        except ValueError:
            good = False
        if not good:
            text = self._without_secrets(answer).text()[:200] or "nothing"
            raise SciCatError(what, answer.status, f"the answer is not SciCat's: {text}")
        return found

    def _without_secrets(self, answer: Answer) -> Answer:
        """An answer may quote what was sent, and its text gets into logs and dead letters."""
        content = answer.content
        for secret in filter(None, (self._token, self._password)):
            for form in (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
                content = content.replace(form.encode(), b"***")
        return replace(answer, content=content)


def _with_totals(changes: Json, there: Json) -> Json:
    """The changes with the totals that the dataset has, where they have no others."""
    return {name: there[name] for name in TOTALS if there.get(name) is not None} | changes


def _moment(seconds: float) -> float:
    """So many seconds from now, of `time.monotonic`."""
    return time.monotonic() + seconds


def just_after(found: Json) -> str:
    """The value of `since` for a document that was read: "" if it has no time of its last change.

    A millisecond later, as a server of before 2026 wants the header to be after the last change.
    """
    try:
        moment = dt.datetime.fromisoformat(str(found.get("updatedAt", "")))
    except ValueError:
        return ""
    later = moment.astimezone(dt.UTC) + dt.timedelta(milliseconds=1)
    return later.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _dataset(pid: str, version: str = "v3") -> str:
    return f"/api/{version}/datasets/{quote(pid, safe='')}"


# ------------------------------------------------------------ what answers are SciCat's


def _has(name: str, value: Any) -> IsScicats:
    """The document with this value, as the one that was sent or asked for."""
    return lambda found: isinstance(found, dict) and found.get(name) == value


def _is_block(key: str) -> IsScicats:
    return lambda found: isinstance(found, dict) and key in (found.get("_id"), found.get("id"))


def _are_documents(found: Any) -> bool:
    return isinstance(found, list) and all(isinstance(one, dict) for one in found)


def _belong_to(pid: str) -> IsScicats:
    return lambda found: _are_documents(found) and all(one.get("datasetId") == pid for one in found)


def _is_count(found: Any) -> bool:
    return isinstance(found, dict) and isinstance(found.get("count"), int)
