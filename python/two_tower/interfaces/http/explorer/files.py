"""The files of the pages, as they are sent: nothing is built, nothing comes from another host."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from importlib import resources

from fastapi import Request, Response

TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
# No page of another origin reads an answer, and none is taken for something else than it is.
SHUT = {
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class File:
    """One file: its bytes, media type and tag."""

    body: bytes
    media_type: str
    tag: str

    def response(self, request: Request, headers: dict[str, str] | None = None) -> Response:
        """Return it, or that the browser has it already."""
        sent = {"Cache-Control": "no-cache", "ETag": self.tag, **SHUT, **(headers or {})}
        if self.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=sent)
        return Response(self.body, headers=sent, media_type=self.media_type)


def read_files(needs_key: bool) -> dict[str, File]:
    """Return the files of the pages by their names; the page knows whether a key is needed."""
    found = {}
    for path in resources.files(__package__).joinpath("static").iterdir():
        body = path.read_bytes()
        if path.name == "index.html" and not needs_key:
            body = body.replace(b'<html lang="en">', b'<html lang="en" data-open>')
        tag = f'"{blake2b(body, digest_size=12).hexdigest()}"'
        found[path.name] = File(body, TYPES[path.name.rpartition(".")[2]], tag)
    return found


def read_sql(folder: str) -> dict[str, str]:
    """Return the statements of a folder, ``figures`` or ``queries``, by their names."""
    return {
        path.name.removesuffix(".sql"): path.read_text(encoding="utf-8").strip()
        for path in resources.files(__package__).joinpath(folder).iterdir()
    }


def page_policy(images: tuple[str, ...]) -> str:
    """Return the Content-Security-Policy of the page.

    Args:
        images: origins whose pictures may be loaded, besides this server.
    """
    parts = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": " ".join(["'self'", *images]),
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
    }
    return "; ".join(f"{name} {value}" for name, value in parts.items())


# A picture that is opened as a page may do nothing.
PICTURE_POLICY = "default-src 'none'; sandbox"
