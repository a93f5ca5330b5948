"""Our client of models, as the program makes it, with its price looked up and what was used counted.

python -m bench.fleet.calling_ours URL KEY
"""

import asyncio
import sys
import time

_began = time.perf_counter()

from nervio.adapters.clock import SystemClock  # noqa: E402 (how long importing takes is measured)
from nervio.adapters.models.failures import Settings  # noqa: E402
from nervio.adapters.models.openai_compatible import OpenAICompatible, Provider  # noqa: E402
from nervio.adapters.models.quirks import QUIRKS  # noqa: E402
from nervio.ports.models import Ability, ChatRequest, Message, Role, Text  # noqa: E402

_import_seconds = time.perf_counter() - _began

from bench.fleet.calling import LONG_QUESTION, MODEL, QUESTION, serve  # noqa: E402


async def main(url: str, key: str) -> None:
    """Calls until its lines end."""
    settings = Settings("peer", "BASE_URL", "API_KEY", "{ability}_MODELS", key)
    models = {Ability.CHAT: (MODEL,)}
    client = OpenAICompatible(
        Provider("peer", "openai", QUIRKS["openai"], settings, url, models, allow_private=True), SystemClock()
    )

    async def call(streams: bool) -> str:
        request = ChatRequest((Message(Role.USER, (Text(LONG_QUESTION if streams else QUESTION),)),))
        if not streams:
            return (await client.chat(request)).text
        parts: list[str] = []
        await client.chat(request, parts.append)
        return "".join(parts)

    await serve(_import_seconds, call)
    await client.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
