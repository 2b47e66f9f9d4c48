"""Servers on this machine: they are called without the environment's proxy."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

HOSTS = ("localhost", "127.0.0.1", "::1")


def is_loopback(url: str) -> bool:
    """Return whether a URL names this machine."""
    return urlsplit(url).hostname in HOSTS


def without_proxy(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the ``no_proxy`` variables that exclude this machine from the environment's proxy.

    Empty if no proxy is set, or this machine is excluded already.
    """
    proxies = ("http_proxy", "https_proxy", "all_proxy")
    if not any(environment.get(name) for name in environment if name.lower() in proxies):
        return {}
    given = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    named = [host.strip() for host in given.split(",") if host.strip()]
    wanted = ",".join(dict.fromkeys([*named, *HOSTS]))
    return {name: wanted for name in ("no_proxy", "NO_PROXY") if environment.get(name) != wanted}


def is_free(host: str, port: int) -> bool:
    """Return whether a server could listen on the port."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(after: int) -> int:
    """Return the next free port of this machine."""
    return next(port for port in range(after + 1, 65536) if is_free("127.0.0.1", port))
