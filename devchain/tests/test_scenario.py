"""The scenario: every event happens, its truth is coherent, and it obeys its line protocol."""

from __future__ import annotations

import json
import subprocess
import sys
import unittest
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from devchain.scenario import Scenario

ROOT = Path(__file__).parents[2]


class StoryTests(unittest.TestCase):
    def test_every_event_happens_within_two_hundred_steps(self) -> None:
        for shape in ("moolah", "morpho"):
            for seed in (1, 2):
                scenario = Scenario(seed, shape)
                scenario.perform({"do": "advance", "steps": 200})
                with self.subTest(shape=shape, seed=seed):
                    self.assertEqual(scenario._missing_events(), set())

    def test_liquidations_come_with_and_without_bad_debt(self) -> None:
        scenario = Scenario(4)
        scenario.perform({"do": "advance", "steps": 250})
        topic = "0xa4946ede45d0c6f06a0f5ce92c9ad3b4751452d2fe0e25010783bcab57a67e41"
        bad_debts = [
            int(entry["data"][-64:], 16) > 0
            for block in scenario.chain.blocks
            for entry in block.logs
            if entry["topics"][0] == topic
        ]
        self.assertIn(True, bad_debts)
        self.assertIn(False, bad_debts)

    def test_the_same_seed_tells_the_same_story(self) -> None:
        commands: list[dict[str, Any]] = [
            {"do": "advance", "steps": 15},
            {"do": "reorg", "depth": 4, "keep": True, "delay": 1},
            {"do": "advance", "steps": 10},
        ]
        told = []
        for _ in range(2):
            scenario = Scenario(9)
            told.append([scenario.perform(dict(command)) for command in commands])
        self.assertEqual(told[0], told[1])

    def test_verdicts_agree_with_simulated_liquidations(self) -> None:
        reasons_to_fail = {
            "not liquidation whitelist", "0xd93c0665", "invalid resilient oracle price",
        }  # fmt: skip
        compared = liquidatable = 0
        for seed in (1, 2):
            scenario = Scenario(seed)
            for _ in range(60):
                scenario.perform({"do": "advance", "steps": 3})
                for market in scenario.truth()["markets"]:
                    for position in market["positions"]:
                        if "healthy" not in position or market["price"] in (None, "0"):
                            continue
                        outcome = position["liquidation"]
                        if outcome["error"] in reasons_to_fail:
                            continue
                        self.assertEqual(position["healthy"], not outcome["succeeds"], position)
                        compared += 1
                        liquidatable += outcome["succeeds"]
        self.assertGreater(compared, 500)
        self.assertGreater(liquidatable, 20)


class ProtocolTests(unittest.TestCase):
    def setUp(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "devchain.scenario", "--seed", "3"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self.process.communicate)
        assert self.process.stdout
        self.start = json.loads(self.process.stdout.readline())

    def command(self, **wanted: Any) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(wanted) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def rpc(self, method: str, *params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        with urllib.request.urlopen(self.start["rpc"], body.encode(), timeout=5) as answer:
            return json.load(answer)

    def test_a_whole_conversation(self) -> None:
        self.assertEqual(self.rpc("eth_chainId")["result"], hex(self.start["chain_id"]))
        advanced = self.command(do="advance", steps=10)
        self.assertTrue(advanced["ok"])
        self.assertEqual(self.rpc("eth_blockNumber")["result"], hex(advanced["head"]))
        reorganised = self.command(do="reorg", depth=3, keep=False)
        self.assertEqual(reorganised["head"], advanced["head"] + 1)
        truth = self.command(do="truth", block=self.start["head"])
        self.assertEqual(truth["hash"], self.start["hash"])
        self.command(do="fault", method="eth_chainId", status=503)
        with self.assertRaises(urllib.error.HTTPError):
            self.rpc("eth_chainId")
        self.assertFalse(self.command(do="reorg", depth=10_000)["ok"])
        self.assertFalse(self.command(do="sing")["ok"])
        self.assertTrue(self.command(do="stop")["ok"])
        self.assertEqual(self.process.wait(5), 0)


if __name__ == "__main__":
    unittest.main()
