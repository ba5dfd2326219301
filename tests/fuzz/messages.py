"""What may come out of Kafka, as hypothesis makes it: bytes of all kinds, some of them valid messages."""

from __future__ import annotations

import json
import random
import re
from typing import Any

from hypothesis import strategies as st

from ingest.scicow.dead_letters.producer import ERROR_HEADER_PREFIX
from ingest.scicow.dead_letters.topic import SETTLED_HEADER
from ingest.scicow.kafka.resend import RESENT_HEADER
from tests.builders.messages import file, message, value
from tests.soak.plan import HOSTILE, proposals_of

UUIDS = tuple(f"{number:08x}-0000-4000-8000-000000000000" for number in range(50))
"""So few datasets that messages about the same one are frequent."""

BEAMLINE = "cosaxs"

_RAW = "\N{SNOWMAN}raw "
"""A text that begins so stands for the one of `RAW` with that number, unquoted: JSON that Python would not write."""

RAW = (
    "NaN",
    "-Infinity",
    "1e999",
    "-0",
    "9" * 400,
    "9" * 5000,
    "0." + "1" * 1000,
    "[" * 900 + "]" * 900,
    "[" * 100_000 + "]" * 100_000,
    '{"value":' * 150 + "1" + "}" * 150,
    '{"a":' * 40_000 + "1" + "}" * 40_000,
    '"\\ud800"',
    '"\\udc00\\ud800"',
    "tru",
    "'x'",
    "01",
)
_MARKED = re.compile(f'{re.escape(json.dumps(_RAW)[:-1])}([0-9]+)"')

TIMES = ("2026-11-22T10:00:00Z", "0000-00-00T00:00:00Z", "9999-12-31T23:59:60.999999999Z", "2026-02-30T25:61:61Z")

# By their number: hypothesis would show all of them whenever it names a strategy.
texts = st.one_of(
    st.integers(0, len(HOSTILE) - 1).map(HOSTILE.__getitem__), st.sampled_from(TIMES), st.text(max_size=30)
)
raws = st.integers(0, len(RAW) - 1).map(lambda number: f"{_RAW}{number}")
numbers = st.one_of(
    st.integers(-5, 5), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.just(2**63), st.just(1e308)
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts, raws, st.just(20_000).map("x".__mul__))
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=8
)

_more = st.dictionaries(st.sampled_from(("quality", "error", "end", "min", "urgent", "v", "samples")) | texts, anything)
values = st.builds(lambda given, unit, more: {**more, **value(given, unit)}, anything, texts, _more)
metadata = st.recursive(
    st.dictionaries(texts, values, max_size=3),
    lambda inner: st.dictionaries(texts, inner | values, max_size=3),
    max_leaves=5,
)
files = st.lists(st.builds(file, texts | st.just("/data/a.h5"), st.integers(0, 2**53)), max_size=4)
kinds = st.sampled_from(("began", "ended", "snapshot", "annotation"))


@st.composite
def _valid(draw: Any) -> dict[str, Any]:
    """A message of the schema, or nearly: its texts and values are whatever there is."""
    kind = draw(kinds)
    found = message(kind, draw(st.sampled_from(UUIDS)), beamline=BEAMLINE, proposalId=proposals_of(BEAMLINE)[0])
    if kind == "annotation":
        found["annotation"] = draw(
            st.fixed_dictionaries({"comment": texts}, optional={"rating": anything, "scientificMetadata": metadata})
        )
        return found
    found["scientificMetadata"] = draw(metadata)
    for name in draw(
        st.sets(st.sampled_from(("datasetName", "sampleId", "sourceFolder", "description", "dataFormat")))
    ):
        found[name] = draw(texts)
    if "files" in found:
        found["files"] = draw(files)
    return found


@st.composite
def _mutated(draw: Any) -> dict[str, Any]:
    """One with some places changed into anything, taken away, or added to."""
    found = draw(_valid())
    for _ in range(draw(st.integers(1, 3))):
        place = found
        while True:
            inner = [each for each in place.values() if isinstance(each, dict) and each]
            if not inner or draw(st.booleans()):
                break
            place = draw(st.sampled_from(inner))
        name = draw(st.sampled_from(sorted(place)) | texts)
        if draw(st.booleans()):
            place[name] = draw(anything)
        else:
            place.pop(name, None)
    return found


def _encoded(found: Any) -> bytes:
    return _MARKED.sub(lambda mark: RAW[int(mark[1])], json.dumps(found)).encode()


def _twice(data: bytes, name: str, inner: bytes) -> bytes:
    """With a key that exists already."""
    return data.replace(b"{", b"{" + json.dumps(name).encode() + b":" + inner + b",", 1)


def _damaged(data: bytes, seed: int) -> bytes:
    """With some bytes lost, changed or doubled."""
    chance, found = random.Random(seed), bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(found))
        found[at : at + chance.choice((0, 1, 1, 20))] = chance.choice(
            (b"", b'"', chance.randbytes(2), found[at : at + 9])
        )
        if not found:
            break
    return bytes(found)


valid = _valid().map(_encoded)
mutated = _mutated().map(_encoded)
payloads = st.one_of(
    valid,
    mutated,
    mutated,
    st.builds(_twice, valid, st.sampled_from(("uuid", "type", "seq", "scientificMetadata")), anything.map(_encoded)),
    st.builds(_damaged, valid, st.integers(0, 2**32)),
    st.binary(max_size=200),
    anything.map(_encoded),
)
"""The value of one message."""

headers = st.lists(
    st.tuples(
        st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=30)
        | st.sampled_from(
            (RESENT_HEADER, SETTLED_HEADER, f"{ERROR_HEADER_PREFIX}topic", f"{ERROR_HEADER_PREFIX}offset")
        ),
        st.none() | st.binary(max_size=100) | st.just(b"why of scifish-fuzz[0]@1"),
    ),
    max_size=4,
)
"""The headers of one message, SciCow's own among them; names that are not UTF-8: see integration.scicow.test_scicow."""
