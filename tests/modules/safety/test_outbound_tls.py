"""HTTPS to an address that was judged: the certificate must be that of the name, and the name is not asked for again."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from nervio.adapters.outbound import Guard, NotSent, Outbound

pytestmark = pytest.mark.sockets

HOST = "ads.example"
DAY = timedelta(days=1)


@dataclass
class Authority:
    """Who signs certificates here, and the only one that the caller trusts."""

    folder: Path
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def name(self) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Authority of tests")])

    @property
    def path(self) -> Path:
        """Its own certificate."""
        made = self._built(self.name, self.key.public_key(), DAY)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        path = self.folder / "authority.pem"
        path.write_bytes(made.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM))
        return path

    def certify(self, host: str, lasts: timedelta = DAY, *, self_signed: bool = False) -> Path:
        """A key and a certificate of a name."""
        own = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
        made = self._built(subject, own.public_key(), lasts, issuer=subject if self_signed else self.name)
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        signed = made.sign(own if self_signed else self.key, hashes.SHA256())
        path = self.folder / f"{host}-{lasts}-{self_signed}.pem"
        private = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(private + signed.public_bytes(Encoding.PEM))
        return path

    def _built(
        self, subject: x509.Name, key: Any, lasts: timedelta, issuer: x509.Name | None = None
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer or self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 10 * DAY)
            .not_valid_after(now + lasts)
        )


@dataclass
class Peer:
    """A web server over TLS: the names that callers asked for in their hello, and what they sent."""

    port: int = 0
    hellos: list[str | None] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()


@asynccontextmanager
async def serving(certificate: Path) -> AsyncIterator[Peer]:
    """The server with a certificate, on this machine."""
    peer, context = Peer(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    def heard(_socket: Any, name: str | None, _context: Any) -> None:
        peer.hellos.append(name)

    context.sni_callback = heard
    server = await asyncio.start_server(peer.answer, "127.0.0.1", 0, ssl=context)
    peer.port = server.sockets[0].getsockname()[1]
    async with server:
        yield peer


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """Stands in for the authorities of the world."""
    made = Authority(tmp_path)
    path = str(made.path)
    monkeypatch.setattr(certifi, "where", lambda: path)
    return made


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that were resolved: each has this machine's address once, and from then on one of nobody's."""
    names: list[str] = []

    async def getaddrinfo(_self: Any, host: str, port: int, **_: Any) -> list[Any]:
        names.append(host)
        address = "127.0.0.1" if len(names) == 1 else "192.0.2.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return names


async def get(peer: Peer) -> int:
    outbound = Outbound(Guard(allow_private=True))
    try:
        return (await outbound.request("GET", f"https://{HOST}:{peer.port}/orders?x=1")).status
    finally:
        await outbound.close()


async def test_the_name_is_checked_and_asked_for_once_and_the_server_hears_it(
    authority: Authority, asked: list[str]
) -> None:
    async with serving(authority.certify(HOST)) as peer:
        assert await get(peer) == 200
        assert peer.hellos == [HOST]
        (request,) = peer.requests
        assert request.startswith("GET /orders?x=1 HTTP/1.1\r\n")
        assert f"host: {HOST}:{peer.port}\r\n" in request.lower()
    assert asked == [HOST]


@pytest.mark.parametrize(
    ("host", "lasts", "self_signed"),
    [("other.example", DAY, False), ("127.0.0.1.example", DAY, False), (HOST, -DAY, False), (HOST, DAY, True)],
)
async def test_a_certificate_of_another_name_or_time_or_authority_is_refused_before_anything_is_sent(
    authority: Authority, asked: list[str], host: str, lasts: timedelta, self_signed: bool
) -> None:
    async with serving(authority.certify(host, lasts, self_signed=self_signed)) as peer:
        with pytest.raises(NotSent, match="certificate"):
            await get(peer)
        assert peer.hellos == [HOST]
        assert peer.requests == []
    assert asked == [HOST]


async def test_a_certificate_of_the_address_is_none_of_the_name(authority: Authority, asked: list[str]) -> None:
    """The connection goes to an address, but it is the name that must be proven."""
    async with serving(authority.certify("127.0.0.1")) as peer:
        with pytest.raises(NotSent, match="certificate"):
            await get(peer)
        assert peer.requests == []
    assert asked == [HOST]
