"""A seeded story of random transactions on a dev chain, and its exact truth at any block.

    python -m devchain.scenario --seed 7 [--shape moolah|morpho] [--port 0] [--chain-id 31337]

A long-lived process with a line protocol: one JSON object a line. The first line it prints says
where it listens (the story's contracts are deployed by then, but no market has seen a user):

    {"rpc": "http://127.0.0.1:41234", "core": "0x…", "shape": "moolah", "chain_id": 31337,
     "first_block": 1, "head": 31, "multicall": "0xca11…", "seed": 7}

Then each line on standard input is a command and gets one line back, `{"ok": true, …}` or
`{"ok": false, "error": "…"}`:

    {"do": "advance", "steps": 20}         one block or more a step; answers head, hash, and how
                                           many events of each kind the current chain holds
    {"do": "reorg", "depth": 5, "keep": true, "delay": 0}
                                           replaces the last 5 blocks by 6 others; with `keep` the
                                           transactions come back, `delay` blocks later
    {"do": "truth", "block": 40, "timestamp": 1700000400}
                                           every market and position as the contracts tell them
                                           (both default: the head, and the block's own time);
                                           see `truth.py`
    {"do": "mine", "count": 3, "seconds": 12}   empty blocks
    {"do": "deploy", "contract": "Feed", "types": "int256,int192,int192", "arguments": [1, 0, 9]}
                                           a contract of `contracts/`, in a block of its own;
                                           answers its address
    {"do": "send", "to": "0x…", "signature": "setAnswer(int256)", "arguments": [2], "seconds": 12}
                                           one call by the owner, in a block of its own
    {"do": "parts"}                        the oracle and the tokens by symbol
    {"do": "market", …}                    and others that set up a told story: see `stage.py`
    {"do": "fault", …}                     as `dev_fault` (see faults.py), without the "do"
    {"do": "limits", "range": 100}         as `dev_limits`
    {"do": "rpc", "method": "…", "params": […]}     any JSON-RPC method, past all faults
    {"do": "stop"}

The process ends with its standard input, its parent, or SIGTERM. The same seed and the same
commands give the same chain, hash for hash.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections import Counter
from typing import Any

from . import signatures as sig
from .abi import topic
from .actions import ACTIONS, LLTVS, Action, Actions
from .chain import Chain
from .httpserver import listen, port_of
from .jsonrpc import RpcError
from .lifetime import Lifetime
from .node import DevNode
from .stage import Stage
from .truth import truth
from .world import DOLLAR, PLENTY, World

_TOKENS = (
    ("USDX", 6, 1),
    ("DAIX", 18, 1),
    ("WETHX", 18, 1_850),
    ("BTCX", 8, 29_000),
    ("BNBX", 18, 240),
)
_MARKETS = (
    ("DAIX", "WETHX", "adaptive", 860),
    ("USDX", "WETHX", "adaptive", 800),
    ("DAIX", "BTCX", "fixed", 915),
    ("USDX", "BTCX", "adaptive", 860),
    ("WETHX", "BNBX", "none", 700),
    ("BTCX", "USDX", "fixed", 750),
)
_BROKERED = ("USDX", "BNBX", "fixed", 860)
_STEP_SECONDS = (0, 0, 0, 1, 3, 12, 12, 60, 600, 3_600, 43_200, 200_000)
_TOPIC_NAMES = {topic(signature): name for name, signature in sig.EVENTS.items()}


class Scenario:
    """One story: a world, its cast, and the dice."""

    def __init__(self, seed: int, shape: str = "moolah", chain_id: int = 31337) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.chain = Chain(chain_id)
        self.world = World(self.chain, shape)
        self.node = DevNode(self.chain)
        self._counts: dict[str, Counter[str]] = {}
        self.actions = Actions(self.world, self.rng)
        self.stage = Stage(self.world)
        self.set_up()
        self.first_step = self.chain.head.number + 1

    # MARK: the beginning

    def set_up(self) -> None:
        """Tokens, prices, permissions and the first markets."""
        world, actions = self.world, self.actions
        for symbol, decimals, dollars in _TOKENS:
            world.add_token(symbol, decimals, dollars)
            actions.start_prices[symbol] = actions.dollars[symbol] = dollars * DOLLAR
        tokens = list(world.tokens.values())
        if not world.is_moolah:
            for loan in tokens:
                for collateral in tokens:
                    if loan != collateral:
                        world.add_pair_oracle(collateral, loan, 10**36)
            world.set_pair_prices(actions.dollars)
        world.fund([*actions.users, *actions.lenders, actions.liquidator], tokens)
        self._permit()
        for parts in _MARKETS:
            self._create(*parts)
        if world.is_moolah:
            self._create_brokered()
        self.chain.mine()

    def _permit(self) -> None:
        world = self.world
        models = {world.adaptive_irm, "0x" + "00" * 20}
        if world.is_moolah:
            models.add(world.fixed_irm)
            world.send(world.owner, world.core, "setDefaultMarketFee(uint256)", 5 * 10**16)
        for model in sorted(models):
            world.send(world.owner, world.core, "enableIrm(address)", model)
        for lltv in LLTVS:
            world.send(world.owner, world.core, "enableLltv(uint256)", lltv)
        recipient = self.actions.fee_recipients[0]
        world.send(world.owner, world.core, "setFeeRecipient(address)", recipient)
        self.chain.mine()

    def _create(self, loan: str, collateral: str, rate_kind: str, thousandth: int):
        world = self.world
        kind = rate_kind if world.is_moolah or rate_kind != "fixed" else "adaptive"
        market = world.market_info(
            world.tokens[loan], world.tokens[collateral], kind, thousandth * 10**15
        )
        world.remember(market)
        if kind == "fixed":
            rate = 3 * 10**16 // 31_536_000
            world.send(
                world.owner, world.fixed_irm, "setBorrowRate(bytes32,int256)", market.id, rate
            )
        world.send(world.owner, world.core, sig.CREATE_MARKET, market.params)
        return market

    def _create_brokered(self) -> None:
        world, actions = self.world, self.actions
        broker = world.deploy("Broker", "address,address", world.core, world.oracle)
        market = self._create(*_BROKERED)
        world.send(
            world.owner,
            world.core,
            "setMarketBroker(bytes32,address,bool)",
            market.id,
            broker,
            True,
        )
        world.send(world.owner, broker, f"setMarket({sig.PARAMS})", market.params)
        lender, token = actions.lenders[0], market.loan
        world.send(
            lender, world.core, sig.SUPPLY, market.params, token.units(5_000_000), 0, lender, b""
        )
        for user in actions.users:
            world.send(user, token.address, "approve(address,uint256)", broker, PLENTY)
        actions.brokered, actions.broker = market, broker

    # MARK: going on

    def step(self) -> None:
        """One block with one to four actions, at a time that may equal the last block's."""
        self.actions.now = self.chain.head.timestamp + self.rng.choice(_STEP_SECONDS)
        self._recover()
        for _ in range(self.rng.randrange(1, 5)):
            self._act()
        self.chain.set_next_timestamp(max(self.actions.now, self.chain.head.timestamp))
        self.chain.mine()

    def _act(self) -> None:
        missing = self._missing_events()
        wanted = [entry for entry in self._possible() if missing & set(entry.events)]
        pool = wanted if wanted and self.rng.random() < 0.35 else self._possible()
        for _ in range(4):
            chosen = self.rng.choices(pool, [entry.weight for entry in pool])[0]
            if getattr(self.actions, chosen.name)():
                return

    def _possible(self) -> list[Action]:
        return [entry for entry in ACTIONS if self.world.shape in entry.shapes]

    def _recover(self) -> None:
        """Ends most disturbances after a step or two, by what the chain says of them."""
        if self.rng.random() < 0.6:
            self.actions.unpause_if_paused()
        if self.rng.random() < 0.4:
            self.actions.repair_oracles()
        if self.rng.random() < 0.3:
            self.actions.shorten_whitelists()

    def event_counts(self) -> Counter[str]:
        """How many events of each kind the current chain holds."""
        blocks, known = self.chain.blocks, len(self.chain.blocks)
        while known and blocks[known - 1].hash not in self._counts:
            known -= 1
        counts = self._counts[blocks[known - 1].hash] if known else Counter()
        for block in blocks[known:]:
            names = (_TOPIC_NAMES.get(entry["topics"][0]) for entry in block.logs)
            counts = counts + Counter(name for name in names if name)
            self._counts[block.hash] = counts
        return counts

    def _missing_events(self) -> set[str]:
        possible = {name for entry in self._possible() for name in entry.events}
        return possible - set(self.event_counts())

    # MARK: commands

    def perform(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carries out one command of the line protocol."""
        name = command.pop("do", None)
        match name:
            case "advance":
                for _ in range(int(command.get("steps", 1))):
                    self.step()
                return self._head() | {"events": dict(self.event_counts())}
            case "mine":
                return self._mine(int(command.get("count", 1)), int(command.get("seconds", 1)))
            case "reorg":
                return self._reorg(**command)
            case "truth":
                return self.truth(command.get("block"), command.get("timestamp"))
            case "deploy":
                types, arguments = command.get("types", ""), command.get("arguments", [])
                address = self.world.deploy(command["contract"], types, *arguments)
                return self._head() | {"address": address}
            case "send":
                return self._send(**command)
            case "parts":
                tokens = {token.symbol: token.address for token in self.world.tokens.values()}
                return {"oracle": self.world.oracle, "tokens": tokens}
            case "fault":
                return {"waiting": self.node.plan.add(command)}
            case "limits":
                return {"set": self.node.set_limits(command)}
            case "rpc":
                method = self.node.methods[command["method"]]
                return {"result": method(*command.get("params", []))}
            case "stop":
                return {}
            case _ if name in self.stage.commands:
                return self.stage.commands[name](**command) | self._head()
        raise ValueError(f"unknown command {name!r}")

    def _mine(self, count: int, seconds: int) -> dict[str, Any]:
        for _ in range(count):
            self.chain.set_next_timestamp(self.chain.head.timestamp + seconds)
            self.chain.mine()
        return self._head()

    def _send(
        self, to: str, signature: str, arguments: list[Any] | None = None, seconds: int = 12
    ) -> dict[str, Any]:
        item = self.world.send(self.world.owner, to, signature, *(arguments or []))
        self._mine(1, seconds)
        if self.world.receipt(item)["status"] != "0x1":
            raise ValueError(f"{signature} reverted")
        return self._head()

    def _reorg(self, depth: int, keep: bool = True, delay: int = 0) -> dict[str, Any]:
        deepest = self.chain.head.number - self.first_step + 1
        if not 0 < depth <= deepest:
            raise ValueError(f"depth {depth} is outside 1...{deepest}")
        done = self.chain.reorg(depth, keep=keep, delay=delay)
        return self._head() | {"first_block": done.first_block, "dropped": len(done.dropped)}

    def truth(self, block: int | None = None, timestamp: int | None = None) -> dict[str, Any]:
        """The contracts' own words at a block, default the head."""
        head = self.chain.head.number
        return truth(
            self.world,
            self.actions.everyone,
            self.actions.liquidator,
            head if block is None else block,
            timestamp,
        )

    def _head(self) -> dict[str, Any]:
        head = self.chain.head
        return {"head": head.number, "hash": head.hash, "timestamp": head.timestamp}

    def introduction(self, port: int) -> dict[str, Any]:
        """The first line that the process prints."""
        return {
            "rpc": f"http://127.0.0.1:{port}",
            "core": self.world.core,
            "shape": self.world.shape,
            "chain_id": self.chain.chain_id,
            "first_block": self.world.first_block,
            "multicall": sig.MULTICALL3_ADDRESS,
            "seed": self.seed,
        } | self._head()


async def run(scenario: Scenario, port: int) -> None:
    """Serves JSON-RPC and obeys standard input until it ends."""
    lifetime = Lifetime()
    server = await listen(scenario.node.handle, port)
    _tell(scenario.introduction(port_of(server)))

    def obey(line: str) -> None:
        try:
            command = json.loads(line)
            stopping = command.get("do") == "stop"
            _tell({"ok": True} | scenario.perform(command))
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RpcError) as error:
            stopping = False
            _tell({"ok": False, "error": f"{type(error).__name__}: {error}"})
        if stopping:
            lifetime.end()

    await lifetime.until_over(obey)
    server.close()


def _tell(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="devchain.scenario", description="a seeded story of random transactions"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shape", choices=("moolah", "morpho"), default="moolah")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--chain-id", type=int, default=31337)
    options = parser.parse_args()
    scenario = Scenario(options.seed, options.shape, options.chain_id)
    asyncio.run(run(scenario, options.port))


if __name__ == "__main__":
    main()
