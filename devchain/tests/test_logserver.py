"""The log server: its logs obey the mirror rules, and its headers link up."""

from __future__ import annotations

import json
import unittest
from http.client import HTTPConnection
from typing import Any, ClassVar

from devchain.bloom import bloom_bits, item_bits
from devchain.bulkserver import BulkServer
from devchain.encoding import from_hex
from devchain.logserver import LogServer
from devchain.recorded.mirror import Mirror
from devchain.tests.test_chain import recomputed_hash
from devchain.tries import ordered_root, receipt_bytes


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

    def test_without_receipts_nobody_is_told_any(self) -> None:
        for method, asked in (
            ("eth_getBlockReceipts", "0x1"),
            ("eth_getTransactionReceipt", "0x" + "00" * 32),
        ):
            body = json.dumps({"id": 1, "method": method, "params": [asked]}).encode()
            self.assertEqual(json.loads(self.server.handle(body).body)["error"]["code"], -32601)
        body = b'{"id": 1, "method": "eth_getBlockByNumber", "params": ["0x1", true]}'
        self.assertIn("hashes", json.loads(self.server.handle(body).body)["error"]["message"])


class ReceiptTests(unittest.TestCase):
    server: ClassVar[LogServer]

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = LogServer(1_000, markets=5, users=80, seed=3, has_receipts=True)

    def ask(self, method: str, *params: Any) -> Any:
        body = json.dumps({"id": 1, "method": method, "params": params}).encode()
        return json.loads(self.server.handle(body).body)["result"]

    def test_receipts_hold_the_logs_and_give_the_root_and_blooms(self) -> None:
        for number in range(self.server.head_number() + 1):
            block = self.ask("eth_getBlockByNumber", hex(number))
            self.assertEqual(block["hash"], recomputed_hash(block))
            receipts = self.ask("eth_getBlockReceipts", hex(number))
            window = {"fromBlock": hex(number), "toBlock": hex(number)}
            told = [entry for receipt in receipts for entry in receipt["logs"]]
            self.assertEqual(told, self.ask("eth_getLogs", window))
            encoded = []
            for receipt in receipts:
                logs = [(e["address"], e["topics"], e["data"]) for e in receipt["logs"]]
                bloom = bloom_bits((address, topics) for address, topics, _ in logs)
                self.assertEqual(int(receipt["logsBloom"], 16), bloom)
                gas = int(receipt["cumulativeGasUsed"], 16)
                encoded.append(receipt_bytes(2, True, gas, bloom, logs))
            self.assertEqual(block["receiptsRoot"], ordered_root(encoded))
            used = receipts[-1]["cumulativeGasUsed"] if receipts else "0x0"
            self.assertEqual(block["gasUsed"], used)

    def test_transactions_are_those_of_receipts_and_logs(self) -> None:
        for number in range(self.server.head_number() + 1):
            short = self.ask("eth_getBlockByNumber", hex(number), False)
            full = self.ask("eth_getBlockByNumber", hex(number), True)
            transactions = full["transactions"]
            hashes = [item["hash"] for item in transactions]
            self.assertEqual(full | {"transactions": hashes}, short)
            self.assertEqual(self.ask("eth_getBlockByHash", full["hash"], True), full)
            roots = ordered_root([from_hex(name) for name in hashes])
            self.assertEqual(full["transactionsRoot"], roots)
            receipts = self.ask("eth_getBlockReceipts", hex(number))
            for place, (item, receipt) in enumerate(zip(transactions, receipts, strict=True)):
                self.assertEqual(item["transactionIndex"], hex(place))
                self.assertEqual(self.ask("eth_getTransactionReceipt", item["hash"]), receipt)
                for name, other in (("hash", "transactionHash"), ("from", "from"), ("to", "to")):
                    self.assertEqual(item[name], receipt[other])
                for told in (receipt, *receipt["logs"]):
                    self.assertEqual(told["transactionHash"], item["hash"])
                    for name in ("blockHash", "blockNumber", "transactionIndex"):
                        self.assertEqual(told[name], item[name])

    def test_a_fault_spoils_receipts_here_as_well(self) -> None:
        receipt = self.ask("eth_getBlockReceipts", "0x5")[0]
        self.server.plan.add({"method": "eth_getTransactionReceipt", "wrong_receipts": True})
        spoiled = self.ask("eth_getTransactionReceipt", receipt["transactionHash"])
        self.assertEqual(spoiled["logs"], receipt["logs"][:-1])
        self.assertIsNone(self.ask("eth_getTransactionReceipt", "0x" + "00" * 32))


if __name__ == "__main__":
    unittest.main()
