"""Who asks: a service by an API key, a user by a token, a visitor by neither."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import jwt
from fastapi import Depends, Request

from two_tower.core.errors import InputError
from two_tower.core.loopback import is_loopback
from two_tower.core.settings import Settings
from two_tower.interfaces.http.errors import forbidden, unauthorized, unavailable
from two_tower.interfaces.http.functions import TIERS, Tier

# Asymmetric alone: with an HMAC among them, a public key would be taken for a secret.
PUBLIC_KEY_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA")
FindKey = Callable[[str], Awaitable[Any]]  # of a token
URLS = ("https://", "http://")
JWKS_SECONDS = 300
LEEWAY_SECONDS = 10  # two clocks
OTHER_AUDIENCE = "the token is for another audience: its aud is not TWO_TOWER_JWT_AUDIENCE"
WHY_MISSING = {
    "exp": "the token has no exp: it would be valid for ever",
    "sub": "the token has no sub, which is the user",
    "aud": OTHER_AUDIENCE,
}
UNKNOWN = "the token is signed with no key that this server knows"
SIGN_IN = "send Authorization: Bearer with the token of a user, or with an API key"


@dataclass(frozen=True)
class Caller:
    """Who sent a request.

    Attributes:
        tier: what they may call.
        name: of the one whose requests are counted together; no secret and in no log.
        claims: of a user's token; what ``request.jwt.claims`` is to be.
    """

    tier: Tier
    name: str = ""
    claims: Mapping[str, Any] = field(default_factory=dict)

    @property
    def user_id(self) -> str | None:
        """The signed-in user: the token's ``sub``."""
        return self.claims.get("sub")

    def may_call(self, tier: Tier) -> bool:
        """Return whether a tier is theirs, or below theirs."""
        return TIERS.index(tier) <= TIERS.index(self.tier)

    def require(self, tier: Tier) -> None:
        """Do nothing if they are of a tier.

        Raises:
            RefusalError: 401 for one who sent no key, else 403.
        """
        if self.may_call(tier):
            return
        if self.tier == "visitor":
            raise unauthorized(f"only a {tier} may ask this, and the request has no key", SIGN_IN)
        raise forbidden(
            f"only a {tier} may ask this", "ask with an API key, from a server of yours"
        )


