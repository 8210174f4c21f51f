"""One showing of the demo, from the empty database to the last round.

Starts a private PostgreSQL and a dev chain in this process, plays the price rounds, and after
every few of them runs the jobs as cron would. Every number in the picture is read back through
plimsoll's subcommands. The liquidator acts on what `scan-liquidations` names, so each accepted
liquidation is the contract's own word that the name was right.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

from .. import signatures as sig
from ..httpserver import listen, port_of
from ..lifetime import Lifetime
from . import guard
from .program import ROOT, Program, ProgramError, Scan
from .screen import Picture, Screen
from .story import Story

_ROUNDS_PER_RUN = 3
_LONGEST_SECONDS = 110
_DEPLOYMENT = "story"

_NEXT = """\
What next: point it at your own node. Put this into plimsoll.json,

  {{
    "database": "private",     // or {{ "url_env": "DATABASE_URL" }}
    "chains": {{
      "bsc": {{
        "chain_id": 56,
        "endpoints": [{{ "name": "primary", "url_env": "BSC_RPC_URL" }}]
      }}
    }},
    "deployments": {{
      "lista-bsc": {{
        "chain": "bsc",
        "system": "moolah",
        "address": "0x8F73b65B4caAf64FBA2aF91cC5D4a2A1318E5D8C",
        "first_block": 48172369
      }}
    }}
  }}

set BSC_RPC_URL, and run

  {binary} migrate
  {binary} consume-events; {binary} refresh-debt; {binary} scan-liquidations

crontab.example has the lines for cron."""


class Play:
    """One showing, from the first block to the last."""

    def __init__(self, story: Story, program: Program, screen: Screen, seconds: float) -> None:
        self.story = story
        self.program = program
        self.screen = screen
        self.seconds = seconds
        self.events = self.accepted = self.tried = self.compared = 0

    async def run(self) -> None:
        """Plays all rounds, pausing so that the whole takes about `seconds`."""
        rounds = self.story.rounds
        loop = asyncio.get_running_loop()
        start = loop.time()
        for index, entry in enumerate(rounds):
            self.story.play(entry)
            if index % _ROUNDS_PER_RUN and index + 1 < len(rounds):
                continue
            if loop.time() - start > _LONGEST_SECONDS:
                self.screen.say("The machine is busy: the story ends early.")
                return
            await self._run_jobs()
            due = start + self.seconds * (index + 1) / len(rounds)
            await asyncio.sleep(max(0.05, due - loop.time()))

    async def _run_jobs(self) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        consumed = await self.program.run("consume-events")
        await self.program.run("refresh-debt")
        scan = await self.program.scan()
        milliseconds = round(1000 * (loop.time() - start))
        positions = await self.program.positions()
        head = self.story.chain.head
        agreeing = self._compare(scan, head.number)
        self.events += consumed["counters"].get("applied", 0)
        self.screen.show(
            Picture(
                head.timestamp,
                positions,
                scan.candidates,
                scan.counters,
                self.events,
                milliseconds,
                self.story.prices,
                self.accepted,
                agreeing,
            )
        )
        self._liquidate(scan)

    def _compare(self, scan: Scan, block: int) -> int:
        """Asks the contract about every position; any disagreement ends the demo."""
        verdicts = self.story.contract_verdicts(block)
        named = {(line.market, line.user) for line in scan.candidates}
        liquidatable = {key for key, sunk in verdicts.items() if sunk}
        if named != liquidatable or scan.counters.get("positions") != len(verdicts):
            missing, extra = len(liquidatable - named), len(named - liquidatable)
            raise ProgramError(
                f"block {block}: the contract disagrees ({missing} missing, {extra} too many, "
                f"{scan.counters.get('positions')} of {len(verdicts)} positions)"
            )
        self.compared += len(verdicts)
        return len(verdicts)

    def _liquidate(self, scan: Scan) -> None:
        """Takes about a third of what was named; the rest stays to be seen."""
        some = self.story.rng.sample(scan.candidates, -(-len(scan.candidates) // 3))
        accepted, tried = self.story.liquidate([(line.market, line.user) for line in some])
        self.accepted, self.tried = self.accepted + accepted, self.tried + tried

    def summary(self) -> str:
        """What the showing has shown."""
        average = 1000 * self.program.seconds / max(1, self.program.calls)
        return (
            f"{len(self.story.rounds)} price rounds, {self.program.calls} runs of plimsoll "
            f"({average:.0f} ms each). The contract was asked for {self.compared:,} verdicts and "
            f"agreed with every one;\nit accepted {self.accepted} of {self.tried} liquidations "
            "of positions that plimsoll had named."
        )


def configuration(folder: Path, rpc: str, story: Story) -> Path:
    """Writes the demo's plimsoll.json."""
    path = folder / "plimsoll.json"
    content = {
        "database": "private",
        "private_directory": "database",
        "chains": {
            "demo": {
                "chain_id": story.chain.chain_id,
                "endpoints": [{"name": "story", "url": rpc}],
                "multicall": sig.MULTICALL3_ADDRESS,
                # The story is older than the machine's clock.
                "max_head_age_seconds": 0,
            }
        },
        "deployments": {
            _DEPLOYMENT: {
                "chain": "demo",
                "system": "moolah",
                "address": story.world.core,
                "first_block": story.world.first_block,
            }
        },
    }
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path


async def show(seed: int, seconds: float, binary: Path, folder: Path) -> int:
    """The whole demo in `folder`; returns the exit code."""
    lifetime = Lifetime()
    over = asyncio.create_task(lifetime.until_over(watch_stdin=False))
    story = Story(seed)
    server = await listen(story.node.handle, 0)
    settings = configuration(folder, f"http://127.0.0.1:{port_of(server)}", story)
    watcher = guard.start(binary, settings, folder)
    screen = Screen(story.world.markets)
    showing = asyncio.create_task(_show(story, Program(binary, settings), screen, seconds))
    try:
        await asyncio.wait([over, showing], return_when=asyncio.FIRST_COMPLETED)
        if showing.done():
            return showing.result()
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)
        return 128 + (lifetime.received or signal.SIGTERM)
    finally:
        screen.close()
        server.close()
        guard.finish(watcher)


async def _show(story: Story, program: Program, screen: Screen, seconds: float) -> int:
    screen.say("Starting a private PostgreSQL and bringing up the schema …")
    play = Play(story, program, screen, seconds)
    try:
        await program.command("dev", "start")
        await program.command("migrate")
        await play.run()
    except (ProgramError, TimeoutError) as error:
        screen.close()
        print(f"demo: {error}", file=sys.stderr)
        return 70
    screen.close()
    screen.say(play.summary() + "\n")
    screen.say(_NEXT.format(binary=_shown(program.binary)))
    return 0


def _shown(binary: Path) -> str:
    return str(binary.relative_to(ROOT)) if binary.is_relative_to(ROOT) else str(binary)
