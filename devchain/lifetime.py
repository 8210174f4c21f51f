"""Ends a server with its parent, whatever way the parent ends.

Two signs are watched: the parent's process id changes (it died, kill -9 included), and standard
input, when it is a pipe, reaches its end. Neither needs help from the parent.
"""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from collections.abc import Callable

_POLL_SECONDS = 0.25
_LINE_LIMIT = 1 << 24


class Lifetime:
    """Make it before telling anyone that the server is there, so that no signal is missed."""

    def __init__(self) -> None:
        self._parent = os.getppid()
        self._over = asyncio.Event()
        self.received: signal.Signals | None = None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._receive, number)

    def _receive(self, number: signal.Signals) -> None:
        self.received = number
        self._over.set()

    def end(self) -> None:
        """Ends it from within."""
        self._over.set()

    async def until_over(
        self, on_line: Callable[[str], None] | None = None, *, watch_stdin: bool = True
    ) -> None:
        """Returns when the parent is gone, standard input has ended, or SIGTERM or SIGINT came.

        `on_line` gets each line of standard input, for programs that take commands there.
        """
        watchers = [asyncio.create_task(self._watch_parent())]
        if on_line or (watch_stdin and _is_pipe(sys.stdin.fileno())):
            watchers.append(asyncio.create_task(self._watch_stdin(on_line)))
        await self._over.wait()
        for task in watchers:
            task.cancel()

    async def _watch_parent(self) -> None:
        while os.getppid() == self._parent:
            await asyncio.sleep(_POLL_SECONDS)
        self._over.set()

    async def _watch_stdin(self, on_line: Callable[[str], None] | None) -> None:
        reader = asyncio.StreamReader(limit=_LINE_LIMIT)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            if on_line:
                on_line(line.decode())
        self._over.set()


def _is_pipe(descriptor: int) -> bool:
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
