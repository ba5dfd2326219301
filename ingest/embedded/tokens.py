"""Tokens: JSON Web Tokens (RFC 7519) signed with HMAC-SHA256, as SciCat's are.

Nothing but the secret is stored, so tokens survive a restart.
"""

from __future__ import annotations

import time

import jwt

ALGORITHM = "HS256"


class TokenSigner:
    """Makes and reads tokens. `secret` has at least 32 bytes, `life` is in seconds."""

    def __init__(self, secret: bytes, life: float) -> None:
        self._secret = secret
        self.life = life

    def issue(self, username: str) -> str:
        now = time.time()
        return jwt.encode({"username": username, "iat": now, "exp": now + self.life}, self._secret, ALGORITHM)

    def username(self, token: str) -> str | None:
        """Whose token it is, or None for one that is expired or not ours."""
        try:
            # PyJWT compares times in whole seconds.
            claims = jwt.decode(token, self._secret, [ALGORITHM], options={"verify_exp": False, "verify_iat": False})
        except jwt.InvalidTokenError:
            return None
        return str(claims["username"]) if claims["exp"] > time.time() else None
