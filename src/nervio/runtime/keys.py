"""The installation's own keys: made once, kept in the data directory, readable by its user alone."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from nervio.db import vault
from nervio.kernel.errors import invalid
from nervio.runtime.lock import write_private

JWT_FILE = "jwt.key"
SEAL_FILE = "seal.pem"
VAULT_FILE = "vault.key"


def jwt_secret(data_dir: Path) -> str:
    """The key that signs tokens (HS256), made on first use."""
    return _read_or_make(data_dir / "keys" / JWT_FILE, secrets.token_urlsafe(48))


def vault_key(data_dir: Path) -> str:
    """The key that seals the secrets of connections, made on first use. Without it they have to be entered again."""
    return _read_or_make(data_dir / "keys" / VAULT_FILE, vault.new_key())


def open_vault(data_dir: Path) -> vault.Vault:
    """The vault of that key. Raises `invalid` where the file holds none, which is not made anew: what it sealed would be lost."""
    try:
        return vault.Vault(vault_key(data_dir))
    except ValueError:
        raise invalid(
            "vault_key_damaged",
            f"{data_dir / 'keys' / VAULT_FILE} holds no key; bring it back from a backup, give the key as "
            "NERVIO_SECRETS__VAULT_KEY, or remove the file to have a new one made and enter all secrets again.",
            field="secrets.vault_key",
        ) from None


def seal_key(data_dir: Path) -> Ed25519PrivateKey:
    """The key that signs the head of the journal, made on first use. Back it up apart from the database."""
    fresh = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    key = load_pem_private_key(_read_or_make(data_dir / "keys" / SEAL_FILE, fresh).encode(), password=None)
    assert isinstance(key, Ed25519PrivateKey), f"{SEAL_FILE} holds another kind of key"
    return key


def find_seal_key(data_dir: Path) -> Ed25519PrivateKey | None:
    """The key that signs the head, where there is one; nothing is made."""
    return seal_key(data_dir) if (data_dir / "keys" / SEAL_FILE).exists() else None


def _read_or_make(path: Path, fresh: str) -> str:
    with contextlib.suppress(FileNotFoundError):
        return path.read_text(encoding="utf-8").strip()
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):  # Windows keeps its own rights
        os.chmod(path.parent, 0o700)  # noqa: PTH101
    mine = path.with_name(f"{path.name}.{os.getpid()}")
    write_private(mine, fresh)
    try:
        # Of two processes that start together one makes the key, the other finds it.
        os.link(mine, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        mine.replace(path)
    mine.unlink(missing_ok=True)
    return path.read_text(encoding="utf-8").strip()
