"""A provider of models on this machine that speaks like OpenAI, so that its processor time is nobody's: prints its address.

python -m bench.fleet.provider_server
"""

import asyncio
import json
import sys

from tests.model_peer import a_provider


async def main() -> None:
    """Answers until its input ends."""
    async with a_provider() as peer:
        print(json.dumps({"url": peer.url}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
