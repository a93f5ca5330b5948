"""LiteLLM as a client of models. Run by the Python that it is installed in, not by ours; knows nothing of this project.

python -m bench.fleet.calling_litellm URL KEY
"""

import asyncio
import sys
import time

_began = time.perf_counter()

import litellm  # noqa: E402 (how long importing takes is measured)

_import_seconds = time.perf_counter() - _began

from bench.fleet.calling import LONG_QUESTION, MODEL, QUESTION, serve  # noqa: E402


async def main(url: str, key: str) -> None:
    """Calls until its lines end."""
    where = {"model": f"openai/{MODEL}", "api_base": url, "api_key": key}

    async def call(streams: bool) -> str:
        messages = [{"role": "user", "content": LONG_QUESTION if streams else QUESTION}]
        if not streams:
            answer = await litellm.acompletion(messages=messages, **where)
            return str(answer.choices[0].message.content)
        # Ours asks for the use too.
        options = {"stream": True, "stream_options": {"include_usage": True}}
        parts = await litellm.acompletion(messages=messages, **where, **options)
        return "".join([part.choices[0].delta.content or "" async for part in parts if part.choices])

    await serve(_import_seconds, call)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
