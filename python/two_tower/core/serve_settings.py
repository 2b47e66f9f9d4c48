"""The settings of ``two-tower serve``."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

# RFC 7518, 3.2: a key of HS256 is at least as long as its hash.
SECRET_BYTES = 32
KEY_CHARACTERS = 16


def _listed(value: Any) -> Any:
    """Return the parts of ``a, b``."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _listed_keys(value: Any) -> Any:
    """Return the parts of ``a, b``; one at least: without, the server is open."""
    found = _listed(value)
    if isinstance(value, str) and not found:
        raise ValueError("it is set and holds no key: openssl rand -hex 32 makes one")
    return found


def _long_keys(keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    if any(len(key.get_secret_value()) < KEY_CHARACTERS for key in keys):
        raise ValueError(f"a key has at least {KEY_CHARACTERS} characters: openssl rand -hex 32")
    return keys


def _long_secret(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None and len(secret.get_secret_value().encode()) < SECRET_BYTES:
        raise ValueError(f"it has at least {SECRET_BYTES} bytes: openssl rand -hex 32")
    return secret


def _origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    for origin in origins:
        if origin != "*" and not re.fullmatch(r"https?://[^/\s@?#;,]+", origin):
            raise ValueError(f"{origin!r} is no origin, such as https://www.example.com")
    return origins


def _hosts(origins: tuple[str, ...]) -> tuple[str, ...]:
    if "*" in origins:
        raise ValueError("name the origins: a page may not load pictures from anywhere")
    return _origins(origins)


class ServeSettings(BaseModel):
    """Who may ask over HTTP, and how much."""

    api_keys: Annotated[
        tuple[SecretStr, ...], NoDecode, BeforeValidator(_listed_keys), AfterValidator(_long_keys)
    ] = Field(default=(), description="serve: keys of your servers, with commas between them")
    jwt_secret: Annotated[SecretStr | None, AfterValidator(_long_secret)] = Field(
        default=None, description="serve: the secret that signs users' tokens (HS256)"
    )
    jwt_jwks: str | None = Field(
        default=None,
        description="serve: a file or https:// URL of the keys of users' tokens (RS256, ES256 …)",
    )
    jwt_audience: str | None = Field(
        default=None, description="serve: the `aud` that a token has to have; default: any"
    )
    serve_origins: Annotated[
        tuple[str, ...], NoDecode, BeforeValidator(_listed), AfterValidator(_origins)
    ] = Field(
        default=(), description="serve: origins whose pages may ask, with commas between them"
    )
    serve_images: Annotated[
        tuple[str, ...], NoDecode, BeforeValidator(_listed), AfterValidator(_hosts)
    ] = Field(
        default=(),
        description="serve: origins whose thumbnails the explorer loads, with commas between them",
    )
    serve_rate: int = Field(
        default=100,
        ge=0,
        description="serve: requests a second of one key, user or address; 0: no limit",
    )
    serve_timeout: float = Field(
        default=10,
        gt=0,
        le=3600,
        description="serve: seconds after which Postgres ends a statement",
    )
    serve_connections: int = Field(
        default=8, ge=1, description="serve: connections to Postgres at most"
    )

    @property
    def has_keys(self) -> bool:
        """Whether the caller has to show who they are."""
        return bool(self.api_keys or self.jwt_secret or self.jwt_jwks)