class Access:
    """Tells callers apart by the header ``Authorization``.

    Raises:
        InputError: the JWKS file cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self.is_open = not settings.has_keys
        self._keys = [sha256(key.get_secret_value().encode()).digest() for key in settings.api_keys]
        self._find_keys: list[tuple[FindKey, tuple[str, ...]]] = []
        self._audience = settings.jwt_audience
        if settings.jwt_secret is not None:
            self._find_keys.append((_secret(settings.jwt_secret.get_secret_value()), ("HS256",)))
        if settings.jwt_jwks is not None:
            place = settings.jwt_jwks
            if not place.startswith(URLS):
                place = str(settings.path(Path(place)))
            self._find_keys.append((_jwks(place), PUBLIC_KEY_ALGORITHMS))

    async def caller(self, authorization: str | None, address: str) -> Caller:
        """Return who asks.

        Args:
            authorization: the header.
            address: of the client, by which visitors are counted.

        Raises:
            RefusalError: 401: the key or token is not valid.
        """
        if self.is_open:
            return Caller("service", address)
        if authorization is None:
            return Caller("visitor", address)
        scheme, _, sent = authorization.partition(" ")
        if scheme.lower() != "bearer" or not sent.strip():
            raise unauthorized("the header Authorization is not Bearer and a key", SIGN_IN)
        digest = sha256(sent.strip().encode()).digest()
        if any(hmac.compare_digest(digest, key) for key in self._keys):
            return Caller("service", digest.hex())
        claims = await self._claims(sent.strip())
        return Caller("user", f"user {claims['sub']}", claims)

    async def _claims(self, token: str) -> dict[str, Any]:
        if not self._find_keys:
            raise unauthorized("the key is not known", SIGN_IN)
        said = "the token's algorithm is not allowed"
        for find_key, algorithms in self._find_keys:
            try:
                if _algorithm(token) not in algorithms:
                    continue
                key = await find_key(token)
                return jwt.decode(
                    token,
                    key,
                    algorithms=algorithms,
                    audience=self._audience,
                    leeway=LEEWAY_SECONDS,
                    options={
                        "require": ["exp", "sub"],
                        "verify_aud": self._audience is not None,
                    },
                )
            except jwt.PyJWKClientConnectionError:
                raise unavailable(
                    "the keys of TWO_TOWER_JWT_JWKS cannot be had", "ask again"
                ) from None
            except (jwt.PyJWTError, ValueError) as error:
                said = _why(error)
        raise unauthorized(said, SIGN_IN)


class _NoTokenError(jwt.PyJWTError):
    """What was sent is no JWT."""


def _algorithm(token: str) -> Any:
    try:
        return jwt.get_unverified_header(token).get("alg")
    except (jwt.PyJWTError, ValueError):
        raise _NoTokenError from None


def _why(error: Exception) -> str:
    """Return why a token is refused: never the error's own text, which may quote the token.

    Whether a key or a signature is wrong is not told apart. What a token claims is checked after
    its signature, so that only who has a signed one reads of it.
    """
    if isinstance(error, jwt.MissingRequiredClaimError):
        return WHY_MISSING.get(error.claim, "the token is not valid")
    for kind, said in WHY.items():
        if isinstance(error, kind):
            return said
    return "the token is not valid"


def _secret(secret: str) -> FindKey:
    async def find(token: str) -> Any:
        return secret

    return find


class _KeySet(jwt.PyJWKClient):
    """Keys behind a URL. What answers without any is as little a forgery as what is away."""

    def fetch_data(self) -> Any:
        """Return the key set.

        Raises:
            PyJWKClientConnectionError: there is none.
        """
        try:
            return super().fetch_data()
        except (OSError, ValueError, jwt.PyJWTError) as error:
            raise jwt.PyJWKClientConnectionError("no key set") from error


def _jwks(place: str) -> FindKey:
    """Return what finds the key of a token in a file or behind a URL."""
    if place.startswith(URLS):
        if not place.startswith("https://") and not is_loopback(place):
            raise InputError(
                f"TWO_TOWER_JWT_JWKS: {place} is not https", "keys that anybody may change are none"
            )
        client = _KeySet(place, lifespan=JWKS_SECONDS, timeout=5)

        async def fetch(token: str) -> Any:
            return await asyncio.to_thread(client.get_signing_key_from_jwt, token)

        return fetch
    try:
        known = jwt.PyJWKSet.from_dict(json.loads(Path(place).read_text(encoding="utf-8")))
    except (OSError, ValueError, AttributeError, jwt.PyJWTError) as error:
        raise InputError(
            f"TWO_TOWER_JWT_JWKS: {place}: {error}", 'it is a file with {"keys": […]}, or a URL'
        ) from None

    async def find(token: str) -> Any:
        wanted = jwt.get_unverified_header(token).get("kid")
        for key in known.keys:
            if key.key_id == wanted:
                return key
        raise jwt.InvalidKeyError

    return find


WHY: dict[type[Exception], str] = {
    _NoTokenError: "neither an API key that is known nor a JWT",
    jwt.ExpiredSignatureError: "the token has expired",
    jwt.ImmatureSignatureError: "the token is not valid yet",
    jwt.exceptions.InvalidSubjectError: "the token's sub is not a text",
    jwt.InvalidAudienceError: OTHER_AUDIENCE,
    jwt.InvalidAlgorithmError: "the token's algorithm is not allowed",
    jwt.InvalidSignatureError: UNKNOWN,
    jwt.InvalidKeyError: UNKNOWN,
    jwt.PyJWKClientError: UNKNOWN,
}


async def who_asks(request: Request) -> Caller:
    """Return who sent the request, as the guard has found."""
    caller: Caller = request.state.caller
    return caller


WhoAsks = Annotated[Caller, Depends(who_asks)]
