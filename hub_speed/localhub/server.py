"""The web server: uvicorn, which ends as soon as it is told to."""

import asyncio
import socket
from contextlib import suppress

import uvicorn

TICK_S = 1.0  # uvicorn writes the time of day into its answers' headers as often


class Server(uvicorn.Server):
    """Uvicorn looks ten times a second whether it shall end, and then waits another tenth: too long for a command."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = asyncio.Event()

    def end(self) -> None:
        """Finish the requests that are being answered, then stop serving; called from another thread."""
        self.should_exit = True
        if self._loop:
            with suppress(RuntimeError):  # it has just ended
                self._loop.call_soon_threadsafe(self._told.set)

    async def main_loop(self) -> None:
        """Serve until `end`."""
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), TICK_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, and close the connections; uvicorn itself waits for requests that are being answered."""
        if self.server_state.tasks:
            return await super().shutdown(sockets)
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while self.server_state.connections:  # the last bytes of an answer are on their way
                    await asyncio.sleep(0.001)
