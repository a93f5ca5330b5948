"""What our worker does in the bench: gives the body back. Loaded by `nervio-worker --module bench.fleet.worker`."""

from nervio_worker import Job, kind


@kind("echo")
async def echo(job: Job) -> str:
    """Its argument."""
    return str(job.payload["body"])
