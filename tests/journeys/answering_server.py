"""`nervio up` whose own worker answers questions, for journeys in a browser.

    python -m tests.journeys.answering_server --port PORT

A question is answered after a moment, so that its page is seen before and after; one that holds the word `nunca` is never. One
that holds the word `contá` is answered in numbers from one to a hundred, twenty a second.
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import replace

from nervio.adapters.clock import SystemClock
from nervio.adapters.workers.local import LocalWorkers
from nervio.modules.fleet.api import Dispatcher
from nervio.ports.workers import Answer, Job
from nervio.runtime import server
from nervio.runtime.logs import set_up_logs
from nervio.runtime.roles import ROLES
from nervio.runtime.settings import load_settings
from nervio.runtime.wiring import App

WORKER = "ayudante"
MOMENT_SECONDS = 1.5
NEVER_SECONDS = 3600.0
COUNTED = 100


async def answer(job: Job) -> Answer:
    """Says the question again."""
    question: str = job.payload["messages"][-1]["content"]
    if "contá" in question:
        return await count(job)
    await asyncio.sleep(NEVER_SECONDS if "nunca" in question else MOMENT_SECONDS)
    return Answer({"text": f"Eso se responde así: {question}"}, {"input_tokens": 12, "output_tokens": 34})


async def count(job: Job) -> Answer:
    """Counts, number by number."""
    for n in range(1, COUNTED + 1):
        job.emit(f"{n} ")
        await asyncio.sleep(0.05)
    return Answer({"text": " ".join(map(str, range(1, COUNTED + 1)))}, {"output_tokens": COUNTED})


class AnsweringApp(App):
    """The program with a worker of the kind `chat`."""

    def make_dispatcher(self) -> Dispatcher:
        """What hands out AI work, with that worker."""
        workers = LocalWorkers(WORKER, {"chat": answer})
        workers.profile = replace(workers.profile, version="1.0")
        find = self.halt_watch.find_blocking_effect
        return Dispatcher(self.system_ctx(), self.process_id, [workers], self.settings.fleet, find, self.drafts)


def main() -> None:
    """Serves until it is told to end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    settings = load_settings(server={"port": parser.parse_args().port})
    set_up_logs(settings.log)
    app = AnsweringApp(settings, SystemClock())
    app.on_first_login = lambda first: print("Password", first.password, flush=True)  # noqa: T201 (the test reads it)
    server.run(server.serve(app, list(ROLES)))


if __name__ == "__main__":
    main()
