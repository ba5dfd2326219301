"""What a token says of its own life."""

import math
import time

import jwt
import pytest

from ingest.scicat.token_life import seconds_left


def token(**claims):
    return jwt.encode({"username": "ada", **claims}, "x" * 32, "HS256")


def test_a_fresh_token_is_judged_by_the_servers_clock_alone():
    assert seconds_left(token(iat=1000, exp=4600), fresh=True) == 3600


def test_a_stored_token_is_judged_by_this_clock():
    assert seconds_left(token(iat=0, exp=time.time() + 100)) == pytest.approx(100, abs=60)
    assert seconds_left(token(iat=0, exp=time.time() - 100)) < 0


@pytest.mark.parametrize(
    "said", ["", "abc", "a.b.c", "a.bm8.c", "..", token(), token(exp=None), "é.é.é", "a.W10.c", "a.MQ.c"]
)
def test_what_does_not_say_it_lives_for_ever(said):
    assert seconds_left(said) == math.inf
