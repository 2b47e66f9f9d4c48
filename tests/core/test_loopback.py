"""A proxy of the environment is for other machines."""

import socket

import httpx
import pytest

from two_tower.core import loopback

PROXY = "http://127.0.0.1:9"


def test_an_environment_without_a_proxy_is_left_alone() -> None:
    assert loopback.without_proxy({"PATH": "/bin", "NO_PROXY": "intranet"}) == {}
    assert loopback.without_proxy({"HTTP_PROXY": ""}) == {}


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"])
def test_beside_a_proxy_this_machine_is_asked_directly(name: str) -> None:
    found = loopback.without_proxy({name: PROXY, "NO_PROXY": "intranet, .example"})
    assert found["NO_PROXY"] == "intranet,.example,localhost,127.0.0.1,::1"
    assert found["no_proxy"] == found["NO_PROXY"]
    assert loopback.without_proxy({name: PROXY, **found}) == {}


def test_the_name_that_counts_is_the_one_kept() -> None:
    """Of two spellings programs take the lower one."""
    given = {"http_proxy": PROXY, "no_proxy": "a", "NO_PROXY": "b"}
    assert loopback.without_proxy(given)["NO_PROXY"].startswith("a,localhost")


def test_the_client_that_prefect_uses_goes_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    for name, value in loopback.without_proxy({"HTTP_PROXY": PROXY}).items():
        monkeypatch.setenv(name, value)
    with httpx.Client() as client:
        for host in ("127.0.0.1", "localhost", "[::1]"):
            transport = client._transport_for_url(httpx.URL(f"http://{host}:4200/api"))
            assert transport is client._transport
        other = client._transport_for_url(httpx.URL("http://hooks.example/"))
        assert other is not client._transport


def test_a_port_that_is_taken_is_not_offered() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        assert not loopback.is_free("127.0.0.1", taken)
        port = loopback.free_port(taken - 1)
    assert port > taken
    assert loopback.is_free("127.0.0.1", port)


@pytest.mark.parametrize(
    ("url", "is_here"),
    [
        ("http://127.0.0.1:4200/api", True),
        ("http://localhost:4200/api", True),
        ("http://[::1]:4200/api", True),
        ("https://prefect.example/api", False),
    ],
)
def test_a_url_names_this_machine_or_another(url: str, is_here: bool) -> None:
    assert loopback.is_loopback(url) is is_here
