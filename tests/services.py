"""Where the real services of the suites are, and whether they answer.

Addresses come from the environment (`scripts/install-services.sh` writes them to `.services.env`, and `make test-all`
reads that) with the usual local ports as defaults.
"""

import os
import shutil
import socket
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

# Each service's variable, and the address where it is not set.
ADDRESSES = {
    "postgres": ("NERVIO_TEST_POSTGRES_URL", "postgresql+asyncpg://postgres@127.0.0.1:5432/postgres"),
    "redis": ("NERVIO_TEST_REDIS_URL", "redis://127.0.0.1:6379/0"),
    "nats": ("NERVIO_TEST_NATS_URL", "nats://127.0.0.1:4222"),
    "mqtt": ("NERVIO_TEST_MQTT_URL", "mqtt://127.0.0.1:1883"),
    "mariadb": ("NERVIO_TEST_MARIADB_URL", "mysql://127.0.0.1:3306"),
}

# What builds the workers in other languages: the commands that say whether it is there, and files of their libraries.
_PROTOC = ("make", "protoc")
_GO, _JARS = Path("/usr/share/gocode/src"), Path("/usr/share/java")
BUILDERS: dict[str, tuple[tuple[str, ...], tuple[Path, ...]]] = {
    "go": (
        (*_PROTOC, "go", "protoc-gen-go", "protoc-gen-go-grpc"),
        (_GO / "google.golang.org" / "grpc", _GO / "github.com" / "eclipse" / "paho.mqtt.golang"),
    ),
    "java": (
        (*_PROTOC, "javac", "grpc_java_plugin"),
        tuple(
            _JARS / f"{name}.jar"
            for name in ("grpc-netty", "netty-codec-http2", "netty-tcnative", "perfmark-api", "gson")
        ),
    ),
}

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def url(name: str) -> str:
    """The address of a service."""
    variable, default = ADDRESSES[name]
    return os.environ.get(variable) or default


def missing(*names: str) -> list[str]:
    """Which of the named services (by default: postgres) do not answer, and which languages cannot be built."""
    return [name for name in names or ("postgres",) if not (builds(name) if name in BUILDERS else answers(name))]


@cache
def builds(language: str) -> bool:
    """Whether everything is here that a worker in that language is built from."""
    commands, files = BUILDERS[language]
    return all(shutil.which(command) for command in commands) and all(file.exists() for file in files)


@cache
def answers(name: str) -> bool:
    """Whether something listens at the address of a service; asked once in a run."""
    address = urlsplit(url(name))
    try:
        with socket.create_connection((address.hostname or "127.0.0.1", address.port or 0), timeout=2):
            return True
    except OSError:
        return False


@cache
def chromium() -> str | None:
    """The path of a Chromium: NERVIO_CHROMIUM, or one that the system has; None where there is none."""
    named = os.environ.get("NERVIO_CHROMIUM")
    if named:
        return named
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)
