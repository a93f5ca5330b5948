"""What the tests of the runtime share."""

import logging
from collections.abc import Iterator

import pytest
import structlog

from nervio.runtime.logs import access_log


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """What a test sets up is taken down again."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for logger in (root, access_log):
        for handler in logger.handlers[:]:
            if handler not in handlers:
                logger.removeHandler(handler)
                handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    access_log.propagate = True
    structlog.reset_defaults()
