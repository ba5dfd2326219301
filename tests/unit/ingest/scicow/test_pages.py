"""Each command that the pages about SciCow name is one, with these options; and each option has its line."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator

import pytest

from ingest.scicow import cli
from ingest.scicow.audit.findings import FINDING_KINDS
from scifish import cli as scifish_cli
from tests.paths import DOCS

PAGES = ["reference/scicow.md", "how-to/when-datasets-are-missing.md", "how-to/run-scicow.md"]
PLACEHOLDERS = {
    "ID...": "0:1",
    "ID": "0:1",
    "TIME": "1h",
    "TOPIC": "t",
    "UUID": "u",
    "TEXT": "x",
    "FILE": "f",
    "N": "1",
}
PARSERS = {"scicow": cli._parser, "scifish": scifish_cli._parser}


def text(page: str) -> str:
    return (DOCS / page).read_text("utf-8")


def commands(page: str) -> Iterator[list[str]]:
    """The words of each command, in blocks and in lines."""
    prose, blocks = text(page).split("```")[::2], text(page).split("```")[1::2]
    lines = [line for block in blocks if block.startswith("\n") for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", "".join(prose))
    for line in lines:
        said = re.match(r"(?:\$ |ssh \S+ |.*; )?((?:scicow|scifish) [a-z].*)", line)
        if said:
            yield shlex.split(said[1].split(" > ")[0])


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_page_is_one(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "message.json").write_text("{}")
    found = list(commands(page))
    assert found
    for program, *words in found:
        words = [PLACEHOLDERS.get(word, word) for word in words]
        try:
            args = PARSERS[program]().parse_args(words)
        except SystemExit:
            # A name alone, as `scicow replay`, lacks only what it needs.
            alone = not any(word.startswith("-") for word in words)
            assert alone and "required" in capsys.readouterr().err.splitlines()[-1], (program, words)  # noqa: PT018
        else:
            if message := getattr(args, "message", None):
                message.close()


def parser_of(*names: str) -> argparse.ArgumentParser:
    parser = cli._parser()
    for name in names:
        [choices] = [each.choices for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
        parser = choices[name]
    return parser


@pytest.mark.parametrize(
    ("section", "names"),
    [
        ("Dead letters", ("dead-letters", "list")),
        ("Dead letters", ("dead-letters", "drop")),
        ("Replay", ("replay",)),
        ("Audit", ("audit",)),
    ],
)
def test_every_option_is_on_the_page(section, names):
    found = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", text(PAGES[0]), re.MULTILINE | re.DOTALL)
    assert found
    options = {option for each in parser_of(*names)._actions for option in each.option_strings}
    for option in options - {"-h", "--help", "--config"}:
        assert option in found[1]


def test_every_kind_of_finding_is_on_the_page():
    for kind in FINDING_KINDS:
        assert f"| `{kind}` |" in text(PAGES[0])


@pytest.mark.parametrize("page", PAGES)
def test_every_link_within_the_pages_leads_somewhere(page):
    for target, anchor in re.findall(r"\]\(([^)#\s:]*)(?:#([^)]*))?\)", text(page)):
        path = ((DOCS / page).parent / target).resolve() if target else DOCS / page
        assert path.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}
            assert anchor in anchors, anchor
