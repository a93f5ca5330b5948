"""Alerts by e-mail: SMTP over TLS (RFC 8314) or with STARTTLS (RFC 3207), never in the clear."""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from email.utils import format_datetime

from nervio.adapters.outbound import Guard, NotSent
from nervio.kernel.time import to_datetime
from nervio.ports.actions import Account
from nervio.ports.alerts import Delivery, Message, Receipt

CONNECT_SECONDS = 10.0
LETTERS_AT_ONCE = 4


class MailRoom:
    """Threads of its own for mail, since smtplib blocks: a server that drips its words must not hold those in which the program
    looks up names and seals. Certificates are read once, in a thread too (50 ms)."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._pool = ThreadPoolExecutor(LETTERS_AT_ONCE, thread_name_prefix="nervio-mail")
        self._context = context
        self._making = threading.Lock()

    def context(self) -> ssl.SSLContext:
        """How servers are judged. On one of the threads."""
        with self._making:
            self._context = self._context or ssl.create_default_context()
        return self._context

    async def run(self, work: Callable[[_Line], Receipt]) -> Receipt:
        """Does it on one of the threads. Whoever gives up waiting cuts the line, so that the thread ends as well: a time-out of
        smtplib is one of each word, and starts anew with every byte."""
        line = _Line()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, line)
        except asyncio.CancelledError:
            line.cut()
            raise

    def close(self) -> None:
        """Begins nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Line:
    """The connection of one letter, to be cut from another thread. Holds a descriptor of its own, which encryption that comes
    later does not change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_cut = False

    def hold(self, connected: socket.socket) -> None:
        """The connection that `cut` is to end. Raises ConnectionAbortedError where that was asked for before."""
        with self._lock:
            if self._is_cut:
                connected.close()
                raise ConnectionAbortedError("nobody waits any more")
            self._socket = connected.dup()

    def cut(self) -> None:
        """Whoever reads from the connection finds its end."""
        with self._lock:
            self._is_cut = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """The letter is done with."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None


class _Smtp(smtplib.SMTP):
    """Connects to the address that was judged, and checks the certificate for the name that was given."""

    def __init__(
        self, host: str, port: int, address: str, line: _Line, context: ssl.SSLContext, *, is_tls: bool
    ) -> None:
        self._address, self._line, self._context, self._is_tls, self._name = address, line, context, is_tls, host
        super().__init__(host, port, timeout=CONNECT_SECONDS)

    def _get_socket(self, _host: str, port: int, timeout: float) -> socket.socket:
        plain = socket.create_connection((self._address, port), timeout)
        self._line.hold(plain)
        return self._context.wrap_socket(plain, server_hostname=self._name) if self._is_tls else plain


class EmailAlerts:
    """Sends through one account of one server."""

    def __init__(self, guard: Guard, room: MailRoom, account: Account) -> None:
        settings = account.settings
        self._guard, self._room = guard, room
        self._host, self._port = settings["host"], int(settings["port"])
        self._is_tls = settings["security"] == "tls"
        self._sender = settings["sender"]
        self._recipients = [address.strip() for address in settings["recipients"].split(",")]
        self._username, self._password = settings.get("username", ""), account.secrets.get("password", "")

    async def send(self, message: Message) -> Receipt:
        """One e-mail to all recipients. Its Message-ID is that of the delivery, so that a repetition can be told."""
        try:
            address = await self._guard.locate(self._host, self._port)
        except NotSent as error:
            return Receipt(Delivery.FAILED, str(error))
        letter = self._letter(message)
        return await self._room.run(lambda line: self._send(address, letter, line))

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

    def _send(self, address: str, letter: EmailMessage, line: _Line) -> Receipt:
        context = self._room.context()
        try:
            with _Smtp(self._host, self._port, address, line, context, is_tls=self._is_tls) as server:
                if not self._is_tls:
                    server.starttls(context=context)
                if self._username:
                    server.login(self._username, self._password)
                refused = server.send_message(letter, self._sender, self._recipients)
        except UnicodeEncodeError:
            # smtplib sends names and passwords as ASCII.
            words = "The user name or the password has letters outside of ASCII, which mail servers do not take."
            return Receipt(Delivery.REFUSED, words)
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
        finally:
            line.release()
        return Receipt(Delivery.SENT, f"not taken: {', '.join(refused)}" if refused else "taken")


def _words(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        return f"{error.smtp_code} {said.decode('utf-8', 'replace') if isinstance(said, bytes) else said}"
    return f"{type(error).__name__}: {error}"


def _one_line(text: str) -> str:
    """A subject cannot hold line breaks; what somebody typed must not become another header."""
    return " ".join(text.split())
