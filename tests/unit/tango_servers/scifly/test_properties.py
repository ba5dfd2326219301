"""The properties of a SciFly, and the reports of their mistakes."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tango_servers.scifly.properties import DEFAULT_CATCH_UP_SECONDS, PathFixerReply, SciFlyProperties, settings_from

TOLD = PathFixerReply("20250001", "20261123", "fibre_A", "visitors", "/data/raw", "/data/raw/fibre_A")


def of(**lines: Any) -> SciFlyProperties:
    names = ("profiles", "path_fixer", "scidog", "folder", "method", "catch_up", "time_zone")
    return settings_from(**{name: lines.get(name, ()) for name in names})


def test_empty_properties_are_the_defaults() -> None:
    found = of(profiles=["", " "], method=[""], folder=[" "])
    assert [profile.name for profile in found.profiles] == ["ses", "prodigy"]
    assert (found.method, found.catch_up, found.path_fixer, found.folder) == ("auto", DEFAULT_CATCH_UP_SECONDS, "", "")
    assert (found.wrong, found.problems) == ((), ())
    assert found.zone is not None


def test_each_property_is_read() -> None:
    found = of(
        profiles=["prodigy", "{name: frames, pattern: 'eiger/*.h5', group: folder}"],
        path_fixer=["b311a/ctl/sdm-01"],
        scidog=["b311a/ctl/scidog-01"],
        method=["Polling"],
        catch_up=["0"],
        time_zone=["Europe/Stockholm"],
    )
    assert [profile.name for profile in found.profiles] == ["prodigy", "frames"]
    assert (found.method, found.catch_up) == ("polling", 0.0)
    assert (found.path_fixer, found.scidog) == ("b311a/ctl/sdm-01", "b311a/ctl/scidog-01")
    summer = dt.datetime(2026, 7, 1, tzinfo=found.zone)
    assert summer.utcoffset() == dt.timedelta(hours=2)
    assert (found.wrong, found.problems) == ((), ())


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ({"method": ["fast"]}, "property Method: 'fast' is not one of auto, inotify, polling; auto is in use"),
        ({"catch_up": ["a day"]}, "property CatchUp: 'a day' is not a number of seconds"),
        ({"catch_up": ["-1"]}, "property CatchUp: '-1' is not a number of seconds"),
        ({"catch_up": ["nan"]}, "property CatchUp: 'nan' is not a number of seconds"),
        ({"time_zone": ["Lund"]}, "property TimeZone: 'Lund' is not a time zone such as Europe/Stockholm"),
        ({"time_zone": ["Europe"]}, "property TimeZone: 'Europe' is not a time zone"),
        ({"time_zone": ["../../etc/passwd"]}, "property TimeZone: '../../etc/passwd' is not a time zone"),
        ({"profiles": ["ses", "{name: x}"]}, "Profiles, line 2: x: pattern is missing"),
    ],
)
def test_a_mistake_with_a_fallback_is_reported(lines: dict[str, list[str]], reason: str) -> None:
    found = of(**lines)
    assert (found.wrong, len(found.problems)) == ((), 1)
    assert found.problems[0].startswith(reason)
    assert found.profiles


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ({"path_fixer": ["sdm-01"]}, "property PathFixer: 'sdm-01' is not the name of a device, such as b311a"),
        ({"scidog": ["a/b/c", "d/e/f"]}, "property SciDog: it has 2 lines, but must have one: 'a/b/c', 'd/e/f'"),
        ({"folder": ["data/ses"]}, "property Folder: 'data/ses' is not the full path of a folder"),
        ({"folder": ["{pth}/ses"]}, "property Folder: '{pth}/ses' has {pth}, which is not known; allowed are"),
        ({"folder": ["{proposal}/ses"]}, "property Folder: '{proposal}/ses' is not the full path of a folder"),
        ({"folder": ["{path"]}, "property Folder: '{path' cannot be read"),
        ({"folder": ["{path!r}"]}, "property Folder: '{path!r}' has {path}"),
        ({"folder": ["{path.__class__}"]}, "property Folder: '{path.__class__}' has {path.__class__}"),
        ({"folder": ["{path}/../x"]}, "property Folder: '{path}/../x' has a '..'"),
        ({"profiles": ["# none"]}, "property Profiles: no line can be used, so no file is recorded"),
    ],
)
def test_a_mistake_that_prevents_the_work_is_reported(lines: dict[str, list[str]], reason: str) -> None:
    found = of(**lines)
    assert len(found.wrong) == 1
    assert found.wrong[0].startswith(reason)


@pytest.mark.parametrize(
    ("folder", "root"),
    [
        ("", "/data/raw"),
        ("{path}/ses", "/data/raw/ses"),
        ("{sample_path}", "/data/raw/fibre_A"),
        ("/mnt/ses/{proposal}/{visit}/", "/mnt/ses/20250001/20261123"),
        ("/mnt/ses", "/mnt/ses"),
    ],
)
def test_the_folder_that_is_watched(folder: str, root: str) -> None:
    found = of(folder=[folder])
    assert found.wrong == ()
    assert found.root(TOLD) == root
    assert found.alone == (folder == "/mnt/ses")


def test_without_a_path_or_a_proposal_there_is_no_folder() -> None:
    nothing = PathFixerReply()
    assert [of(folder=[one]).root(nothing) for one in ("", "{path}/ses", "/mnt/{proposal}")] == ["", "", ""]
    assert of(folder=["/mnt/ses"]).root(nothing) == "/mnt/ses"
    assert of(folder=["/mnt/{proposal}/{sample}"]).root(PathFixerReply(proposal="1")) == "/mnt/1"
