"""How long a token is valid by what it says itself: SciCat's are JSON Web Tokens (RFC 7519), which anybody can read."""

from __future__ import annotations

import base64
import json
import math
import time


def seconds_left(token: str, fresh: bool = False) -> float:
    """Negative if it has expired; infinite if it does not say.

    Of a `fresh` one, which the server has just made, by the server's clock alone.
    """
    try:
        body = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        left = float(claims["exp"]) - (float(claims["iat"]) if fresh else time.time())
    except (ValueError, LookupError, TypeError):
        return math.inf
    return left if math.isfinite(left) else math.inf
