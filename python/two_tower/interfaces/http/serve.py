"""The process: it binds, serves, and ends in order."""

from __future__ import annotations

import logging
import signal

import psycopg
import uvicorn

from two_tower.core.errors import InputError
from two_tower.core.loopback import HOSTS, is_free
from two_tower.core.settings import Settings
from two_tower.database import sessions
from two_tower.database.dsn import target_dsn
from two_tower.interfaces.http.app import create_app

logger = logging.getLogger("two_tower.http")


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM or Ctrl-C; requests in flight are answered.

    Raises:
        InputError: the host is not this machine's and no key is set, or the port is taken.
        UnavailableError: the database does not answer.
    """
    if host not in HOSTS and not settings.has_keys:
        raise InputError(
            f"{host} is reached from other machines, and without a key whoever asks is a service",
            "set TWO_TOWER_API_KEYS (openssl rand -hex 32), or leave --host out",
        )
    if not is_free(host, port):
        raise InputError(f"port {port} of {host} is taken", "name another one: --port 8001")
    app = create_app(settings)
    dsn = target_dsn(settings)
    try:
        sessions.connect(dsn, for_app=True).close()
    except psycopg.OperationalError as error:
        raise sessions.unreachable(dsn, error) from error
    logger.setLevel(logging.INFO)
    shown = f"[{host}]" if ":" in host else host
    logger.info("http://%s:%d answers; Ctrl-C ends it", shown, port)
    # uvicorn raises the signal anew once it has stopped: an end that was asked for is no failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: None)
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=round(settings.serve_timeout) + sessions.CONNECT_SECONDS + 5,
    )
