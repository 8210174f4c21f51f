"""Serves a recording: python -m devchain.recorded FILE [--port 0] [--head B] [--speed N] …

Prints one JSON line with the port, then serves until its parent ends, its standard input (when
a pipe) ends, or SIGTERM comes. The switches over JSON-RPC are in `node.py` and `../faults.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path

from ..faults import Limits
from ..httpserver import listen, port_of
from ..lifetime import Lifetime
from .node import RecordedNode
from .recording import load


async def serve(node: RecordedNode, host: str, port: int, blocks_per_second: float) -> None:
    """Serves until the parent ends, moving the head by the clock when asked to."""
    lifetime = Lifetime()
    server = await listen(node.handle, port, host)
    print(json.dumps(_introduction(node, port_of(server))), flush=True)
    mover = None
    if blocks_per_second:
        mover = asyncio.create_task(_move_head(node, blocks_per_second))
    await lifetime.until_over()
    if mover:
        mover.cancel()
    server.close()


def _introduction(node: RecordedNode, port: int) -> dict[str, object]:
    return {
        "listening": port,
        "rpc": f"http://127.0.0.1:{port}",
        "kind": node.recording.kind,
        "chain_id": node.chain_id,
        "core": node.recording.core,
        "first_block": node.recording.first_block,
        "head": node.head,
        "last": node.last,
        "logs": len(node.recording.logs),
    }


async def _move_head(node: RecordedNode, blocks_per_second: float) -> None:
    loop = asyncio.get_running_loop()
    start, moved = loop.time(), 0
    while True:
        await asyncio.sleep(min(0.05, 1 / blocks_per_second))
        due = int((loop.time() - start) * blocks_per_second)
        node.head, moved = min(node.last, node.head + due - moved), due


def main() -> None:
    parser = argparse.ArgumentParser(prog="devchain.recorded", description=__doc__.split("\n")[0])
    parser.add_argument("recording", type=Path)
    parser.add_argument("--port", type=int, default=8545, help="0 picks a free one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--head", type=int, help="the first visible head (default: the end)")
    parser.add_argument("--speed", type=float, default=0, help="blocks a second the head moves")
    parser.add_argument("--finality", type=int, default=2, help="safe and finalized lag by this")
    parser.add_argument("--chain-id", type=int)
    parser.add_argument("--no-log-timestamp", action="store_true")
    parser.add_argument("--range", type=int, default=0, help="most blocks of an eth_getLogs")
    parser.add_argument("--logs", type=int, default=0, help="most logs of an eth_getLogs")
    options = parser.parse_args()
    node = RecordedNode(
        load(options.recording),
        head=options.head,
        finality=options.finality,
        chain_id=options.chain_id,
        log_timestamps=not options.no_log_timestamp,
    )
    node.limits = Limits(options.range, options.logs)
    asyncio.run(serve(node, options.host, options.port, options.speed))


if __name__ == "__main__":
    main()
