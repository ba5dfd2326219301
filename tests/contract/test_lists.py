"""Pages, filters, orders and the frontend's searches."""

from __future__ import annotations

import pytest

from tests.contract.api import Api


@pytest.fixture
def three(api: Api, new_dataset) -> list[str]:
    """Datasets `list 0` to `list 2`, a minute apart, with n = 0, 1, 2 mm, and one without metadata."""
    api.create(new_dataset(datasetName="other", creationTime="2026-11-22T09:00:00.000Z"))
    return [
        api.create(
            new_dataset(
                datasetName=f"list {i}",
                creationTime=f"2026-11-22T10:0{i}:00.000Z",
                scientificMetadata={"n": {"value": i, "unit": "mm"}, "a.b": {"value": -i, "unit": ""}},
            )
        )["updatedAt"]
        for i in range(3)
    ]


def _names(found: list[dict]) -> list[str]:
    return [dataset["datasetName"] for dataset in found]


def test_a_page(api: Api, three, proposal_id: str) -> None:
    limits = {"limit": 2, "skip": 1, "order": "creationTime:desc"}
    assert _names(api.find({"proposalId": proposal_id}, limits=limits)) == ["list 1", "list 0"]


@pytest.mark.parametrize(("version", "most"), [("v3", 100), ("v4", 10)])
def test_default_length_of_a_page(api: Api, new_dataset, proposal_id: str, version: str, most: int) -> None:
    for _ in range(12):
        api.create(new_dataset())
    name, value = ("proposalId", proposal_id) if version == "v3" else ("proposalIds", proposal_id)
    found = api.get(f"/api/{version}/datasets", filter={"where": {name: value}}).json()
    assert len(found) == min(most, 12)


def test_no_match_is_an_empty_list(api: Api) -> None:
    assert api.find({"proposalId": "nothing"}) == []


def test_updated_since(api: Api, three: list[str], proposal_id: str) -> None:
    found = api.find({"proposalId": proposal_id, "updatedAt": {"gte": three[-1]}})
    assert "list 2" in _names(found)
    assert len(found) < 4


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"datasetName": "other"}, ["other"]),
        ({"datasetName": {"inq": ["list 0", "list 2"]}}, ["list 0", "list 2"]),
        ({"datasetName": {"nin": ["list 0", "list 2", "other"]}}, ["list 1"]),
        ({"datasetName": {"like": "^list"}}, ["list 0", "list 1", "list 2"]),
        ({"datasetName": {"ilike": "LIST"}}, ["list 0", "list 1", "list 2"]),
        ({"datasetName": {"$regex": "list [12]"}}, ["list 1", "list 2"]),
        ({"datasetName": {"$ne": "other"}, "creationTime": {"lt": "2026-11-22T10:01:00Z"}}, ["list 0"]),
        ({"creationTime": {"gte": "2026-11-22T10:01:00Z", "lte": "2026-11-22T10:01:00Z"}}, ["list 1"]),
        ({"creationTime": {"gt": "2026-11-22T11:01:00+01:00"}}, ["list 2"]),
        ({"scientificMetadata.n.value": {"gte": 1}}, ["list 1", "list 2"]),
        ({"scientificMetadata.n.value": 0}, ["list 0"]),
        ({"scientificMetadata.n.value": {"$exists": False}}, ["other"]),
        ({"or": [{"datasetName": "other"}, {"and": [{"datasetName": {"inq": ["list 0"]}}]}]}, ["other", "list 0"]),
        (
            {"$or": [{"datasetName": {"$in": ["other"]}}, {"scientificMetadata.n.value": {"$lt": 1}}]},
            ["other", "list 0"],
        ),
    ],
    ids=str,
)
def test_where(api: Api, three, proposal_id: str, where: dict, expected: list[str]) -> None:
    found = api.find({"and": [{"proposalIds": {"inq": [proposal_id]}}, where]}, limits={"order": "creationTime:asc"})
    assert _names(found) == expected


def test_a_choice_of_fields_into_the_metadata(api: Api, three, proposal_id: str) -> None:
    found = api.find({"proposalId": proposal_id}, fields=["pid", "datasetName", "scientificMetadata.n"])
    assert all("sourceFolder" not in dataset for dataset in found)
    assert sorted(len(dataset["scientificMetadata"]) for dataset in found) == [0, 1, 1, 1]


def test_an_order_by_a_metadata_value(api: Api, three, proposal_id: str) -> None:
    limits = {"order": "scientificMetadata.n.value:desc"}
    assert _names(api.find({"proposalId": proposal_id}, limits=limits)) == ["list 2", "list 1", "list 0", "other"]


def test_a_key_with_a_dot_is_named_as_it_is_stored(api: Api, three, proposal_id: str) -> None:
    limits = {"order": "scientificMetadata.a%2Eb.value:asc", "limit": 4}
    # What lacks the value comes first, as in MongoDB.
    assert _names(api.find({"proposalId": proposal_id}, limits=limits)) == ["other", "list 2", "list 1", "list 0"]


def test_count_and_find_one(api: Api, three, proposal_id: str) -> None:
    wanted = {"where": {"proposalId": proposal_id}}
    assert api.get("/api/v3/datasets/count", filter=wanted).json() == {"count": 4}
    one = api.get("/api/v3/datasets/findOne", filter=wanted | {"limits": {"order": "creationTime:desc"}})
    assert one.json()["proposalId"] == proposal_id


