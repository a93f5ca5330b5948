"""`nervio-worker`: runs a worker with the kinds of a module of one's own.

# my_kinds.py
from nervio_worker import Job, kind

@kind("chat")
def chat(job: Job) -> str: ...

nervio-worker --broker mqtt://worker@broker:1883 --module my_kinds --slots 4
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from pathlib import Path

from nervio_worker.checking import CHECK
from nervio_worker.kinds import list_kinds
from nervio_worker.worker import DEFAULT_PREFIX, Options, Worker


def main(arguments: list[str] | None = None) -> None:
    """Entry point."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(level=given.log.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    sys.path.insert(0, str(Path.cwd()))
    try:
        worker = _make(given)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"nervio-worker: {error}")
    worker.run()


def _make(given: argparse.Namespace) -> Worker:
    worker = Worker(
        Options(
            broker=given.broker,
            id=given.id,
            prefix=given.prefix,
            token=given.token or None,
            ca=given.ca,
            certificate=given.certificate,
            key=given.key,
            slots=given.slots,
            credit=given.credit,
            models=tuple(given.model),
            drain_seconds=given.drain_seconds,
        )
    )
    for module in given.module:
        importlib.import_module(module)
    for kind in list_kinds():
        worker.add(kind)
    if given.check:
        worker.add(CHECK)
    elif not list_kinds():
        raise ValueError("no kinds: name a module with --module whose functions have @nervio_worker.kind(...)")
    return worker


def _parser() -> argparse.ArgumentParser:
    variable = os.environ.get
    parser = argparse.ArgumentParser(prog="nervio-worker", description="A worker for Nervio's fleet.")
    add = parser.add_argument
    add(
        "--broker",
        default=variable("NERVIO_WORKER_BROKER", "mqtt://127.0.0.1:1883"),
        help="mqtt://user:password@host:1883, or mqtts:// (variable NERVIO_WORKER_BROKER, better for the password)",
    )
    add("--module", action="append", default=[], help="module with kinds; may be given again")
    add("--id", default=variable("NERVIO_WORKER_ID", ""), help="name that stays over restarts; default: the machine's")
    add("--prefix", default=variable("NERVIO_WORKER_PREFIX", DEFAULT_PREFIX), help="the installation's topic prefix")
    add(
        "--token",
        default=variable("NERVIO_WORKER_TOKEN", ""),
        help="the master's worker token (better as the variable NERVIO_WORKER_TOKEN)",
    )
    for option, variable_name, text in (
        (
            "--ca",
            "NERVIO_WORKER_CA",
            "PEM file: who signed the certificates of broker and master; gRPC goes over TLS then",
        ),
        ("--certificate", "NERVIO_WORKER_CERTIFICATE", "PEM file: this worker's certificate, for mutual TLS"),
        ("--key", "NERVIO_WORKER_KEY", "PEM file: its key"),
    ):
        add(option, type=Path, default=variable(variable_name) or None, help=f"{text} (variable {variable_name})")
    add("--slots", type=int, default=1, help="tasks that are worked on at once")
    add("--credit", type=int, help="tasks that are held at most; default: eight a slot")
    add("--model", action="append", default=[], help="a model that it has; may be given again")
    add("--drain-seconds", type=float, default=30.0, help="how long tasks may still take after SIGTERM")
    add("--check", action="store_true", help="add the kind `check`, which `nervio worker-check` asks for")
    add("--log", default="info", choices=["debug", "info", "warning", "error"])
    return parser


if __name__ == "__main__":
    main()
