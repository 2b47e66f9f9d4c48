"""What every request passes first: its host, its size, who sends it, and how often."""

from __future__ import annotations

from urllib.parse import urlsplit

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from two_tower.core.loopback import HOSTS
from two_tower.core.settings import Settings
from two_tower.interfaces.http.access import Access
from two_tower.interfaces.http.errors import RefusalError

BODY_BYTES = 1 << 20  # 10,000 ids of 100 characters
PAGE = "/"
PROBES = ("/healthz", "/readyz")  # a load balancer asks often, and has no key


class Guard:
    """Refuses what an app should not see; ``request.state.caller`` is who asks.

    Without keys whoever reaches the server is a service, so that it answers programs of this
    machine alone: a page of another origin is refused, and a name that was rebound to this machine.
    """

    def __init__(self, app: ASGIApp, settings: Settings, access: Access) -> None:
        self._app = app
        self._access = access
        self._origins = settings.serve_origins
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        # On this machine, without keys, everybody is the same one.
        rate = 0 if self._access.is_open else settings.serve_rate
        self._rate = RateLimitItemPerSecond(rate) if rate else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, shut = Headers(scope=scope), self._shut(send)
        try:
            if self._access.is_open:
                self._check_place(scope["path"], headers)
            _check_length(headers)
            await self._identify(scope, headers)
            await self._app(scope, _bounded(receive), shut)
        except RefusalError as refusal:
            await refusal.response()(scope, receive, shut)

    def _shut(self, send: Send) -> Send:
        """Let no page load an answer as a script or a picture, but those of named origins."""
        policy = "cross-origin" if self._origins else "same-origin"

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Cross-Origin-Resource-Policy", policy)
            await send(message)

        return sent

    def _check_place(self, path: str, headers: Headers) -> None:
        fix = "set TWO_TOWER_API_KEYS, or ask for http://127.0.0.1 or http://localhost"
        host = headers.get("host", "")
        try:
            is_ours = urlsplit(f"//{host}").hostname in HOSTS
        except ValueError:
            is_ours = False
        if not is_ours:
            raise RefusalError(403, "the header Host does not name this machine", fix)
        origin = headers.get("origin")
        own = (f"http://{host}", f"https://{host}")
        # A page may load a script or a picture of ours without naming its origin.
        is_foreign = headers.get("sec-fetch-site") in ("cross-site", "same-site")
        is_link = path == PAGE and headers.get("sec-fetch-mode") == "navigate"
        is_own = not is_foreign and origin in (None, *own)
        if not (is_own or is_link or origin in self._origins):
            raise RefusalError(
                403, "a page of another origin may not ask", "name it in TWO_TOWER_SERVE_ORIGINS"
            )

    async def _identify(self, scope: Scope, headers: Headers) -> None:
        address = scope["client"][0] if scope.get("client") else ""
        try:
            caller = await self._access.caller(headers.get("authorization"), address)
        except RefusalError:
            self._count(address)  # who tries keys
            raise
        scope.setdefault("state", {})["caller"] = caller  # the log tells it of a refusal, too
        if scope["path"] not in PROBES:
            self._count(caller.name)

    def _count(self, name: str) -> None:
        if self._rate is not None and not self._limiter.hit(self._rate, name):
            raise RefusalError(
                429,
                f"more than {self._rate.amount} requests in a second",
                "ask again later; TWO_TOWER_SERVE_RATE is the limit",
            )


def _too_large() -> RefusalError:
    return RefusalError(
        413, f"the body has more than {BODY_BYTES:,} bytes", "ask for fewer ids at once"
    )


def _check_length(headers: Headers) -> None:
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > BODY_BYTES:
        raise _too_large()


def _bounded(receive: Receive) -> Receive:
    """Count a body that does not say its length."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > BODY_BYTES:
            raise _too_large()
        return message

    return counted
