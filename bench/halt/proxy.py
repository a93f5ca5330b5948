"""A line to the database that can be made to hang, as a cable that is pulled does: nothing is closed, nothing answers."""

import asyncio
import contextlib


class Line:
    """Forwards a local port to a server until it hangs."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listens; returns the port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def hang(self) -> None:
        """From now on nothing comes through."""
        self._flowing.clear()

    async def close(self) -> None:
        """Lets go of everything."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there, back = await asyncio.open_connection(self._host, self._port)
            for source, target in ((reader, back), (there, writer)):
                task = asyncio.create_task(self._pump(source, target))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                await self._flowing.wait()
                target.write(data)
                await target.drain()
        except OSError:
            pass
        finally:
            target.close()
