"""What is known of the real SciCat, line by line, and that the ingestor lives with it."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import pytest

from ingest.embedded import dataset_forms, models
from ingest.scicat import MAX_BODY, DocumentConflict, NotAllowed, SciCatError, TooLarge, just_after
from ingest.scicat.errors import Answer
from ingest.scicow.catalogue.ingestor import Ingestor
from ingest.scicow.mapping import Mapping
from ingest.scicow.mapping.ownership import by_settings
from ingest.scicow.settings import load
from tests.builders.messages import file, message, value
from tests.paths import DOCS
from tests.servers.fake_scicat import PNG, FakeServer, once

SETTINGS = load(DOCS / "scicow.example.yaml", secrets=False)
FORMS = {"v3": models.CreateRawV3, "v4": models.CreateDatasetV4}


@pytest.fixture(params=["v4", "v3"])
def server(request):
    return FakeServer(v4=request.param == "v4")


@pytest.fixture
def client(server):
    return server.client()


def ingestor(server, **changes):
    settings = replace(SETTINGS, **changes)
    return Ingestor(server.client(), settings, partial(by_settings, settings=settings))


def pid(given):
    return f"scizoo/{given['uuid']}"


def new(kind="ended", version="v3", **changes):
    given = message(kind, **changes)
    return Mapping(SETTINGS).dataset(given, by_settings(given, SETTINGS), version)


def begun(server, **changes):
    """A dataset that has begun, and its end."""
    given = message("began", **changes)
    ingestor(server).ingest(given)
    return given, message("ended", given["uuid"], **changes)


# --------------------------------------------------------------------------- datasets


@pytest.mark.parametrize("version", ["v3", "v4"])
@pytest.mark.parametrize("kind", ["began", "ended", "snapshot"])
def test_the_required_fields_and_no_unknown_ones_in_the_form_of_each_version(version, kind):
    FORMS[version].model_validate(new(kind, version))
    FORMS[version].model_validate(new(kind, version, sampleId="", description="", environment={}, dataFormat=""))


def test_singular_texts_in_v3_and_lists_in_v4():
    assert {name: new()[name] for name in ("proposalId", "sampleId", "principalInvestigator")} == {
        "proposalId": "20250001",
        "sampleId": "S-1",
        "principalInvestigator": "Data manager",
    }
    found = new(version="v4")
    assert (found["proposalIds"], found["sampleIds"]) == (["20250001"], ["S-1"])
    assert found["principalInvestigators"] == ["Data manager"]
    assert not {"proposalId", "sampleId", "principalInvestigator"} & set(found)


def test_times_have_a_z_run_number_is_text_and_the_folder_has_no_slash_at_its_end():
    found = new(sourceFolder="/data/x/")
    assert found["creationTime"].endswith("Z")
    assert found["endTime"].endswith("Z")
    assert (found["runNumber"], found["sourceFolder"]) == ("42", "/data/x")


def test_the_pid_is_made_from_the_uuid_and_409_means_that_it_is_there(server, client):
    given, _ = begun(server)
    assert list(server.sets) == [pid(given)]
    with pytest.raises(DocumentConflict):
        client.create_dataset(new("began", uuid=given["uuid"]))
    ingestor(server).ingest(given)
    assert len(server.sets) == 1


def test_in_urls_a_slash_of_the_pid_is_escaped(server, client, monkeypatch):
    asked = []
    send = server.send
    monkeypatch.setattr(server, "send", lambda method, path, *rest: asked.append(path) or send(method, path, *rest))
    client.dataset("scizoo/a b")
    assert "/api/v3/datasets/scizoo%2Fa%20b" in asked


def test_an_account_that_may_create_but_not_read_back_is_reported(server):
    _, ended = begun(server)
    server.fault = lambda _, __, ___, kind: "403" if kind == "dataset" else ""
    with pytest.raises(NotAllowed):
        ingestor(server).ingest(ended)


@pytest.mark.parametrize("v4", [True, False])
def test_metadata_are_merged_with_exactly_that_content_type_or_replaced_by_all_of_them(v4):
    server = FakeServer(v4=v4)
    given, ended = begun(server, scientificMetadata={"a": value(1, "mm")})
    server.headers.clear()
    ingestor(server).ingest(ended | {"scientificMetadata": {"b": value(2, "mm")}})
    types = {each.get("Content-Type") for each in server.headers if "If-Unmodified-Since" in each}
    assert types == {"application/merge-patch+json" if v4 else "application/json"}
    found = server.shown(pid(given))["scientificMetadata"]
    assert (found["a"]["valueSI"], found["b"]["valueSI"]) == (0.001, 0.002)
    assert found["scan"]["status"]["value"] == "completed"


def test_value_and_unit_are_both_sent_and_null_deletes(server):
    given, ended = begun(server, scientificMetadata={"a": value(None, "mm", error="no answer")})
    ingestor(server).ingest(ended | {"scientificMetadata": {"a": value(None, "mm", quality="bad")}})
    found = server.shown(pid(given))["scientificMetadata"]["a"]
    assert (found["value"], found["unit"], found["quality"]) == ("", "mm", "bad")
    assert "error" not in found


def test_if_unmodified_since_keeps_what_somebody_else_has_written_in_between(server):
    given, ended = begun(server, description="")
    done = []

    def somebody(at_server, method, kind):
        if (method, kind) == ("GET", "dataset") and not done:
            done.append(True)
            at_server.sets[pid(given)] |= {"description": "theirs", "updatedAt": at_server.now()}

    server.after = somebody
    ingestor(server).ingest(ended | {"description": "ours"})
    found = server.shown(pid(given))
    assert found["description"] == "theirs"
    assert found["scientificMetadata"]["scan"]["status"]["value"] == "completed"


def test_a_server_that_refuses_the_condition_each_time_gets_a_change_without_it(server):
    given, ended = begun(server)
    server.fault = lambda at_server, *_: "412" if "If-Unmodified-Since" in at_server.headers[-1] else ""
    ingestor(server).ingest(ended)
    assert server.shown(pid(given))["scientificMetadata"]["scan"]["status"]["value"] == "completed"


def test_the_condition_is_a_millisecond_after_the_last_change():
    assert just_after({"updatedAt": "2026-11-22T11:00:00.999+01:00"}) == "2026-11-22T10:00:01.000Z"
    assert just_after({}) == ""


def test_never_put(server, client):
    _, ended = begun(server)
    ingestor(server).ingest(ended)
    ingestor(server).ingest(message("annotation", ended["uuid"]))
    assert {method for method, _ in server.calls} <= {"GET", "POST", "PATCH"}


def test_v4_is_asked_for_and_used_where_it_is(server, client):
    assert client.has_v4() is server.v4
    begun(server)
    assert server.sets.popitem()[1]["version"] == ("v4" if server.v4 else "v3")


def test_an_account_that_is_refused_says_nothing_of_v4(server, client):
    server.fault = lambda at_server, _, method, kind: "401" if kind == "login" else ""
    assert client.has_v4() is server.v4


@pytest.mark.parametrize("api", ["v3", "v4"])
def test_the_settings_may_name_the_version(api):
    server = FakeServer()
    ingestor(server, scicat=replace(SETTINGS.scicat, api=api)).ingest(message())
    assert server.sets.popitem()[1]["version"] == api
    assert ("GET", "datasets") not in server.calls


@pytest.mark.parametrize("what", ["page", "halfjson"])
def test_a_server_that_is_away_has_neither_lost_its_v4_nor_got_one(server, client, what):
    server.fault = once("count", what)
    with pytest.raises(SciCatError) as raised:
        client.has_v4()
    assert raised.value.temporary


# --------------------------------------------------------------------------- metadata


def test_a_top_level_null_of_another_program_does_not_stay(server):
    given, ended = begun(server, scientificMetadata={"a": value(None)})
    server.sets[pid(given)]["scientificMetadata"]["broken"] = None  # by another program, before a server was mended
    ingestor(server).ingest(ended | {"scientificMetadata": {"a": value(None), "b": value(None)}})
    assert not server.crashed
    metadata = server.shown(pid(given))["scientificMetadata"]
    assert metadata["scan"]["status"]["value"] == "completed"
    assert "broken" not in metadata


def test_the_u_v_trap(server):
    leaf = value(5, "mm", value_label="open", user="me", Vacuum=1)
    given, _ = begun(server, scientificMetadata={"a": leaf, "g": {"user": value("ab"), "version": value(3, "mm")}})
    found = server.shown(pid(given))["scientificMetadata"]
    assert found["a"]["valueSI"] == 0.005
    assert "valueSI" not in found["g"]
    assert found["g"]["version"]["valueSI"] == 0.003


def test_extra_keys_of_a_leaf_are_kept(server):
    leaf = value(1, "mm", source="a/b/c/d", end=2, mean=1.5, samples=3)
    given, _ = begun(server, scientificMetadata={"a": leaf})
    found = server.shown(pid(given))["scientificMetadata"]["a"]
    assert {name: found[name] for name in leaf} == leaf


def test_an_si_value_that_overflows_is_not_a_difference(server):
    metadata = {"a": value(1e308, "km"), "b": value(2**60 + 1), "c": value(0.1 + 0.2)}
    _, ended = begun(server, scientificMetadata=metadata)
    ingestor(server).ingest(ended)
    assert [method for method, kind in server.calls if kind == "dataset"] == ["GET", "PATCH", "GET"]


def test_units_that_mathjs_reads(server):
    given, _ = begun(server, scientificMetadata={"a": value(1, "µm"), "b": value(1, "steps"), "c": value(1, "C")})
    found = server.shown(pid(given))["scientificMetadata"]
    assert (found["a"]["unitSI"], found["a"]["original_unit"]) == ("m", "µm")
    assert found["b"]["unit"] == "steps"


def test_a_key_that_scicat_encodes_is_found_again_and_not_doubled(server):
    metadata = {"Beam line": {"a.b": value(1, "mm"), "50%": value(1), "language": value(1)}}
    given, ended = begun(server, scientificMetadata=metadata)
    changed = {"Beam line": {"a.b": value(2, "mm"), "50%": value(2), "language": value(2)}}
    ingestor(server).ingest(ended | {"scientificMetadata": changed})
    found = server.shown(pid(given))["scientificMetadata"]
    assert {name: leaf["value"] for name, leaf in found["Beam line"].items()} == {"a.b": 2, "50%": 2, "_language": 2}
    assert set(found) == {"scan", "Beam line"}


def test_a_merge_that_loses_the_rest_of_a_group_is_repaired():
    """As a server would that merges decoded keys into encoded ones."""
    server = FakeServer()
    given, ended = begun(server, scientificMetadata={"Beam line": {"a.b": value(1, "mm"), "kept": value(7)}})

    def loses(at_server, method, kind):
        if at_server.headers[-1].get("Content-Type") == "application/merge-patch+json":
            del at_server.sets[pid(given)]["scientificMetadata"]["Beam%20line"]["kept"]

    server.after = loses
    ingestor(server).ingest(ended | {"scientificMetadata": {"Beam line": {"a.b": value(2, "mm")}}})
    found = server.shown(pid(given))["scientificMetadata"]["Beam line"]
    assert (found["a.b"]["valueSI"], found["kept"]["value"]) == (0.002, 7)


def test_arrays_of_two_are_not_a_range_in_what_is_known_of_the_scan():
    found = new(environment={"motors": ["a", "b"]}, warnings=["x", "y"])["scientificMetadata"]["scan"]
    assert (found["motors"]["value"], found["warnings"]["value"]) == ("a, b", "x; y")


# ---------------------------------------------------------------- files, attachments


def test_a_datablock_is_not_repeatable_so_there_is_a_look_before_and_after(server):
    given = message("ended")
    for _ in range(2):
        ingestor(server).ingest(given)
    assert len(server.blocks) == 1
    (block,) = server.blocks
    assert isinstance(block["size"], int)
    models.CreateOrigDatablock.model_validate({n: v for n, v in block.items() if n not in ("_id", "createdAt")})


@pytest.mark.parametrize("answer", ["500 after", "lost after"])
def test_a_backend_killed_between_a_datablock_and_its_count_is_counted_again(server, answer):
    _, ended = begun(server, files=[file("/a", 3), file("/b", 4)])
    fault = once("origdatablocks", answer, "POST")
    server.fault = fault

    def not_counted(server, method, kind):
        if (method, kind) == ("POST", "origdatablocks"):
            server.sets[pid(ended)] |= {"size": 0, "numberOfFiles": 0}

    server.after = not_counted
    ingestor(server).ingest(ended)
    found = server.shown(pid(ended))
    assert (found["size"], found["numberOfFiles"], len(server.blocks)) == (7, 2, 1)


def test_a_repeat_counts_what_an_earlier_attempt_has_left_uncounted(server):
    _, ended = begun(server, files=[file("/a", 3), file("/b", 4)])
    ingestor(server).ingest(ended)
    server.sets[pid(ended)] |= {"size": 0, "numberOfFiles": 0}
    ingestor(server).ingest(ended)
    found = server.shown(pid(ended))
    assert (found["size"], found["numberOfFiles"], len(server.blocks)) == (7, 2, 1)


@pytest.mark.parametrize("may_delete", [True, False])
def test_a_deleted_dataset_that_is_sent_again_has_the_files_that_it_left_once(server, may_delete):
    """Its blocks are still in SciCat, and not counted. Not every account may delete a block that is there twice."""
    given, ended = begun(server, files=[file("/a", 3), file("/b", 4)])
    ingestor(server).ingest(ended)
    del server.sets[pid(ended)]
    server.may_delete = may_delete
    for each in (given, ended):
        ingestor(server).ingest(each, resent=True)
    found = server.shown(pid(ended))
    assert (found["size"], found["numberOfFiles"], len(server.blocks)) == (7, 2, 1)


def test_a_dataset_made_again_that_v3_never_shows_again_is_read_from_the_list(server):
    """So does a server with TRACKABLES: the one dataset is a 500, for good."""
    given, ended = begun(server)
    for _ in range(2):  # another dataset must not be taken for it
        begun(server)
    server.fault = lambda server, number, method, kind: "500" if (method, kind) == ("GET", "dataset") else ""
    ingestor(server, scicat=replace(SETTINGS.scicat, api="v3")).ingest(ended)
    assert server.client().dataset(pid(given))["scientificMetadata"]["scan"]["status"]["value"] == "completed"
    with pytest.raises(SciCatError, match="500"):
        server.client().dataset("scizoo/unknown")


def test_no_files_no_datablock(server):
    ingestor(server).ingest(message("snapshot", files=[]))
    assert not server.blocks


def test_an_attachment_has_the_group_the_caption_and_the_full_uri(server):
    given, _ = begun(server)
    said = {"image": {"caption": "plot", "uri": PNG}}
    ingestor(server).ingest(message("annotation", given["uuid"], annotation=said))
    (found,) = server.pictures
    said = {"datasetId": pid(given), "ownerGroup": "20250001-group", "caption": "plot", "thumbnail": PNG}
    assert found | said == found


def test_a_sample_that_is_there_is_500_and_a_proposal_409(client):
    sample = {"sampleId": "s", "description": "s", "ownerGroup": "g"}
    proposal = {"proposalId": "p", "email": "a@example.org", "title": "t", "ownerGroup": "g"}
    instrument = {"uniqueName": "i", "name": "i"}
    for create, document in (
        (client.create_sample, sample),
        (client.create_proposal, proposal),
        (client.create_instrument, instrument),
    ):
        assert [create(document), create(document)] == [True, False]
    assert client.sample("s") == sample
    assert client.sample("none") is None


def test_a_sample_that_is_not_there_after_a_500_is_an_error(server, client):
    server.fault = lambda _, __, method, kind: "500" if (method, kind) == ("POST", "samples") else ""
    with pytest.raises(SciCatError):
        client.create_sample({"sampleId": "s", "ownerGroup": "g"})


def test_a_rating_is_a_number(server):
    given, _ = begun(server)
    ingestor(server).ingest(message("annotation", given["uuid"], annotation={"rating": 2.5}))
    assert server.shown(pid(given))["dataQualityMetrics"] == 2.5


def test_a_body_over_16_mb_is_not_sent(server, client):
    with pytest.raises(TooLarge, match="not sent") as raised:
        client.create_dataset({"pid": "x", "description": "y" * MAX_BODY})
    assert not raised.value.temporary
    assert server.writes() == []


# ------------------------------------------------------------------------- concurrency


def somebody_comments(server, given, comment):
    """Their PATCH read the dataset before ours was written, and is written after it."""
    before = dataset_forms.merged(server.sets[pid(given)], {})
    done = []

    def after(at_server, method, kind):
        if (method, kind) == ("PATCH", "dataset") and not done:
            done.append(True)
            found = at_server.sets[pid(given)]
            theirs = {"scientificMetadata": before["scientificMetadata"], "updatedAt": at_server.now()}
            at_server.sets[pid(given)] = found | theirs | {"comment": comment}

    server.after = after


def test_a_comment_at_the_same_moment_undoes_no_metadata(server):
    given, ended = begun(server)
    somebody_comments(server, given, "theirs")
    ingestor(server).ingest(ended)
    found = server.shown(pid(given))
    assert found["scientificMetadata"]["scan"]["status"]["value"] == "completed"
    assert found["comment"] == "theirs"


def test_an_annotation_at_the_same_moment_leaves_a_persons_comment(server):
    given, _ = begun(server)
    somebody_comments(server, given, "theirs")
    ours = message("annotation", given["uuid"], seq=2, annotation={"comment": "ours", "rating": 2})
    ingestor(server).ingest(ours)
    found = server.shown(pid(given))
    assert (found["comment"], found["dataQualityMetrics"]) == ("theirs", 2)
    assert found["scientificMetadata"]["scan"]["annotations"]["value"] == "run-1:2"


def test_a_change_of_metadata_at_the_same_moment_undoes_no_comment(server):
    """A merge of v4 writes the whole dataset from an earlier read."""
    given, _ = begun(server)
    before = dataset_forms.merged(server.sets[pid(given)], {})
    done = []

    def after(at_server, method, kind):
        if (method, kind) == ("PATCH", "dataset") and not done:
            done.append(True)
            at_server.sets[pid(given)] = before | {"description": "theirs", "updatedAt": at_server.now()}

    server.after = after
    ingestor(server).ingest(message("annotation", given["uuid"], annotation={"comment": "ours"}))
    found = server.shown(pid(given))
    assert (found["comment"], found["description"]) == ("ours", "theirs")


def test_who_undoes_it_each_time_is_waited_out(server):
    given, ended = begun(server)
    before = server.sets[pid(given)]
    server.after = lambda at_server, method, kind: (
        at_server.sets.update({pid(given): before | {"updatedAt": at_server.now()}}) if method == "PATCH" else None
    )
    with pytest.raises(SciCatError, match="do not persist") as raised:
        ingestor(server).ingest(ended)
    assert raised.value.temporary


def test_a_500_after_the_write_happened_is_looked_at_first(server):
    _, ended = begun(server)
    for kind in ("dataset", "origdatablocks"):
        server.fault = once(kind, "500 after", "PATCH" if kind == "dataset" else "POST")
        ingestor(server).ingest(ended)
    assert server.writes() == ["datasets", "dataset", "origdatablocks"]


def test_a_500_before_the_write_is_an_error(server):
    _, ended = begun(server)
    server.fault = lambda _, __, method, ___: "500" if method == "PATCH" else ""
    with pytest.raises(SciCatError) as raised:
        ingestor(server).ingest(ended)
    assert raised.value.status == 500


# ------------------------------------------------------------------------------ tokens


def test_a_wrong_password_is_not_allowed(server):
    client = server.client()
    client._password = "wrong-pw"
    with pytest.raises(NotAllowed, match="refuses the user 'ingestor'") as raised:
        client.datasets()
    assert "wrong-pw" not in str(raised.value)


def test_a_write_with_an_expired_token_is_403_and_made_again(server, client):
    client.login()
    server.tokens.clear()
    client.create_dataset(new("began"))
    assert len(server.sets) == 1


def test_a_read_with_an_expired_token_is_200_and_empty_and_not_believed(server, client):
    given, _ = begun(server)
    ingestor(server).ingest(message("snapshot", given["uuid"]))
    client.login()
    for read in (client.dataset, client.files, client.blocks):
        server.tokens.clear()
        assert read(pid(given))
    server.tokens.clear()
    client.create_sample({"sampleId": "s", "ownerGroup": "g"})
    server.tokens.clear()
    assert client.sample("s") is not None


@pytest.mark.parametrize("kind", ["dataset", "origdatablocks"])
def test_a_token_that_expires_at_any_moment_doubles_nothing(server, kind):
    given = message("ended")
    one = ingestor(server)
    one.ingest(given)
    server.fault = once(kind, "expire")
    one.ingest(given)
    assert (len(server.sets), len(server.blocks)) == (1, 1)


def test_an_error_shows_what_is_of_use_and_no_secret(server, client):
    client.login()

    token = next(iter(server.tokens))
    said = {"statusCode": 400, "message": [f"token {token} with s3cret", "size\nmust be an integer"]}
    server.send = lambda *_: Answer(400, json.dumps(said).encode())
    with pytest.raises(SciCatError) as raised:
        client.call("GET", "/api/v3/datasets")
    assert "size must be an integer" in str(raised.value)
    assert "s3cret" not in str(raised.value)
    assert token not in str(raised.value)
