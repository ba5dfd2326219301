"""Tokens: JSON Web Tokens (RFC 7519) signed with HMAC-SHA256, as SciCat's are.

Nothing is stored for them but the secret, so they outlive a restart.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time


class Tokens:
    """Makes and reads tokens. `secret` is any bytes, `life` is in seconds."""

    def __init__(self, secret: bytes, life: float) -> None:
        self._secret = secret
        self.life = life
        self._void_before = 0.0

    def void(self) -> None:
        """Every token that was given out so far counts as expired, until the next start."""
        self._void_before = time.time()

    def issue(self, username: str) -> str:
        now = time.time()
        header = _encode(b'{"alg":"HS256","typ":"JWT"}')
        claims = {"username": username, "iat": now, "exp": now + self.life}
        signed = f"{header}.{_encode(json.dumps(claims).encode())}"
        return f"{signed}.{self._signature(signed)}"

    def username(self, token: str) -> str | None:
        """Whose token it is, or None for one that is expired or not ours."""
        signed, _, signature = token.rpartition(".")
        # The signature is checked first, so what follows was written by `issue`.
        if not hmac.compare_digest(self._signature(signed).encode(), signature.encode("utf-8", "replace")):
            return None
        try:
            claims = json.loads(base64.urlsafe_b64decode(signed.partition(".")[2] + "=="))
        except (ValueError, binascii.Error):
            return None
        alive = claims["exp"] > time.time() and claims["iat"] > self._void_before
        return str(claims["username"]) if alive else None

    def _signature(self, signed: str) -> str:
        return _encode(hmac.digest(self._secret, signed.encode("utf-8", "replace"), hashlib.sha256))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
