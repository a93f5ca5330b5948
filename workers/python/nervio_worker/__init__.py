"""A worker for Nervio's fleet, in Python: a function and a kind of task.

    from nervio_worker import Job, Options, Worker

    worker = Worker(Options("mqtt://worker:secret@broker:1883", id="gpu-1", token="…"))

    @worker.kind("chat")
    async def chat(job: Job) -> dict[str, str]:
        await job.emit("Hel")
        return {"text": "Hello"}

    worker.run()

It registers whichever starts first, holds no more tasks than it said, keeps each result until the master has said what became
of it, and on SIGTERM finishes or hands back what it has.
"""

from nervio_worker.desk import Kind
from nervio_worker.jobs import Answer, Job, TaskFailed
from nervio_worker.kinds import kind
from nervio_worker.worker import VERSION, Options, Worker

__all__ = ["Answer", "Job", "Kind", "Options", "TaskFailed", "Worker", "kind"]
__version__ = VERSION
