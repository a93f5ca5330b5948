"""Alerts by e-mail: SMTP over TLS (RFC 8314) or with STARTTLS (RFC 3207), never in the clear."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
from email.message import EmailMessage
from email.utils import format_datetime

from nervio.adapters.outbound import Guard, NotSent
from nervio.kernel.time import to_datetime
from nervio.ports.actions import Account
from nervio.ports.alerts import Delivery, Message, Receipt

CONNECT_SECONDS = 10.0


class _Smtp(smtplib.SMTP):
    """Connects to the address that was judged, and checks the certificate for the name that was given."""

    def __init__(self, host: str, port: int, address: str, context: ssl.SSLContext, *, is_tls: bool) -> None:
        self._address, self._context, self._is_tls, self._name = address, context, is_tls, host
        super().__init__(host, port, timeout=CONNECT_SECONDS)

    def _get_socket(self, _host: str, port: int, timeout: float) -> socket.socket:
        plain = socket.create_connection((self._address, port), timeout)
        return self._context.wrap_socket(plain, server_hostname=self._name) if self._is_tls else plain


class EmailAlerts:
    """Sends through one account of one server."""

    def __init__(self, guard: Guard, account: Account, context: ssl.SSLContext | None = None) -> None:
        settings = account.settings
        self._guard = guard
        self._host, self._port = settings["host"], int(settings["port"])
        self._is_tls = settings["security"] == "tls"
        self._sender = settings["sender"]
        self._recipients = [address.strip() for address in settings["recipients"].split(",")]
        self._username, self._password = settings.get("username", ""), account.secrets.get("password", "")
        self._context = context or ssl.create_default_context()

    async def send(self, message: Message) -> Receipt:
        """One e-mail to all recipients. Its Message-ID is that of the delivery, so that a repetition can be told."""
        try:
            address = await self._guard.locate(self._host, self._port)
        except NotSent as error:
            return Receipt(Delivery.FAILED, str(error))
        return await asyncio.to_thread(self._send, address, self._letter(message))

    async def close(self) -> None:
        """Holds nothing of its own."""

    def _letter(self, message: Message) -> EmailMessage:
        letter = EmailMessage()
        letter["Subject"] = _one_line(f"[{message.shop}] {message.title}")
        letter["From"] = self._sender
        letter["To"] = ", ".join(self._recipients)
        letter["Date"] = format_datetime(to_datetime(message.at))
        letter["Message-ID"] = f"<{message.id}@{self._sender.rpartition('@')[2]}>"
        # So that nobody's "out of office" answers an alert.
        letter["Auto-Submitted"] = "auto-generated"
        letter.set_content(f"{message.body or message.title}\n\n{message.link}\n")
        return letter

    def _send(self, address: str, letter: EmailMessage) -> Receipt:
        try:
            with _Smtp(self._host, self._port, address, self._context, is_tls=self._is_tls) as server:
                if not self._is_tls:
                    server.starttls(context=self._context)
                if self._username:
                    server.login(self._username, self._password)
                refused = server.send_message(letter, self._sender, self._recipients)
        except (smtplib.SMTPAuthenticationError, smtplib.SMTPNotSupportedError) as error:
            return Receipt(Delivery.REFUSED, _words(error))
        except smtplib.SMTPRecipientsRefused as error:
            # 5yz is for good, 4yz for now (RFC 5321, section 4.2.1).
            for_good = all(code >= 500 for code, _ in error.recipients.values())
            return Receipt(Delivery.REFUSED if for_good else Delivery.FAILED, _words(error))
        except smtplib.SMTPResponseException as error:
            kind = Delivery.REFUSED if 500 <= error.smtp_code < 600 else Delivery.FAILED
            return Receipt(kind, _words(error))
        except (smtplib.SMTPException, OSError) as error:
            return Receipt(Delivery.FAILED, _words(error))
        return Receipt(Delivery.SENT, f"not taken: {', '.join(refused)}" if refused else "taken")


def _words(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        return f"{error.smtp_code} {said.decode('utf-8', 'replace') if isinstance(said, bytes) else said}"
    return f"{type(error).__name__}: {error}"


def _one_line(text: str) -> str:
    """A subject cannot hold line breaks; what somebody typed must not become another header."""
    return " ".join(text.split())
