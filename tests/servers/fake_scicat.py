"""A SciCat in memory, under the project's own client: it behaves as the real one (tests/contract), and fails when told.

The forms of fields and what becomes of metadata are the embedded catalogue's, which the contract checks.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from pydantic import ValidationError

from ingest.embedded import dataset_forms, models
from ingest.embedded.metadata import FailsOnRealServer
from ingest.scicat import SciCat
from ingest.scicat.errors import Answer, SciCatError

Json = dict[str, Any]
Fault = Callable[["FakeServer", int, str, str], str]
"""(server, number of the call, method, kind of path): what goes wrong, "" for nothing. See `send`."""

LIES = {
    "nothing": b"",
    "null": b"null",
    "status": b'{"status": "ok"}',
    "list": b"[]",
    "page": b"<html><body>Welcome</body></html>",
    "other": b'{"pid": "scizoo/other", "datasetId": "scizoo/other", "_id": "other", "proposalId": "other"}',
    "others": b'[{"pid": "scizoo/other", "datasetId": "scizoo/other", "_id": "other"}]',
}
"""What a proxy answers with 200 in the place of SciCat."""

PNG = "data:image/png;base64,AAAA"


class Killed(BaseException):
    """Where a SciCow is killed."""


class Refuse(Exception):
    def __init__(self, status: int, message: Any = "") -> None:
        super().__init__(message)
        self.status = status


_OTHERS = {"proposals": models.CreateProposal, "samples": models.CreateSample, "instruments": models.CreateInstrument}


class FakeServer:
    """Takes the place of a client's transport."""

    def __init__(self, v4: bool = True, may_delete: bool = True, honours_since: bool = True) -> None:
        self.v4, self.may_delete, self.honours_since = v4, may_delete, honours_since
        self.sets: dict[str, Json] = {}
        self.blocks: list[Json] = []
        self.pictures: list[Json] = []
        self.others: dict[str, dict[str, Json]] = {"proposals": {}, "samples": {}, "instruments": {}}
        self.tokens: set[str] = set()
        self.calls: list[tuple[str, str]] = []
        self.headers: list[Mapping[str, str]] = []
        self.fault: Fault = lambda *_: ""
        self.after: Callable[[FakeServer, str, str], None] = lambda *_: None
        self.crashed = False
        self._query: Mapping[str, str] = {}
        self._now = dt.datetime(2026, 11, 22, 10, tzinfo=dt.UTC)
        self._numbers = 0

    def client(self, **more: Any) -> SciCat:
        client = SciCat("http://scicat.example.org", "ingestor", "s3cret", **more)
        client._transport = self  # type: ignore[assignment]
        return client

    def writes(self) -> list[str]:
        return [kind for method, kind in self.calls if method != "GET" and kind != "login"]

    def shown(self, pid: str) -> Json:
        return dataset_forms.to_v3(self.sets[pid])

    def now(self) -> str:
        self._now += dt.timedelta(milliseconds=7)
        return self._now.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    # ------------------------------------------------------------------ calls

    def send(
        self,
        method: str,
        path: str,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Answer:
        """As Transport. A fault is a status or 'lost' (no answer), 'kill' or 'expire', with ' after' if it comes
        after the call was done; 'page' is a proxy's page; 'cut' half of the answer; 'lie:...' one of LIES."""
        headers = headers or {}
        kind = self._kind(path)
        self._query = query or {}
        self.calls.append((method, kind))
        self.headers.append(headers)
        fault = self.fault(self, len(self.calls), method, kind)
        what, _, when = fault.partition(" ")
        if what == "expire":
            self.tokens.clear()
            what = ""
        if what and not when:
            return self._failed(what, b"")
        try:
            status, body = self._do(method, path, kind, json.loads(data) if data else None, headers)
            content = json.dumps(body).encode() if body is not ... else b""
        except Refuse as refused:
            status, content = refused.status, self._refusal(refused)
        self.after(self, method, kind)
        if what:
            return self._failed(what, content)
        return Answer(status, content)

    def _failed(self, what: str, content: bytes) -> Answer:
        if what == "kill":
            raise Killed
        if what in ("lost", "cut"):
            raise SciCatError("call", 0, "no answer")
        if what.startswith("lie:"):
            return Answer(200, LIES[what.removeprefix("lie:")])
        if what == "page":
            return Answer(404, b"<html><body>Not here</body></html>")
        if what == "halfjson":
            return Answer(200, content[: len(content) // 2] or b"{")
        return Answer(int(what), json.dumps({"statusCode": int(what), "message": "told to"}).encode())

    @staticmethod
    def _refusal(refused: Refuse) -> bytes:
        return json.dumps({"statusCode": refused.status, "message": refused.args[0]}).encode()

    @staticmethod
    def _kind(path: str) -> str:
        parts = path.split("/")[3:]
        if parts[0] == "auth":
            return parts[1]
        if parts == ["datasets", "count"]:
            return "count"
        if parts[0] == "datasets":
            return parts[2] if len(parts) > 2 else "dataset" if len(parts) > 1 else "datasets"
        return parts[0]

    def _do(self, method: str, path: str, kind: str, body: Any, headers: Mapping[str, str]) -> tuple[int, Any]:
        version, *parts = [unquote(part) for part in path.split("/")[2:]]
        if self.crashed:
            raise SciCatError("call", 0, "no answer")
        if kind == "login":
            if body["password"] != "s3cret":
                raise Refuse(401, "Unauthorized")
            self._numbers += 1
            self.tokens.add(f"token-{self._numbers}")
            return 201, {"access_token": f"token-{self._numbers}"}
        living = headers.get("Authorization", "").removeprefix("Bearer ") in self.tokens
        if kind == "whoami":
            return (200, {"username": "ingestor"}) if living else (200, ...)
        if version == "v4" and not self.v4:
            raise Refuse(404, f"Cannot {method} {path}")
        if not living and method != "GET":
            raise Refuse(403, "Forbidden resource")
        do = getattr(self, f"_{method.lower()}_{kind}", None) or getattr(self, f"_{method.lower()}_other")
        found: tuple[int, Any] = do(version, parts, body, headers, living)
        return found

    # --------------------------------------------------------------- datasets

    def _post_datasets(self, version: str, parts: Any, body: Json, headers: Any, living: bool) -> tuple[int, Any]:
        fields = self._fields(models.CreateDatasetV4 if version == "v4" else models.CreateRawV3, version, body)
        if fields["pid"] in self.sets:
            raise Refuse(409, "there")
        self.sets[fields["pid"]] = self._stored(lambda: dataset_forms.created(fields, version)) | {
            "updatedAt": self.now()
        }
        return 201, self._shown(fields["pid"], version)

    def _get_datasets(self, version: str, parts: Any, body: Any, headers: Any, living: bool) -> tuple[int, Any]:
        where = json.loads(self._query.get("filter", "{}")).get("where", {})
        pids = where.get("pid", {}).get("inq")
        wanted = [each for pid, each in self.sets.items() if pids is None or pid in pids]
        return 200, [dataset_forms.to_v3(each) for each in wanted] if living else []

    def _get_count(self, version: str, parts: Any, body: Any, headers: Any, living: bool) -> tuple[int, Any]:
        return 200, {"count": len(self.sets) if living else 0}

    def _get_dataset(self, version: str, parts: Any, body: Any, headers: Any, living: bool) -> tuple[int, Any]:
        found = self.sets.get(parts[1])
        if not living:
            return 200, None
        if found is None:
            raise Refuse(404, "not found")
        return 200, dataset_forms.to_v3(found) if version == "v3" else found

    def _patch_dataset(self, version: str, parts: Any, body: Json, headers: Any, living: bool) -> tuple[int, Any]:
        found = self.sets.get(parts[1])
        if found is None:
            raise Refuse(404, "not found")
        since = headers.get("If-Unmodified-Since")
        if since and self.honours_since and since <= found["updatedAt"]:
            raise Refuse(412, "has been modified")
        if version == "v4":
            body = dataset_forms.RESET_TOTALS | body
        fields = self._fields(models.PatchDatasetV4 if version == "v4" else models.PatchDatasetV3, version, body)
        merge = version == "v4" and headers["Content-Type"] == "application/merge-patch+json"
        if merge:
            self._check_units(body.get("scientificMetadata") or {})
        change = dataset_forms.merged if merge else dataset_forms.patched
        self.sets[parts[1]] = self._stored(lambda: change(found, fields)) | {"updatedAt": self.now()}
        return 200, self._shown(parts[1], version)

    def _shown(self, pid: str, version: str) -> Json:
        return self.shown(pid) if version == "v3" else self.sets[pid]

    def _fields(self, form: type[models.Strict], version: str, body: Json) -> Json:
        try:
            found = form.model_validate(body).model_dump(exclude_unset=True)
        except ValidationError as error:
            raise Refuse(400, str(error)) from error
        return dataset_forms.from_v3(found) if version == "v3" else found

    def _stored(self, make: Callable[[], Json]) -> Json:
        try:
            return make()
        except FailsOnRealServer as error:
            self.crashed = True
            raise AssertionError(str(error)) from error

    def _check_units(self, patch: Json) -> None:
        for inner in patch.values():
            if isinstance(inner, dict) and ("value" in inner) != ("unit" in inner):
                raise Refuse(400, "Please provide both")
            if isinstance(inner, dict):
                self._check_units(inner)

    # ------------------------------------------------------ files and pictures

    def _get_origdatablocks(self, version: str, parts: Any, body: Any, headers: Any, living: bool) -> tuple[int, Any]:
        return 200, [block for block in self.blocks if block["datasetId"] == parts[1]] if living else []

    def _post_origdatablocks(self, version: str, parts: Any, body: Json, headers: Any, living: bool) -> tuple[int, Any]:
        self._fields(models.CreateOrigDatablock, "v4", body)
        if body["datasetId"] not in self.sets:
            raise Refuse(400, "no dataset")
        return 201, self.add_block(body)

    def add_block(self, body: Json) -> Json:
        self._numbers += 1
        own = {"_id": f"block-{self._numbers}", "createdAt": self.now()}
        self.blocks.append({**body, **self._groups(body["datasetId"]), **own})
        own = [block for block in self.blocks if block["datasetId"] == body["datasetId"]]
        totals = {
            "size": sum(block["size"] for block in own),
            "numberOfFiles": sum(len(b["dataFileList"]) for b in own),
        }
        self.sets[body["datasetId"]] |= totals
        return self.blocks[-1]

    def _patch_origdatablocks(
        self, version: str, parts: Any, body: Json, headers: Any, living: bool
    ) -> tuple[int, Any]:
        fields = self._fields(models.PatchOrigDatablock, "v4", body)
        found = [block for block in self.blocks if block["_id"] == parts[1]]
        if not found:
            raise Refuse(404, "not found")
        found[0].update(fields)  # and does not count again
        return 200, found[0]

    def _delete_origdatablocks(
        self, version: str, parts: Any, body: Any, headers: Any, living: bool
    ) -> tuple[int, Any]:
        if not self.may_delete:
            raise Refuse(403, "Forbidden resource")
        (gone,) = [block for block in self.blocks if block["_id"] == parts[1]]
        self.blocks.remove(gone)  # and does not count again
        return 200, gone

    def _get_attachments(self, version: str, parts: Any, body: Any, headers: Any, living: bool) -> tuple[int, Any]:
        wanted = json.loads(self._query.get("filter", "{}"))
        pid = wanted["where"]["relationships.targetId"] if version == "v4" else parts[1]
        found = [each for each in self.pictures if each["datasetId"] == pid] if living else []
        if version == "v3":
            return 200, found[::-1][:10]
        skip = wanted["limits"]["skip"]
        return 200, list(map(_picture_of_v4, found[skip : skip + wanted["limits"]["limit"]]))

    def _post_attachments(self, version: str, parts: Any, body: Json, headers: Any, living: bool) -> tuple[int, Any]:
        self._fields(models.CreateAttachment, "v4", body)
        self._numbers += 1
        own = {"datasetId": parts[1], "id": f"picture-{self._numbers}"}
        self.pictures.append({"accessGroups": [], **body, **own, "ownerGroup": self.sets[parts[1]]["ownerGroup"]})
        return 201, self.pictures[-1]

    def _patch_attachments(self, version: str, parts: Any, body: Json, headers: Any, living: bool) -> tuple[int, Any]:
        fields = self._fields(models.PatchAttachmentV4, "v4", body)
        found = [each for each in self.pictures if each["id"] == parts[1]]
        if version == "v3" or not found:
            raise Refuse(404, "not found")
        found[0].update(fields)
        return 200, _picture_of_v4(found[0])

    def _groups(self, pid: str) -> Json:
        """What is made of a dataset gets its groups, and keeps them when those of the dataset change."""
        return {name: self.sets[pid].get(name) for name in ("ownerGroup", "accessGroups")}

    # ---------------------------------------------------------------- the rest

    def _get_other(self, version: str, parts: Any, body: Any, headers: Any, living: bool) -> tuple[int, Any]:
        found = self.others[parts[0]].get(parts[1]) if living else None
        if found is None:
            return 200, ...
        return 200, found

    def _post_other(self, version: str, parts: Any, body: Json, headers: Any, living: bool) -> tuple[int, Any]:
        there = self.others[parts[0]]
        self._fields(_OTHERS[parts[0]], "v4", body)
        key = body[{"proposals": "proposalId", "samples": "sampleId", "instruments": "uniqueName"}[parts[0]]]
        if key in there:
            raise Refuse(500 if parts[0] == "samples" else 409, "there")
        there[key] = body
        return 201, body


def _picture_of_v4(picture: Json) -> Json:
    return {**{name: value for name, value in picture.items() if name != "id"}, "aid": picture["id"]}


def once(kind: str, what: str, method: str = "") -> Fault:
    """The first call of this kind (and method, if one is given) fails so."""
    left = [what]

    def fault(_: FakeServer, __: int, called: str, path: str) -> str:
        if left and path == kind and method in ("", called):
            return left.pop()
        return ""

    return fault


def at(number: int, what: str) -> Fault:
    """The call with this number, counted from now on, fails so."""
    count = [number]

    def fault(*_: Any) -> str:
        count[0] -= 1
        return what if count[0] == 0 else ""

    return fault


def for_calls(first: int, number: int, what: str) -> Fault:
    """So many calls fail so, from the one with this number on, counted from now on."""
    count = itertools.count(1)
    return lambda *_: what if first <= next(count) < first + number else ""
