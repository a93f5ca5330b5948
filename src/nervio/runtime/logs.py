"""Logs: JSON lines in one file a day, readable lines on a terminal, secrets taken out of both.

Files carry their day in their name and are only ever appended to, so several processes may share a directory and no line
is lost by a rename. Every logger of the program and of its libraries ends here.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import time
from collections.abc import MutableMapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

import orjson
import structlog

from nervio.runtime.settings import LogSettings

REDACTED = "[redacted]"

_SECRET_KEY = re.compile(
    r"passw|secret|token|authorization|cookie|api[_-]?key|private[_-]?key|credential|x-api-key|jwt|^key$", re.IGNORECASE
)
_SECRET_VALUES = (
    re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),  # a JSON web token
    re.compile(r"\b(nrv|sk)[_-][A-Za-z0-9_-]{12,}"),  # API keys, ours and those of model endpoints
    re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"),  # user and password inside an address
)
# Counters and fencing tokens are plain numbers; only text can be a secret.
_SAFE_KEYS = frozenset({"token_type", "idempotency_key"})

access_log = logging.getLogger("nervio.access")


class DailyFile(logging.Handler):
    """Appends lines to `<name>-YYYY-MM-DD.log` of the day in UTC and deletes the files of days gone by."""

    def __init__(self, directory: Path, keep_days: int, name: str = "nervio") -> None:
        super().__init__()
        self._directory, self._keep_days, self._name = directory, keep_days, name
        self._file: TextIO | None = None
        self._ends = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one line and hands it to the system, so that a crash of ours loses none."""
        try:
            if record.created >= self._ends or self._file is None:
                self._open(record.created)
            assert self._file is not None
            self._file.write(self.format(record) + "\n")
            self._file.flush()
        except Exception:  # noqa: BLE001 (a full disk must not stop a sale; logging has its own way to say so)
            self.handleError(record)

    def close(self) -> None:
        """Closes the day's file."""
        if self._file is not None:
            self._file.close()
            self._file = None
        super().close()

    def _open(self, moment: float) -> None:
        if self._file is not None:
            self._file.close()
        today = datetime.fromtimestamp(moment, UTC).date()
        self._directory.mkdir(parents=True, exist_ok=True)
        self._file = (self._directory / f"{self._name}-{today.isoformat()}.log").open("a", encoding="utf-8")
        tomorrow = datetime(today.year, today.month, today.day, tzinfo=UTC) + timedelta(days=1)
        self._ends = tomorrow.timestamp()
        self._delete_before(today - timedelta(days=self._keep_days))

    def _delete_before(self, day: date) -> None:
        for path in self._directory.glob(f"{self._name}-????-??-??.log"):
            with contextlib.suppress(ValueError, OSError):
                if date.fromisoformat(path.stem.removeprefix(f"{self._name}-")) < day:
                    path.unlink()


def redact(value: Any) -> Any:
    """The value without secrets: by the name of a key, and by the look of a text."""
    if isinstance(value, dict):
        return {key: REDACTED if _is_secret(key, part) else redact(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [redact(part) for part in value]
    if isinstance(value, str):
        for pattern in _SECRET_VALUES:
            value = pattern.sub(REDACTED, value)
    return value


def set_up_logs(settings: LogSettings, *, terminal: TextIO | None = None) -> None:
    """Sends all logs to the daily file, and to `terminal` (standard error when it is one) in readable form."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    file = DailyFile(settings.directory, settings.keep_days)
    file.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _redacted,
                _as_json,
            ],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(file)
    stream = sys.stderr if terminal is None else terminal
    screen = logging.StreamHandler(stream)
    screen.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _redacted,
                structlog.dev.ConsoleRenderer(colors=stream.isatty()),
            ],
        )
    )
    # The terminal is for what a person should see; every request would bury it.
    screen.addFilter(lambda record: record.name != access_log.name)
    root.addHandler(screen)
    root.setLevel(settings.level.upper())
    for noisy in ("uvicorn", "uvicorn.error", "asyncio", "httpx", "alembic"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    _set_up_access(settings)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _set_up_access(settings: LogSettings) -> None:
    """Access lines are made whole by the middleware, from fields that hold no secret; they skip the processors."""
    lines = DailyFile(settings.directory, settings.keep_days, "access")
    lines.setFormatter(logging.Formatter("%(message)s"))
    for old in access_log.handlers[:]:
        access_log.removeHandler(old)
        old.close()
    access_log.addHandler(lines)
    access_log.propagate = False
    access_log.setLevel(logging.INFO if settings.access else logging.CRITICAL)


def access_line(fields: dict[str, Any]) -> str:
    """One JSON line of the access log, with its time."""
    now = time.time()
    stamp = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return orjson.dumps(
        {"timestamp": stamp, "level": "info", "logger": "nervio.access", "event": "request", **fields}
    ).decode()


def _is_secret(key: object, value: object) -> bool:
    return (
        isinstance(value, str | bytes | dict | list | tuple)
        and isinstance(key, str)
        and key.lower() not in _SAFE_KEYS
        and _SECRET_KEY.search(key) is not None
    )


def _redacted(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: REDACTED if _is_secret(key, part) else _redact_field(key, part) for key, part in event.items()}


def _redact_field(key: str, value: Any) -> Any:
    return value if key == "exc_info" else redact(value)


def _as_json(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    return orjson.dumps(dict(event), default=str, option=orjson.OPT_NON_STR_KEYS).decode()
