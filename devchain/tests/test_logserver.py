"""The log server: its logs obey the mirror rules, and its headers link up."""

from __future__ import annotations

import json
import unittest
from http.client import HTTPConnection
from typing import Any, ClassVar

from devchain.bloom import item_bits
from devchain.bulkserver import BulkServer
from devchain.logserver import LogServer
from devchain.recorded.mirror import Mirror
from devchain.tests.test_chain import recomputed_hash


class LogServerTests(unittest.TestCase):
    server: ClassVar[LogServer]

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = LogServer(6_000, markets=5, users=80, seed=3)

    def ask(self, method: str, *params: Any) -> Any:
        body = json.dumps({"id": 1, "method": method, "params": params}).encode()
        return json.loads(self.server.handle(body).body)["result"]

    def logs(self, **conditions: Any) -> list[dict[str, Any]]:
        return self.ask("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"} | conditions)

    def test_the_mirror_of_all_logs_is_the_state_at_the_end(self) -> None:
        mirror = Mirror(self.server.cast.core, {self.server.cast.irm}, moolah=True)
        logs = self.logs()
        self.assertEqual(len(logs), self.server.log_count)
        for entry in logs:
            block = int(entry["blockNumber"], 16)
            mirror.apply(entry, block, int(entry["blockTimestamp"], 16))
        for book in self.server.books:
            market = mirror.market(book.id, self.server.head_number())
            self.assertEqual(market, book.market)
            for user, position in book.positions.items():
                self.assertEqual(mirror.positions.latest((book.id, user)), position)
                self.assertGreaterEqual(min(position), 0)

    def test_headers_link_up_and_blooms_are_true(self) -> None:
        parent = None
        by_block: dict[int, int] = {}
        for entry in self.logs():
            number = int(entry["blockNumber"], 16)
            for item in (entry["address"], *entry["topics"]):
                by_block[number] = by_block.get(number, 0) | item_bits(item)
        for number in range(self.server.head_number() + 1):
            block = self.ask("eth_getBlockByNumber", hex(number))
            self.assertEqual(block["hash"], recomputed_hash(block))
            self.assertEqual(int(block["logsBloom"], 16), by_block.get(number, 0))
            if parent:
                self.assertEqual(block["parentHash"], parent["hash"])
            parent = block

    def test_filters_take_what_they_name(self) -> None:
        logs = self.logs()
        core = [entry for entry in logs if entry["address"] == self.server.cast.core]
        self.assertEqual(self.logs(address=self.server.cast.core), core)
        wanted = logs[50]["topics"][0]
        self.assertEqual(
            self.logs(topics=[[wanted]]), [e for e in logs if e["topics"][0] == wanted]
        )

    def test_one_address_and_one_block_are_slices_of_all(self) -> None:
        logs = self.logs()
        for address in (self.server.cast.core, self.server.cast.irm):
            wanted = [entry for entry in logs if entry["address"] == address]
            self.assertEqual(self.logs(address=[address]), wanted)
        self.assertEqual(self.logs(address=["0x" + "12" * 20]), [])
        number, block = logs[100]["blockNumber"], logs[100]["blockHash"]
        wanted = [entry for entry in logs if entry["blockHash"] == block]
        self.assertEqual(self.logs(fromBlock=number, toBlock=number), wanted)
        self.assertEqual(self.ask("eth_getLogs", {"blockHash": block}), wanted)
        self.assertEqual(self.logs(toBlock="0x0"), [])

    def test_pieces_are_what_is_answered_in_one(self) -> None:
        every = {"fromBlock": "0x0", "toBlock": "latest"}
        asked = [
            {"id": 1, "method": "eth_getLogs", "params": [every]},
            {"id": 2, "method": "eth_getBlockByNumber", "params": ["0x7", False]},
            {"id": "3", "method": "eth_getBlockByNumber", "params": ["latest", False]},
            {"id": 4, "method": "eth_getBlockByNumber", "params": ["0xffffffff", False]},
            {"id": 5, "method": "eth_getBlockByNumber", "params": ["zero", False]},
            {"id": 6, "method": "eth_chainId"},
            {"id": 7, "method": "eth_nothing"},
            7,
        ]
        for request in (*asked, asked, [], None, "x"):
            body = json.dumps(request).encode()
            whole, pieces = self.server.handle(body), self.server.handle_in_pieces(body)
            self.assertEqual(b"".join([pieces.body or b"", *pieces.rest]), whole.body)

    def test_http_carries_long_and_short_answers(self) -> None:
        bulk = BulkServer(self.server.handle_in_pieces, 0)
        client = HTTPConnection("127.0.0.1", bulk.port, timeout=20)
        every = {"fromBlock": "0x0", "toBlock": "latest"}
        for _ in range(3):
            for method, params in (("eth_getLogs", [every]), ("eth_chainId", [])):
                body = json.dumps({"id": 1, "method": method, "params": params}).encode()
                client.request("POST", "/", body)
                answer = client.getresponse()
                self.assertEqual(answer.status, 200)
                self.assertEqual(answer.read(), self.server.handle(body).body)
        client.request("GET", "/")
        self.assertEqual(client.getresponse().status, 405)
        client.close()

    def test_logs_come_in_chain_order(self) -> None:
        places = [(int(e["blockNumber"], 16), int(e["logIndex"], 16)) for e in self.logs()]
        self.assertEqual(places, sorted(places))

    def test_every_log_is_another(self) -> None:
        logs = self.logs()
        keys = {(entry["blockHash"], entry["logIndex"]) for entry in logs}
        self.assertEqual(len(keys), len(logs))


if __name__ == "__main__":
    unittest.main()
