"""What each cause means to whoever set a source up: the field that is wrong, and what to do about it."""

from __future__ import annotations

import errno
import socket
import ssl

from nervio.ports.sources import Address, Cause, SourceFault

QUERY = "queryTemplate"

# (field, what is the matter and the fix, whether the same may go well later)
_FIXES: dict[Cause, tuple[str, str, bool]] = {
    Cause.HOST_UNKNOWN: (
        "connectionConfig.host", "No machine has this name. Look at its spelling, or give its number.", False,
    ),
    Cause.REFUSED: (
        "connectionConfig.port",
        "The machine is there and nothing listens at this port. Look at the port, and whether the database is running and listens to others.",
        True,
    ),
    Cause.NO_ANSWER: (
        "connectionConfig.host",
        "Nothing came back in time. Look whether the machine is on, and whether a firewall lets this machine through.",
        True,
    ),
    Cause.NOT_THIS_DATABASE: (
        "connectionConfig.port", "Something answers there that is another kind of server. Look at the port and at the type.", False,
    ),
    Cause.TLS_REQUIRED: (
        "connectionConfig.tls", "The server only lets in who encrypts. Switch TLS on.", False,
    ),
    Cause.TLS_MISSING: (
        "connectionConfig.tls",
        "The server does not encrypt. Have TLS switched on there; or switch it off here, in a network where nobody listens.",
        False,
    ),
    Cause.CERTIFICATE: (
        "connectionConfig.ca",
        "The server's certificate is not trusted, is over, or is for another name. Give the certificate of who signed it, and the name in it as the host.",
        False,
    ),
    Cause.NOT_LET_IN: (
        "connectionConfig.password", "The server does not know this user and password. Look at both.", False,
    ),
    Cause.HOST_NOT_ALLOWED: (
        "connectionConfig.host",
        "The server lets this user in from elsewhere, and not from this machine. Allow it there (PostgreSQL: pg_hba.conf; MySQL: the host of the user).",
        False,
    ),
    Cause.NO_DATABASE: (
        "connectionConfig.database", "There is no database of this name on the server. Look at its spelling.", False,
    ),
    Cause.NO_RIGHTS: (
        "connectionConfig.user", "The user may not read this. Grant it SELECT on what the query names.", False,
    ),
    Cause.UNKNOWN_TABLE: (
        QUERY, "There is no such table or view for this user. Look at its spelling and its schema.", False,
    ),
    Cause.UNKNOWN_COLUMN: (QUERY, "There is no such column. Look at its spelling.", False),
    Cause.AMBIGUOUS_COLUMN: (QUERY, "Several tables have this column. Put the table's name before it.", False),
    Cause.UNKNOWN_FUNCTION: (QUERY, "The server has no such function for values of these types.", False),
    Cause.BAD_SQL: (QUERY, "The server cannot read the query.", False),
    Cause.BAD_VALUE: (QUERY, "A value is not of the type that the query needs. Convert it in the query.", False),
    Cause.WRITES: (QUERY, "The query would write. Take out what does.", False),
    Cause.TOO_SLOW: (
        QUERY, "The server did not answer in time. Give the key an index, ask for less, or allow more time.", True,
    ),
    Cause.BUSY: ("connectionConfig", "The server lets nobody more in now. Try again later.", True),
    Cause.LOST: ("connectionConfig", "The connection broke in the middle. Try again.", True),
    Cause.NO_FILE: ("connectionConfig.path", "There is no such file, or it may not be read.", False),
    Cause.NOT_A_FILE_OF_IT: ("connectionConfig.path", "The file is no database, or is damaged.", False),
    Cause.OTHER: ("connectionConfig", "The source answered with an error.", False),
}  # fmt: skip


def fault_of(cause: Cause, *, field: str | None = None, said: str = "") -> SourceFault:
    """The fault of a cause; `said` is what the source said."""
    where, fix, may_pass = _FIXES[cause]
    return SourceFault(cause, field or where, fix, said=said[:1_000], may_pass=may_pass)


def trusting(address: Address) -> ssl.SSLContext:
    """How the server's certificate is checked: by the authority that was given, or by those that this machine trusts. Raises
    SourceFault for a text that is no certificate."""
    try:
        return ssl.create_default_context(cadata=address.ca or None)
    except (ssl.SSLError, ValueError) as error:
        raise fault_of(Cause.CERTIFICATE, said=str(error)) from None


def network_fault(error: BaseException) -> SourceFault:
    """The fault of a connection that did not come about."""
    said = str(error) or type(error).__name__
    if isinstance(error, TimeoutError):
        return fault_of(Cause.NO_ANSWER, said=said)
    if isinstance(error, socket.gaierror):
        return fault_of(Cause.HOST_UNKNOWN, said=said)
    if isinstance(error, ssl.SSLCertVerificationError):
        return fault_of(Cause.CERTIFICATE, said=said)
    if isinstance(error, ssl.SSLError):
        return fault_of(Cause.TLS_MISSING, said=said)
    if isinstance(error, ConnectionRefusedError):
        return fault_of(Cause.REFUSED, said=said)
    if isinstance(error, OSError) and error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ETIMEDOUT):
        return fault_of(Cause.NO_ANSWER, said=said)
    if isinstance(error, UnicodeError):  # a name that no name server could be asked for
        return fault_of(Cause.HOST_UNKNOWN, said=said)
    return fault_of(Cause.LOST, said=said)