def test_fullquery(api: Api, three, proposal_id: str) -> None:
    def names(fields: dict, **limits) -> list[str]:
        answer = api.get(
            "/api/v3/datasets/fullquery",
            fields={"proposalIds": [proposal_id]} | fields,
            limits={"skip": 0, "limit": 10, "order": "creationTime:desc"} | limits,
        )
        assert answer.status_code == 200, answer.text
        return _names(answer.json())

    assert names({"type": ["raw"]}) == ["list 2", "list 1", "list 0", "other"]
    assert names({}, order="scientificMetadata.n.value:desc")[:3] == ["list 2", "list 1", "list 0"]
    assert names({"creationTime": {"begin": "2026-11-22T10:00:30Z", "end": "2026-11-22T10:01:30Z"}}) == ["list 1"]
    science = {"lhs": "n", "relation": "GREATER_THAN", "rhs": 500, "unit": "um"}
    assert names({"scientific": [science]}) == ["list 2", "list 1"]
    assert names({"proposalIds": ["nothing"]}) == []


@pytest.mark.usefixtures("whole_mongodb")
def test_fullquery_finds_text(api: Api, new_dataset, proposal_id: str) -> None:
    api.create(new_dataset(datasetName="diffraction of lysozyme"))
    api.create(new_dataset(datasetName="dark"))
    answer = api.get("/api/v3/datasets/fullquery", fields={"proposalIds": [proposal_id], "text": "lysozyme"}, limits={})
    assert _names(answer.json()) == ["diffraction of lysozyme"]


@pytest.mark.usefixtures("whole_mongodb")
@pytest.mark.parametrize(
    ("search", "names"),
    [
        ("lysozyme", ["lysozyme at 10 keV", "lysozyme dark"]),
        ("lysozyme ferritin", ["ferritin dark", "lysozyme at 10 keV", "lysozyme dark"]),
        ('"lysozyme" "dark"', ["lysozyme dark"]),
        ('"at 10" text', ["lysozyme at 10 keV"]),  # a word after it, so that it is no date
        ('"lysozyme" "ferritin"', []),
        ('"dark" lysozyme', ["ferritin dark", "lysozyme dark"]),
    ],
)
def test_where_finds_any_word_or_all_phrases(
    api: Api, new_dataset, proposal_id: str, search: str, names: list[str]
) -> None:
    for name in ("lysozyme at 10 keV", "lysozyme dark", "ferritin dark"):
        api.create(new_dataset(datasetName=name))
    found = api.find({"$and": [{"proposalIds": {"$in": [proposal_id]}}, {"$text": {"$search": search}}]})
    assert sorted(_names(found)) == names


@pytest.mark.usefixtures("whole_mongodb")
def test_fullfacet(api: Api, three, proposal_id: str) -> None:
    def facets(proposal: str) -> dict:
        answer = api.get("/api/v3/datasets/fullfacet", fields={"proposalIds": [proposal]}, facets=["type"])
        return answer.json()[0]

    assert facets(proposal_id)["all"] == [{"totalSets": 4}]
    assert facets(proposal_id)["type"] == [{"_id": "raw", "count": 4}]
    assert facets("nothing")["all"] == []


def test_metadata_keys(api: Api, three, proposal_id: str) -> None:
    fields = {"proposalIds": [proposal_id]}
    keys = api.get("/api/v3/datasets/metadataKeys", fields=fields, limits={"skip": 0, "limit": 100})
    assert keys.status_code == 200
    assert "n" in keys.json()


def test_a_list_is_not_sorted_by_what_is_not_among_its_fields(api: Api, three, proposal_id: str) -> None:
    order = "scientificMetadata.n.value:desc"

    def names(*fields: str) -> list[str]:
        return _names(api.find({"proposalId": proposal_id}, fields=["datasetName", *fields], limits={"order": order}))

    assert names("scientificMetadata.n") == ["list 2", "list 1", "list 0", "other"]
    assert names() == ["other", "list 0", "list 1", "list 2"]


@pytest.mark.parametrize("name", ["list 1", "2025", "lysozyme-3", "scan 12", "2025-0001"])
def test_a_text_that_javascript_takes_for_a_date(api: Api, new_dataset, proposal_id: str, name: str) -> None:
    api.create(new_dataset(datasetName=name))
    own = {"proposalIds": {"inq": [proposal_id]}}
    assert api.find({**own, "datasetName": name}) == []
    assert _names(api.find({**own, "datasetName": {"inq": [name]}})) == [name]
    assert _names(api.find({"$and": [own, {"datasetName": {"$in": [name]}}]})) == [name]
    like = api.get("/api/v3/datasets", filter={"where": {**own, "datasetName": {"like": name}}})
    assert like.status_code == 400


def test_the_old_names_of_fields_count_at_the_top_only(api: Api, three, proposal_id: str) -> None:
    assert len(api.find({"proposalId": proposal_id})) == 4
    assert api.find({"and": [{"proposalId": proposal_id}]}) == []


def test_metadata_keys_with_a_key_to_look_for_is_500(api: Api) -> None:
    assert api.get("/api/v3/datasets/metadataKeys", fields={"metadataKey": "n"}).status_code == 500
