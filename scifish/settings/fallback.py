"""Replaces configurations that a wrong edit has broken by the last good ones, and keeps the last good settings on disk.

Two things are wrong: a configuration in which no line can be read, and a name in ActiveConfig or AlwaysConfigs that
no configuration has (a typing error, or the configuration was deleted while it was in use). If a configuration was
never good, the configurations that were in use before stay in use. Recording continues, and the problem is reported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import tango

from scifish.settings.atomic_file import write_atomically
from scifish.settings.entries import parse_entries
from scifish.settings.model import DEFAULT_ALWAYS, Settings, settings_of
from scifish.settings.paths import last_good_file


def wrong(settings: Settings) -> bool:
    """Whether something that is recorded is wrong, so that last good configurations are needed."""
    there = {name.lower(): (name, lines) for name, lines in settings.configs.items()}
    lost = [name for name in (*_written(settings), *_active(settings)) if name.lower() not in there]
    used = [there[name.lower()] for name in (*settings.always_configs, *_active(settings)) if name.lower() in there]
    return bool(lost) or any(_unreadable(name, lines) for name, lines in used)


def with_last_good(settings: Settings, before: Settings | None) -> Settings:
    """`settings`, in which good configurations of `before` replace wrong ones; `replaced` lists the recorded ones.

    If `before` has no good configuration, `settings` is unchanged: `Settings.entries` says what is wrong in it.
    """
    if before is None or before.where != settings.where:
        return settings
    good = {name.lower(): lines for name, lines in before.configs.items() if not _unreadable(name, lines)}
    configs = {
        name: good.get(name.lower(), lines) if _unreadable(name, lines) else lines
        for name, lines in settings.configs.items()
    }
    active, of_active = _names("ActiveConfig", _active(settings), _active(before), configs, good)
    always: Sequence[str] = settings.always_configs
    of_always: list[str] = []
    if _written(settings):
        was = _written(before) or [name for name in DEFAULT_ALWAYS if name in good]
        always, of_always = _names("AlwaysConfigs", always, was, configs, good)
    used = {name.lower() for name in (*always, *active)}
    replaced = [*settings.replaced, *of_always, *of_active]
    for name, lines in settings.configs.items():
        if configs[name] != lines and name.lower() in used:
            replaced += parse_entries(lines, name)[1]
            replaced.append(f"{name}: no line of it can be read; the last good one is in use")
    return replace(
        settings,
        configs=configs,
        active_config="".join(active),
        always_configs=tuple(always),
        replaced=tuple(replaced),
    )


def in_use(settings: Settings, kept: Settings | None) -> Settings:
    """`settings` with the last good configurations of SciDog, which sees each edit, else with those `kept` here.

    SciDog is called only if something is wrong; Tango's time-out is 3 seconds.
    """
    if wrong(settings):
        settings = with_last_good(settings, ask_scidog(settings.scidog))
    return with_last_good(settings, kept)


def ask_scidog(device: str) -> Settings | None:
    """The settings in use according to SciDog; None if it does not answer or is of another version."""
    try:
        answer = tango.DeviceProxy(device).command_inout("InUse")
        return replace(settings_of(json.loads(answer)), scidog=device)
    except (tango.DevFailed, ValueError, TypeError, KeyError, AttributeError):
        return None  # recording goes on without them, and the problems are reported in any case


def _active(settings: Settings) -> Sequence[str]:
    return (settings.active_config,) if settings.active_config else ()


def _written(settings: Settings) -> Sequence[str]:
    """The names in AlwaysConfigs whose configurations must exist; none for its default, which need not exist."""
    return settings.always_configs if settings.always_configs != DEFAULT_ALWAYS else ()


def _names(
    which: str,
    names: Sequence[str],
    before: Sequence[str],
    configs: dict[str, tuple[str, ...]],
    good: Mapping[str, tuple[str, ...]],
) -> tuple[list[str], list[str]]:
    """The names to use, and the problems of those in the property `which`.

    A deleted configuration that was in use is put back into `configs`.
    """
    there = {name.lower(): name for name in configs}
    was = {name.lower() for name in before}

    def never_good(name: str) -> bool:
        stored = there[name.lower()]
        return name.lower() not in was and _unreadable(stored, configs[stored])

    lost = [name for name in names if name.lower() not in there or never_good(name)]
    deleted = {name.lower() for name in lost}.issubset(was)
    use = list(names if deleted else before)
    back = {name: good[name.lower()] for name in use if name.lower() not in there and name.lower() in good}
    if not lost or not {name.lower() for name in use} <= there.keys() | {name.lower() for name in back}:
        return list(names), []
    others = ", ".join(sorted(configs)) or "none"
    instead = (
        "its last good lines are in use: restore it, or name another"
        if deleted
        else f"the previous value ({', '.join(use) or 'none'}) is in use"
    )
    problems: list[str] = []
    for name in lost:
        stored = there.get(name.lower())
        if stored:
            problems += parse_entries(configs[stored], stored)[1]
        why = (
            f"no line of {stored} can be read" if stored else f"there is no configuration {name!r}; there are: {others}"
        )
        problems.append(f"{which}: {why}; {instead}")
    configs.update(back)
    return use, problems


def _unreadable(name: str, lines: Sequence[str]) -> bool:
    """Whether it has mistakes only. A configuration with comments only is right: nothing is to be recorded."""
    entries, mistakes = parse_entries(lines, name)
    return bool(mistakes) and not entries


def save_last_good(settings: Settings, file: Path | None = None) -> None:
    """Save the settings for the time when the Tango database does not answer. OSError if the disk refuses."""
    write_atomically(file or last_good_file(), json.dumps(asdict(settings), ensure_ascii=False, indent=1))


def load_last_good(file: Path | None = None) -> Settings | None:
    """The settings that were saved last; None if there are none that can be read."""
    try:
        return settings_of(json.loads((file or last_good_file()).read_text("utf-8")))
    except (OSError, ValueError, TypeError, KeyError):
        # Never written, incomplete, or of another version.
        return None
