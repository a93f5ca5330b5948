"""What our worker does in the bench: gives the body back, or makes an answer in parts. Loaded by `nervio-worker --module bench.fleet.worker`."""

from nervio_worker import Job, kind


@kind("echo")
async def echo(job: Job) -> str:
    """Its argument."""
    return str(job.payload["body"])


@kind("stream")
async def stream(job: Job) -> str:
    """A text as often as there are to be parts, each shown as it is made."""
    for _ in range(job.payload["parts"]):
        await job.emit(job.payload["text"])
    return str(job.payload["text"] * job.payload["parts"])
