"""What every suite shares: which services are there, which sockets may be opened.

A test says what it needs and nothing else decides whether it runs:

    @pytest.mark.services("postgres", "redis")    real services; skipped where one does not answer
    @pytest.mark.services("mqtt", "go", "java")   and what builds workers in those languages
    @pytest.mark.browser                          headless Chromium; skipped where there is none

With NERVIO_REQUIRE_SERVICES=1 (as in CI) what is missing fails instead of skipping.
"""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import network, services
from tests.builders import drop_templates

TESTS = Path(__file__).parent

# Suites of rules and use cases: a socket opened there is a mistake, unless the test says why it opens one.
WITHOUT_SOCKETS = (TESTS / "architecture", TESTS / "modules")


def pytest_configure() -> None:
    """Watch every connection from here on; what is allowed changes from test to test."""
    network.watch()


def pytest_unconfigure() -> None:
    """Leave nothing behind on the services' side."""
    with network.allowing("loopback"):
        drop_templates()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Allow a test the sockets of its suite, from its first fixture to its last."""
    opens = any(item.get_closest_marker(name) for name in ("services", "browser", "sockets"))
    blocked = not opens and any(folder in item.path.parents for folder in WITHOUT_SOCKETS)
    with network.allowing("nothing" if blocked else "loopback"):
        return (yield)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that needs what is not there, or fail it where everything must be there."""
    missing = [name for marker in item.iter_markers("services") for name in services.missing(*marker.args)]
    if item.get_closest_marker("browser") and services.chromium() is None:
        missing.append("chromium")
    if not missing:
        return
    reason = f"not running here: {', '.join(missing)} (make services)"
    if os.environ.get("NERVIO_REQUIRE_SERVICES") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """An address of PostgreSQL with the right to create databases; the database it names is never written to."""
    return services.url("postgres")


@pytest.fixture(scope="session")
def redis_url() -> str:
    """An address of Redis; a test uses keys of its own name and removes them."""
    return services.url("redis")


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The Chromium that journeys drive."""
    path = services.chromium()
    assert path is not None, "mark the test with pytest.mark.browser"
    return path


@pytest.fixture
def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
