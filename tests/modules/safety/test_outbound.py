"""Where a request may go: never into our own network, never in the clear, never to a name that changed its mind."""

import asyncio
import ipaddress
import socket
from typing import Any

import pytest

from nervio.adapters.outbound import MOST_BYTES, Guard, Lost, NotSent, Outbound, is_public
from tests.platform_peer import a_platform


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",  # noqa: S104
        "224.0.0.1", "255.255.255.255", "::1", "fe80::1", "fec0::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
        "::ffff:169.254.169.254", "64:ff9b::a00:1", "2002:7f00:1::", "::",
    ],
)  # fmt: skip
def test_addresses_of_our_own_are_told(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111"])
def test_public_ones_too(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Lets every name have these addresses."""

    async def getaddrinfo(_self: Any, _host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize("addresses", [("10.0.0.1",), ("8.8.8.8", "127.0.0.1"), ()])
async def test_a_name_with_any_address_of_our_own_is_refused(
    monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]
) -> None:
    resolving(monkeypatch, *addresses)
    with pytest.raises(NotSent):
        await Guard(allow_private=False).locate("metadata.example", 443)


@pytest.mark.parametrize(
    "url", ["http://8.8.8.8/x", "ftp://8.8.8.8/x", "https://user:word@8.8.8.8/", "https://", "http://[::1", "nothing"]
)
async def test_what_is_no_address_of_a_web_server_over_tls_is_refused(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    resolving(monkeypatch, "8.8.8.8")
    outbound = Outbound(Guard(allow_private=False))
    with pytest.raises(NotSent):
        await outbound.request("GET", url)
    await outbound.close()


async def test_without_tls_only_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "10.0.0.1")
    outbound = Outbound(Guard(allow_private=True))
    with pytest.raises(NotSent, match="https"):
        await outbound.request("GET", "http://neighbour.example/")
    await outbound.close()


@pytest.mark.sockets
async def test_the_name_is_asked_for_once_and_the_judged_address_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_platform() as peer:
        port = int(peer.url.rpartition(":")[2])
        resolving(monkeypatch, "127.0.0.1")
        outbound = Outbound(Guard(allow_private=True))
        reply = await outbound.request("GET", f"http://ads.example:{port}/nothing")
        assert reply.status == 404
        assert peer.asked[0].headers["host"] == f"ads.example:{port}"
        await outbound.close()


@pytest.mark.sockets
async def test_redirects_are_answers_and_long_answers_are_cut() -> None:
    async with a_platform() as peer:
        outbound = Outbound(Guard(allow_private=True), answer_seconds=2)
        peer.sends.extend(["elsewhere", "huge", "reset"])
        assert (await outbound.request("POST", f"{peer.url}/hook", content=b"{}")).status == 302
        with pytest.raises(Lost, match=f"longer than {MOST_BYTES // 1024}"):
            await outbound.request("POST", f"{peer.url}/hook", content=b"{}")
        with pytest.raises(Lost):
            await outbound.request("POST", f"{peer.url}/hook", content=b"{}")
        assert len(peer.asked) == 3
        await outbound.close()
