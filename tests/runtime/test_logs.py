"""Logs: JSON lines, one file a day, no secret in them."""

import io
import json
import logging
import os
from pathlib import Path

import pytest
import structlog

from nervio.runtime.logs import REDACTED, DailyFile, redact, set_up_logs
from nervio.runtime.settings import LogSettings


def lines_in(folder: Path) -> list[dict[str, object]]:
    (path,) = folder.glob("nervio-*.log")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_logger_ends_in_json_lines_with_the_request_they_belong_to(tmp_path: Path) -> None:
    terminal = io.StringIO()
    set_up_logs(LogSettings.model_validate({"directory": tmp_path}), terminal=terminal)
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        logging.getLogger("some.library").warning("disk_slow", extra={"seconds": 3})
        structlog.get_logger("ours").info("sold", units=2)
    first, second = lines_in(tmp_path)
    assert (first["event"], first["seconds"], first["level"], first["request_id"]) == ("disk_slow", 3, "warning", "r-1")
    assert (second["event"], second["units"], second["logger"]) == ("sold", 2, "ours")
    assert "disk_slow" in terminal.getvalue()
    assert "{" not in terminal.getvalue()


def test_an_exception_is_one_line_with_its_trace(tmp_path: Path) -> None:
    set_up_logs(LogSettings.model_validate({"directory": tmp_path}), terminal=io.StringIO())
    try:
        raise ValueError("no such till")
    except ValueError:
        logging.getLogger("ours").exception("failed")
    (line,) = lines_in(tmp_path)
    assert "no such till" in str(line["exception"])


def test_secrets_are_taken_out_of_files_and_terminal(tmp_path: Path) -> None:
    terminal = io.StringIO()
    set_up_logs(LogSettings.model_validate({"directory": tmp_path}), terminal=terminal)
    secrets = {
        "password": "hunter2-hunter2",
        "Authorization": "Bearer abcdefgh12345678",
        "headers": {"x-api-key": "nrv_0123abcd_secretsecret", "accept": "text/html"},
        "api_key": "k-99999999",
    }
    logging.getLogger("ours").error("seen", extra={"given": secrets})
    logging.getLogger("ours").error("failed with Bearer abcdefgh12345678 and nrv_0123abcd_secretsecret")
    logging.getLogger("ours").error("lost postgresql://shop:pa55word@db:5432/shop")
    try:
        raise ValueError("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJlc2ln is old")
    except ValueError:
        logging.getLogger("ours").exception("refused")
    written = "".join(path.read_text(encoding="utf-8") for path in tmp_path.iterdir()) + terminal.getvalue()
    for secret in ("hunter2", "abcdefgh12345678", "secretsecret", "k-99999999", "pa55word", "c2lnbmF0dXJlc2ln"):
        assert secret not in written, secret
    assert "text/html" in written
    assert "db:5432" in written


def test_numbers_and_names_that_only_sound_secret_stay() -> None:
    assert redact({"token": 7, "idempotency_key": "sale-1", "monkey": "ape"}) == {
        "token": 7,
        "idempotency_key": "sale-1",
        "monkey": "ape",
    }
    assert redact({"nested": [{"secret": "x"}]}) == {"nested": [{"secret": REDACTED}]}


def test_a_day_has_a_file_and_old_days_go(tmp_path: Path) -> None:
    for day in ("2026-02-01", "2026-03-09", "2026-03-10"):
        (tmp_path / f"nervio-{day}.log").write_text("{}\n", encoding="utf-8")
    (tmp_path / "nervio-notes.log").write_text("mine", encoding="utf-8")
    handler = DailyFile(tmp_path, keep_days=2)
    for moment, text in ((1_773_187_199.0, "late"), (1_773_187_201.0, "early")):
        record = logging.LogRecord("ours", logging.INFO, __file__, 1, text, None, None)
        record.created = moment  # 2026-03-10T23:59:59Z, 2026-03-11T00:00:01Z
        handler.handle(record)
    handler.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "nervio-2026-03-09.log",
        "nervio-2026-03-10.log",
        "nervio-2026-03-11.log",
        "nervio-notes.log",
    ]
    assert (tmp_path / "nervio-2026-03-10.log").read_text(encoding="utf-8") == "{}\nlate\n"
    assert (tmp_path / "nervio-2026-03-11.log").read_text(encoding="utf-8") == "early\n"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a folder that cannot be written")
def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    handler = DailyFile(tmp_path / "logs", keep_days=2)
    handler.handle(logging.LogRecord("ours", logging.INFO, __file__, 1, "text", None, None))
