"""The fault proxy: what it spoils, when, and what it counts."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import subprocess
import sys
import unittest
import urllib.request
from pathlib import Path
from typing import Any, ClassVar

from devchain.faultproxy import Door, Entry, Proxy
from devchain.httpserver import listen, port_of
from devchain.node import DevNode
from devchain.scenario import Scenario
from devchain.spoilers import FAULTS

ROOT = Path(__file__).parents[2]


def call(number: int, method: str, *parameters: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}


def _is_whole(received: bytes) -> bool:
    """Whether all of the stated length has come."""
    head, _, body = received.partition(b"\r\n\r\n")
    stated = re.search(rb"(?i)content-length: (\d+)", head)
    return bool(stated) and len(body) >= int(stated[1])


class ProxyTests(unittest.IsolatedAsyncioTestCase):
    scenario: ClassVar[Scenario]
    head: ClassVar[int]

    @classmethod
    def setUpClass(cls) -> None:
        cls.scenario = Scenario(3)
        for _ in range(12):
            cls.scenario.step()
        # An empty block at the end, for what lies about blooms.
        cls.scenario.chain.mine()
        cls.head = cls.scenario.chain.head.number

    async def asyncSetUp(self) -> None:
        self.server = await listen(DevNode(self.scenario.chain).handle, 0)
        self.proxy = Proxy([f"http://127.0.0.1:{port_of(self.server)}"] * 2)
        self.proxy.doors = [Door(self.proxy, number) for number in range(2)]
        for door in self.proxy.doors:
            await door.open()
        core = self.scenario.world.core
        self.logs = {"fromBlock": "0x0", "toBlock": hex(self.head)}
        self.batch = [
            call(1, "eth_chainId"),
            call(2, "eth_getBlockByNumber", "0x0", False),
            call(3, "eth_getBlockByNumber", hex(self.head), False),
            call(4, "eth_getLogs", self.logs | {"address": [core]}),
        ]
        self.truth = await self.post(self.batch)

    async def asyncTearDown(self) -> None:
        self.proxy.close()
        self.server.close()
        await asyncio.sleep(0)

    async def exchange(self, body: Any, door: int = 0) -> bytes:
        """One answer, or what a door sends until it closes or falls silent."""
        port = self.proxy.doors[door].port
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
        text = json.dumps(body).encode()
        writer.write(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
        received = b""
        try:
            while not _is_whole(received):
                chunk = await asyncio.wait_for(reader.read(1 << 20), 0.3)
                received += chunk
                if not chunk:
                    break
        except (TimeoutError, ConnectionResetError):
            pass
        writer.close()
        return received

    async def post(self, body: Any, door: int = 0) -> Any:
        """The parsed answer."""
        text = (await self.exchange(body, door)).partition(b"\r\n\r\n")[2]
        return json.loads(text)

    def plan(self, *faults: dict[str, Any]) -> None:
        self.proxy.plan({"faults": list(faults), "seed": 5})

    async def test_without_a_plan_it_is_not_there(self) -> None:
        self.assertEqual([answer["id"] for answer in self.truth], [1, 2, 3, 4])
        self.assertGreater(len(self.truth[3]["result"]), 20)
        self.assertEqual(self.proxy.counts()["injected"], {})

    async def test_every_fault_spoils_what_it_can_and_is_counted_once(self) -> None:
        right = await self.exchange(self.batch)
        quick = {"slow_head": {"seconds": 9}, "slow_body": {"seconds": 9}, "flood": {"mb": 1}}
        quick |= {"gzip_bomb": {"mb": 1}}
        for name in FAULTS:
            with self.subTest(name):
                self.plan({"fault": name} | quick.get(name, {}))
                received = await self.exchange(self.batch)
                self.assertEqual(self.proxy.counts()["injected"], {name: 1})
                self.assertEqual(self.proxy.counts()["left"], 0)
                # The second node behind this door is the same as the first.
                self.assertEqual(received == right, name == "upstream")
                if name == "refuse":
                    await asyncio.sleep(0.4)
                self.assertEqual(await self.post(self.batch), self.truth, "it went on")

    async def test_a_fault_waits_for_its_method_and_door_skips_and_counts(self) -> None:
        self.plan(
            {"fault": "html", "method": "eth_chainId", "door": 1, "skip": 1, "every": 2, "count": 2}
        )
        seen = []
        for door in (0, 1, 1, 1, 1, 1):
            for method in ("eth_blockNumber", "eth_chainId"):
                received = await self.exchange(call(1, method), door)
                seen.append(b"<html>" in received)
        self.assertEqual([n for n, hit in enumerate(seen) if hit], [5, 9])
        counts = self.proxy.counts()
        self.assertEqual((counts["injected"], counts["requests"]), ({"html": 2}, [2, 10]))

    async def test_a_fault_that_finds_nothing_stays(self) -> None:
        self.plan({"fault": "drop_log"})
        await self.post([call(1, "eth_chainId"), call(2, "eth_blockNumber")])
        self.assertEqual(self.proxy.counts()["left"], 1)
        logs = (await self.post(self.batch))[3]["result"]
        self.assertEqual(len(logs), len(self.truth[3]["result"]) - 1)

    async def test_chance_is_seeded(self) -> None:
        outcomes = []
        for _ in range(2):
            self.plan({"fault": "html", "chance": 50, "count": -1})
            outcomes.append(
                [b"html" in await self.exchange(call(1, "eth_chainId")) for _ in range(8)]
            )
        self.assertEqual(outcomes[0], outcomes[1])
        self.assertEqual(set(outcomes[0]), {True, False})

    async def test_a_node_that_is_behind_knows_nothing_above_its_head(self) -> None:
        self.plan({"fault": "behind", "blocks": 4, "count": -1})
        latest = await self.post(call(1, "eth_getBlockByNumber", "latest", False))
        self.assertEqual(int(latest["result"]["number"], 16), self.head - 4)
        answers = await self.post(self.batch)
        self.assertIsNone(answers[2]["result"])
        highest = max(int(entry["blockNumber"], 16) for entry in answers[3]["result"])
        self.assertLessEqual(highest, self.head - 4)

    async def test_too_many_logs_are_refused_in_a_providers_words(self) -> None:
        logs = call(1, "eth_getLogs", self.logs)
        for style, words in (("infura", "more than 10 results"), ("alchemy", "cap of 10 logs")):
            self.plan({"fault": "too_many", "logs": 10, "style": style})
            self.assertIn(words, (await self.post(logs))["error"]["message"])

    async def test_a_bomb_is_small_until_it_is_opened(self) -> None:
        self.plan({"fault": "gzip_bomb", "mb": 8})
        received = (await self.exchange(self.batch)).partition(b"\r\n\r\n")[2]
        self.assertLess(len(received), 40_000)
        with self.assertRaises(EOFError):
            gzip.decompress(received)

    def test_a_plan_with_a_mistake_is_refused(self) -> None:
        with self.assertRaises(ValueError):
            Entry({"fault": "nope"})
        with self.assertRaises(TypeError):
            Entry({"fault": "capped", "log": 3})


class ProcessTests(unittest.TestCase):
    def test_it_takes_plans_on_standard_input_and_tells_counts(self) -> None:
        with subprocess.Popen(
            [sys.executable, "-m", "devchain.faultproxy", "--upstream", "http://127.0.0.1:9"]
            + ["--doors", "3", "--plan", "-"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin and process.stdout
            doors = json.loads(process.stdout.readline())["doors"]
            self.assertEqual(len(set(doors)), 3)
            answers = []
            for line in ('{"do":"plan","faults":[{"fault":"html"}]}', '{"do":"plan","faults":[{}]}'):
                process.stdin.write(line + "\n")
                process.stdin.flush()
                answers.append(json.loads(process.stdout.readline())["ok"])
            self.assertEqual(answers, [True, False])
            with urllib.request.urlopen(f"http://127.0.0.1:{doors[1]}/counts") as response:
                self.assertEqual(json.load(response)["left"], 1)
            process.stdin.close()
            self.assertEqual(process.wait(5), 0)


if __name__ == "__main__":
    unittest.main()
