"""Alerts on their way out: what a chat, a webhook and a mail server get, and what becomes of one that misbehaves."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from nervio.adapters.alerts.email import LETTERS_AT_ONCE, EmailAlerts, MailRoom
from nervio.adapters.outbound import Guard
from nervio.adapters.signing import is_genuine
from nervio.kernel.errors import NervioError
from nervio.kernel.time import SECOND
from nervio.modules.safety.api import alerts
from nervio.modules.safety.contracts.alerts import Alert, AlertRecord, Severity
from nervio.modules.safety.settings import ActionSettings
from nervio.modules.safety.usecases.delivering import AlertWorker
from nervio.ports.actions import Account
from nervio.ports.alerts import Delivery, Message, Receipt
from nervio.runtime.outside import Outside
from tests.builders import Store, a_store
from tests.modules.safety.campaigns import SIGNING_SECRET, VAULT
from tests.platform_peer import PlatformPeer, a_mail_server, a_platform

pytestmark = pytest.mark.sockets


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Store]:
    async with a_store(tmp_path) as opened:
        yield opened


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of localhost, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("mail") / "mail.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + made.public_bytes(Encoding.PEM))
    return path


def contexts(certificate: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(the server's, the client's that trusts it)"""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    return server, ssl.create_default_context(cafile=str(certificate))


async def deliver(store: Store, peer: PlatformPeer, kind: str, fields: dict[str, str], rounds: int = 1) -> AlertRecord:
    """Raises an alert and lets the worker hand it over."""
    peer.now = lambda: store.clock.now() // SECOND
    outside = Outside(
        ActionSettings.model_validate({"allow_private_addresses": True, "answer_seconds": 0.5}), store.clock
    )
    worker = AlertWorker(outside.channel, VAULT, "https://shop.example", draw=lambda: 0.5)
    await alerts.save_destination(store.ctx, VAULT, kind, kind, fields)
    alert = Alert(Severity.CRITICAL, "critical_stock", "Soap <b>&", "0 left", "k", "/console/stock")
    raised = await alerts.raise_alert(store.ctx, alert, "k")
    for _ in range(rounds):
        await worker.run(store.ctx)
        await worker.settle()
        store.clock.advance(60)
    await worker.close()
    await outside.close()
    return await alerts.get_alert(store.ctx, raised.id)


async def test_a_chat_gets_a_link_and_no_markup_of_somebodys_making(here: Store) -> None:
    async with a_platform() as peer:
        peer.sends.append("accepted")
        shown = await deliver(here, peer, "slack", {"url": f"{peer.url}/chat", "channel": "#alerts"})
        said = json.loads(peer.asked[0].body)
    assert (shown.sent, shown.failed) == (1, 0)
    assert said["channel"] == "#alerts"
    assert said["text"] == "Soap &lt;b&gt;&amp;"
    assert said["attachments"][0]["title_link"] == "https://shop.example/console/stock"


async def test_a_webhook_gets_a_signature_and_the_same_key_at_every_attempt(here: Store) -> None:
    async with a_platform() as peer:
        peer.sends.extend(["500", "silence", "accepted"])
        fields = {"url": f"{peer.url}/alert", "signing_secret": SIGNING_SECRET}
        shown = await deliver(here, peer, "webhook", fields, rounds=3)
        assert (shown.sent, shown.waiting, shown.failed) == (1, 0, 0)
        assert len(peer.asked) == 3
        assert len({asked.headers["idempotency-key"] for asked in peer.asked}) == 1
        first = peer.asked[0]
        sent_at = first.headers["x-nervio-timestamp"]
        assert is_genuine(SIGNING_SECRET, sent_at, first.headers["x-nervio-signature"], first.body, int(sent_at))


async def test_a_destination_that_says_no_is_not_asked_again(here: Store) -> None:
    async with a_platform() as peer:
        peer.sends.extend(["403"] * 5)
        shown = await deliver(here, peer, "slack", {"url": f"{peer.url}/chat"}, rounds=3)
        assert (shown.sent, shown.failed, len(peer.asked)) == (0, 1, 1)
        (told,) = await alerts.list_destinations(here.ctx)
        assert (told.last_state, told.last_words) == ("failed", "HTTP 403: no")


