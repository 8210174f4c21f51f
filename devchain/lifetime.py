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


async def until_over(
    *, watch_stdin: bool = True, on_line: Callable[[str], None] | None = None
) -> None:
    """Returns when the parent is gone, standard input has ended, or SIGTERM or SIGINT came.

    `on_line` gets each line of standard input, for programs that take commands there.
    """
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    watchers = [asyncio.create_task(_watch_parent(over))]
    if watch_stdin and (on_line or _is_pipe(sys.stdin.fileno())):
        watchers.append(asyncio.create_task(_watch_stdin(over, on_line)))
    await over.wait()
    for task in watchers:
        task.cancel()


async def _watch_parent(over: asyncio.Event) -> None:
    parent = os.getppid()
    while os.getppid() == parent:
        await asyncio.sleep(_POLL_SECONDS)
    over.set()


async def _watch_stdin(over: asyncio.Event, on_line: Callable[[str], None] | None) -> None:
    reader = asyncio.StreamReader(limit=1 << 24)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        if on_line:
            on_line(line.decode())
    over.set()


def _is_pipe(descriptor: int) -> bool:
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
