"""Planned misbehaviour, the HTTP server, and ending with the parent."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import unittest
from pathlib import Path
from typing import Any, ClassVar

from devchain.chain import Chain
from devchain.httpserver import listen, port_of
from devchain.node import DevNode
from devchain.scenario import Scenario

ROOT = Path(__file__).parents[2]


def request(method: str, *params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


class FaultTests(unittest.TestCase):
    scenario: ClassVar[Scenario]

    @classmethod
    def setUpClass(cls) -> None:
        cls.scenario = Scenario(2)
        for _ in range(20):
            cls.scenario.step()

    def setUp(self) -> None:
        self.node = DevNode(self.scenario.chain)
        self.all_logs = {"fromBlock": "0x0", "toBlock": "latest"}

    def ask(self, method: str, *params: Any) -> Any:
        return json.loads(self.node.handle(request(method, *params)).body)

    def logs(self) -> list[dict[str, Any]]:
        return self.ask("eth_getLogs", self.all_logs)["result"]

    def test_a_hidden_log_is_missing_from_every_range(self) -> None:
        every = self.logs()
        wanted = every[len(every) // 2]
        place = {key: wanted[key] for key in ("blockNumber", "logIndex")}
        self.node.plan.add({"hide_log": place, "count": -1})
        self.assertEqual(self.logs(), [entry for entry in every if entry != wanted])
        block = {"fromBlock": wanted["blockNumber"], "toBlock": wanted["blockNumber"]}
        self.assertNotIn(wanted, self.ask("eth_getLogs", block)["result"])

    def test_a_silent_cap_cuts_off_the_end(self) -> None:
        every = self.logs()
        self.node.plan.add({"cap_logs": 5})
        self.assertEqual(self.logs(), every[:5])

    def test_a_lying_bloom_is_of_a_block_without_transactions(self) -> None:
        self.node.chain.mine(1)
        tag = hex(self.node.chain.head.number)
        self.node.plan.add({"bloom_lies": True})
        told = self.ask("eth_getBlockByNumber", tag, False)["result"]
        self.assertEqual(told["transactions"], [])
        self.assertGreater(int(told["logsBloom"], 16), 0)
        honest = self.ask("eth_getBlockByNumber", tag, False)["result"]
        self.assertEqual(int(honest["logsBloom"], 16), 0)

    def test_receipts_can_be_missing_or_wrong(self) -> None:
        entry = self.logs()[-1]
        tag, transaction = entry["blockNumber"], entry["transactionHash"]
        honest = self.ask("eth_getBlockReceipts", tag)["result"]
        self.assertEqual(honest, self.ask("eth_getBlockReceipts", entry["blockHash"])["result"])
        self.assertIn(self.ask("eth_getTransactionReceipt", transaction)["result"], honest)
        self.assertIsNone(self.ask("eth_getBlockReceipts", "0xffffff")["result"])
        for method, parameter in (
            ("eth_getBlockReceipts", tag),
            ("eth_getTransactionReceipt", transaction),
        ):
            self.node.plan.add({"no_receipts": True})
            self.assertEqual(self.ask(method, parameter)["error"]["code"], -32601)
        self.node.plan.add({"wrong_receipts": True})
        wrong = self.ask("eth_getBlockReceipts", tag)["result"]
        self.assertLess(sum(len(r["logs"]) for r in wrong), sum(len(r["logs"]) for r in honest))

    def test_status_close_sleep_and_broken_bodies(self) -> None:
        plan = self.node.plan
        plan.add({"status": 429, "body": "slow down"})
        reply = self.node.handle(request("eth_chainId"))
        self.assertEqual((reply.status, reply.body), (429, b"slow down"))
        plan.add({"close": True})
        self.assertIsNone(self.node.handle(request("eth_chainId")).body)
        plan.add({"sleep_ms": 250})
        self.assertEqual(self.node.handle(request("eth_chainId")).delay_seconds, 0.25)
        plan.add({"truncate": True})
        with self.assertRaises(ValueError):
            self.ask("eth_chainId")
        plan.add({"status": 200, "body": "<html>"})
        with self.assertRaises(ValueError):
            self.ask("eth_chainId")
        self.assertEqual(self.ask("eth_chainId")["result"], "0x7a69")

    def test_a_fault_waits_for_its_method_skips_and_counts(self) -> None:
        error = {"code": -32000, "message": "no"}
        self.node.plan.add({"method": "eth_blockNumber", "skip": 1, "count": 2, "error": error})
        self.assertIn("result", self.ask("eth_chainId"))
        outcomes = ["error" in self.ask("eth_blockNumber") for _ in range(4)]
        self.assertEqual(outcomes, [False, True, True, False])

    def test_an_unknown_fault_is_an_error(self) -> None:
        self.assertEqual(self.ask("dev_fault", {"drop_logs": True})["error"]["code"], -32602)

    def test_logs_can_be_dropped_doubled_swapped_changed_or_emptied(self) -> None:
        true_logs = self.logs()
        plan = self.node.plan
        plan.add({"drop_log": 3})
        self.assertEqual(self.logs(), true_logs[:3] + true_logs[4:])
        plan.add({"dup_log": True})
        self.assertEqual(self.logs(), [*true_logs, true_logs[-1]])
        plan.add({"swap_logs": 1})
        self.assertEqual(self.logs()[:2], true_logs[1::-1])
        plan.add({"set_log": {"removed": True}, "at": 0})
        self.assertTrue(self.logs()[0]["removed"])
        plan.add({"empty_logs": True})
        self.assertEqual(self.logs(), [])
        self.assertEqual(self.logs(), true_logs)

    def test_hashes_can_be_wrong_and_the_head_can_lag(self) -> None:
        head = self.scenario.chain.head
        self.node.plan.add({"wrong_hash": True})
        self.assertNotEqual(self.ask("eth_getBlockByNumber", "latest")["result"]["hash"], head.hash)
        self.node.plan.add({"lag": 5, "count": 3})
        self.assertEqual(int(self.ask("eth_blockNumber")["result"], 16), head.number - 5)
        self.assertIsNone(self.ask("eth_getBlockByNumber", hex(head.number))["result"])
        late = max(int(entry["blockNumber"], 16) for entry in self.logs())
        self.assertLessEqual(late, head.number - 5)
        self.assertEqual(int(self.ask("eth_blockNumber")["result"], 16), head.number)

    def test_limits_speak_like_providers(self) -> None:
        for style, code in (("geth", -32005), ("alchemy", -32602), ("quicknode", -32614)):
            self.ask("dev_limits", {"range": 10, "style": style})
            self.assertEqual(self.ask("eth_getLogs", self.all_logs)["error"]["code"], code)
        self.ask("dev_limits", {"logs": 5, "style": "infura"})
        message = self.ask("eth_getLogs", self.all_logs)["error"]["message"]
        self.assertIn("more than 5 results", message)
        self.assertIn("[0x0, ", message)

    def test_batches_keep_order_and_errors_stay_apart(self) -> None:
        body = b"[" + request("eth_chainId") + b"," + request("eth_nope") + b",7]"
        answers = json.loads(self.node.handle(body).body)
        self.assertEqual(answers[0]["result"], "0x7a69")
        self.assertEqual(answers[1]["error"]["code"], -32601)
        self.assertEqual(answers[2]["error"]["code"], -32600)


class HttpTests(unittest.TestCase):
    def exchange(self, sent: bytes, wait: float = 0.3) -> bytes:
        """What the server answers to these bytes before it falls silent."""

        async def talk() -> bytes:
            server = await listen(DevNode(Chain()).handle, 0)
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
            writer.write(sent)
            received = b""
            try:
                while chunk := await asyncio.wait_for(reader.read(65536), wait):
                    received += chunk
            except TimeoutError:
                pass
            writer.close()
            server.close()
            return received

        return asyncio.run(talk())

    def post(self, body: bytes, headers: bytes = b"") -> bytes:
        return (
            b"POST / HTTP/1.1\r\n"
            + headers
            + b"content-length: %d\r\n\r\n%s"
            % (
                len(body),
                body,
            )
        )

    def test_requests_may_be_pipelined(self) -> None:
        received = self.exchange(self.post(request("eth_chainId")) * 3)
        self.assertEqual(received.count(b'"result":"0x7a69"'), 3)

    def test_bodies_may_be_chunked(self) -> None:
        body = request("eth_chainId")
        chunks = b"%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (5, body[:5], len(body) - 5, body[5:])
        received = self.exchange(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n" + chunks)
        self.assertIn(b'"result":"0x7a69"', received)

    def test_other_methods_and_nonsense_are_refused(self) -> None:
        self.assertIn(b"405", self.exchange(b"GET / HTTP/1.1\r\n\r\n"))
        bad = b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n"
        self.assertIn(b"400", self.exchange(bad))


class LifetimeTests(unittest.TestCase):
    def start(self, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "devchain.node", "--port", "0"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            **options,
        )

    def port(self, process: subprocess.Popen[str]) -> int:
        assert process.stdout
        return json.loads(process.stdout.readline())["listening"]

    def test_it_ends_with_its_standard_input(self) -> None:
        with self.start(stdin=subprocess.PIPE) as process:
            self.port(process)
            assert process.stdin
            process.stdin.close()
            self.assertEqual(process.wait(5), 0)

    def test_it_ends_on_a_signal(self) -> None:
        with self.start(stdin=subprocess.PIPE) as process:
            self.port(process)
            process.terminate()
            self.assertEqual(process.wait(5), 0)

    def test_it_ends_when_its_parent_is_killed(self) -> None:
        script = (
            "import subprocess, sys, time\n"
            "child = subprocess.Popen([sys.executable, '-m', 'devchain.node', '--port', '0'],"
            " stdin=subprocess.DEVNULL)\n"
            "time.sleep(60)\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as parent:
            port = self.port(parent)
            os.kill(parent.pid, signal.SIGKILL)
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline and self.is_listening(port):
                time.sleep(0.1)
            self.assertFalse(self.is_listening(port))

    def is_listening(self, port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    unittest.main()