def a_letter() -> Message:
    return Message("0195-id", "critical", "x", "Fire\r\nBcc: you@evil.test", "Really.", "https://s/x", "Shop", 1, 0)


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_mail_travels_encrypted_and_holds_no_header_of_somebodys_making(certificate: Path, security: str) -> None:
    server, client = contexts(certificate)
    async with a_mail_server(server, is_tls=security == "tls") as peer:
        receipt = await an_account(peer.port, security, client).send(a_letter())
        assert receipt.delivery is Delivery.SENT, receipt.words
    assert peer.was_secure == [True]
    assert peer.logins == ["me"]
    head, _, body = peer.letters[0].partition("\r\n\r\n")
    assert "Message-ID: <0195-id@shop.test>" in head
    assert not any(line.lower().startswith("bcc:") for line in head.split("\r\n"))
    assert "https://s/x" in body


@pytest.mark.parametrize(
    ("way", "outcome"),
    [
        ("wrong password", Delivery.REFUSED),
        ("not now", Delivery.FAILED),
        ("taken, answer lost", Delivery.FAILED),
    ],
)
async def test_a_mail_server_that_misbehaves(certificate: Path, way: str, outcome: Delivery) -> None:
    server, client = contexts(certificate)
    async with a_mail_server(server) as peer:
        peer.way = way
        receipt = await an_account(peer.port, "starttls", client).send(a_letter())
    assert receipt.delivery is outcome, receipt.words


async def test_a_certificate_that_nobody_vouches_for_gets_no_password(certificate: Path) -> None:
    server, _ = contexts(certificate)
    async with a_mail_server(server) as peer:
        receipt = await an_account(peer.port, "starttls", ssl.create_default_context()).send(a_letter())
    assert receipt.delivery is Delivery.FAILED
    assert (peer.logins, peer.letters) == ([], [])


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_server_that_drips_its_words_holds_no_thread_once_nobody_waits(security: str) -> None:
    is_over = asyncio.Event()
    talks: list[asyncio.Task[None] | None] = []

    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.current_task())
        # A greeting of many lines, or a record of the handshake that is long in coming.
        word = b"220-patience\r\n" if security == "starttls" else b"\0"
        writer.write(b"" if security == "starttls" else bytes.fromhex("1603034000"))
        with contextlib.suppress(OSError):
            while not is_over.is_set():
                writer.write(word)
                await writer.drain()
                await asyncio.sleep(0.02)
        writer.transport.abort()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    room = MailRoom(ssl.create_default_context())
    account = an_account(port, security, ssl.create_default_context(), room=room)
    for _ in range(2 * LETTERS_AT_ONCE):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await account.send(a_letter())
    # Were the threads still listening, the next letter would wait for ever.
    async with asyncio.timeout(20):
        done = await room.run(lambda _line: Receipt(Delivery.SENT, "a thread is free"))
    assert done.words == "a thread is free"
    room.close()
    is_over.set()
    server.close()
    await asyncio.gather(*filter(None, talks))


async def test_a_password_that_mail_servers_do_not_take_is_refused_in_words(certificate: Path) -> None:
    server, client = contexts(certificate)
    async with a_mail_server(server) as peer:
        receipt = await an_account(peer.port, "starttls", client, password="contraseña").send(a_letter())
    assert receipt.delivery is Delivery.REFUSED
    assert "ASCII" in receipt.words


def an_account(
    port: int, security: str, context: ssl.SSLContext, *, room: MailRoom | None = None, password: str = "word"
) -> EmailAlerts:
    settings = {
        "host": "localhost",
        "port": str(port),
        "security": security,
        "sender": "nervio@shop.test",
        "recipients": "a@shop.test, b@shop.test",
        "username": "me",
    }
    account = Account(settings, {"password": password})
    return EmailAlerts(Guard(allow_private=True), room or MailRoom(context), account)


async def test_a_stored_password_goes_to_no_other_server_than_the_one_it_was_given_for(here: Store) -> None:
    mail = {"host": "mail.shop.test", "port": "587", "security": "starttls", "sender": "n@shop.test",
            "recipients": "a@shop.test", "username": "me"}  # fmt: skip
    saved = await alerts.save_destination(here.ctx, VAULT, "mail", "email", {**mail, "password": "word"})

    async def change(**fields: str) -> None:
        await alerts.save_destination(here.ctx, VAULT, "mail", "email", {**mail, **fields}, destination_id=saved.id)

    for name, value in (("host", "evil.test"), ("port", "588"), ("security", "tls"), ("username", "you")):
        with pytest.raises(NervioError) as refused:
            await change(**{name: value})
        assert (refused.value.code, refused.value.data["field"]) == ("password_needed", "password")
        assert refused.value.data["changed"] == [name]
    await change(recipients="b@shop.test")
    await change(host="other.test", password="another")
    (kept,) = await alerts.list_destinations(here.ctx)
    assert (kept.settings["host"], kept.secrets_set) == ("other.test", ("password",))
