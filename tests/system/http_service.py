"""The app of ``two-tower serve``, answering on a port."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from pydantic import SecretStr
from starlette.staticfiles import StaticFiles

from conftest import make_settings
from postgres_server import free_port
from two_tower.interfaces.http.app import create_app


@contextmanager
def service(dsn: str, page: Path | None = None, **settings: Any) -> Iterator[str]:
    """Serve a database inside the block; yields the URL.

    Args:
        dsn: of a role of tier service.
        page: a folder of files, served at `/page`: a page of the same origin.
        settings: those of `two-tower serve`, such as `api_keys`.
    """
    app = create_app(make_settings("postgres", database_url=SecretStr(dsn), **settings))
    if page is not None:
        app.mount("/page", StaticFiles(directory=page, html=True))
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the app did not start"
            thread.join(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
