"""`nervio worker-check`: whether a worker keeps the published contract."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from nervio.runtime.cli.output import Exit, JsonFlag, console, errors, show, show_table

_WORDS = {True: "ok", False: "FAILED", None: "-"}


def worker_check(
    command: Annotated[
        list[str] | None,
        typer.Argument(
            help="After `--`: the command that starts the worker. Without it you start and stop it yourself."
        ),
    ] = None,
    broker: Annotated[
        str,
        typer.Option(envvar="NERVIO_WORKER_BROKER", help="mqtt://user:password@host:1883, for us and for the worker."),
    ] = "mqtt://127.0.0.1:1883",
    worker_id: Annotated[
        str, typer.Option(help="The id under which the worker registers. Default: one that nobody else has.")
    ] = "",
    grpc_listen: Annotated[str, typer.Option(help="host:port where results are taken; port 0: any.")] = "127.0.0.1:0",
    grpc_endpoint: Annotated[str, typer.Option(help="host:port that the worker is told. Default: the same.")] = "",
    only: Annotated[list[str], typer.Option(help="Only checks with this word in their name; may be given again.")] = [],  # noqa: B006 (Typer copies it)
    ca: Annotated[
        Path | None,
        typer.Option(
            help="PEM file: who signed the certificates; for us and for the worker. Wants --grpc-certificate."
        ),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(help="PEM file: the certificate that the worker shows, and we to the broker.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file: its key.")] = None,
    grpc_certificate: Annotated[
        Path | None, typer.Option(help="PEM file: our certificate where results are taken. Turns TLS on.")
    ] = None,
    grpc_key: Annotated[Path | None, typer.Option(help="PEM file: its key.")] = None,
    grpc_client_ca: Annotated[
        Path | None, typer.Option(help="PEM file: the worker must show a certificate that this one has signed.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Play the master against a worker in any language and check that it keeps the contract (proto/worker.proto, asyncapi.yaml).

    The worker needs one kind, `check` (docs/workers.md), and reads NERVIO_WORKER_BROKER, _PREFIX, _ID and _TOKEN, and with
    TLS _CA, _CERTIFICATE and _KEY. It is killed and stopped on the way. Exit code 4: it does not keep the contract.
    """
    # Nothing here forks with a call under way; the library would say so at every start of a worker.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
    from nervio.runtime import server
    from nervio.runtime.worker_check.run import Files, Judgement, Plan, check_worker

    def say(text: str) -> None:
        errors.print(text, markup=False)

    def note(text: str) -> None:
        if not as_json:
            errors.print(f"{text} …", style="dim", markup=False)

    files = Files(ca, certificate, key, grpc_certificate, grpc_key, grpc_client_ca)
    plan = Plan(broker, tuple(command or ()), worker_id, grpc_listen, grpc_endpoint, tuple(only), files)
    judgement: Judgement = server.run(check_worker(plan, say, note))

    def human() -> None:
        rows = [(finding.check, _WORDS[finding.passed], finding.detail) for finding in judgement.findings]
        show_table(("check", "", ""), rows)
        console.print(
            "It keeps the contract." if judgement.conforms else "IT DOES NOT KEEP THE CONTRACT.", style="bold"
        )

    show(as_json, judgement.as_dict(), human)
    if not judgement.conforms:
        raise SystemExit(int(Exit.FOUND))


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("worker-check")(worker_check)
