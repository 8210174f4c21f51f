"""The dev chain itself: hashes, links, blooms, archive state, reorgs, the mempool."""

from __future__ import annotations

import unittest
from typing import ClassVar

import rlp

from devchain.abi import call_data, decode
from devchain.accounts import account, signed_transaction
from devchain.blocks import StateEdit
from devchain.bloom import item_bits
from devchain.chain import Chain
from devchain.encoding import from_hex, keccak, to_hex
from devchain.jsonrpc import RpcError
from devchain.node import DevNode
from devchain.scenario import Scenario
from devchain.transactions import decode_raw
from devchain.tries import ordered_root, receipt_bytes
from devchain.world import World

_HEADER_FIELDS = (
    "parentHash",
    "sha3Uncles",
    "miner",
    "stateRoot",
    "transactionsRoot",
    "receiptsRoot",
    "logsBloom",
    "difficulty",
    "number",
    "gasLimit",
    "gasUsed",
    "timestamp",
    "extraData",
    "mixHash",
    "nonce",
    "baseFeePerGas",
)
_QUANTITIES = {"difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas"}


def recomputed_hash(block: dict[str, str]) -> str:
    """The header hash, from the JSON that a client sees."""
    fields = []
    for name in _HEADER_FIELDS:
        value = int(block[name], 16) if name in _QUANTITIES else from_hex(block[name])
        fields.append(value)
    return to_hex(keccak(rlp.encode(fields)))


class HeaderTests(unittest.TestCase):
    scenario: ClassVar[Scenario]

    @classmethod
    def setUpClass(cls) -> None:
        cls.scenario = Scenario(11)
        for _ in range(40):
            cls.scenario.step()

    def test_header_hashes_can_be_computed_again_and_link_up(self) -> None:
        blocks = [block.as_json(False) for block in self.scenario.chain.blocks]
        for parent, block in zip(blocks, blocks[1:], strict=False):
            self.assertEqual(block["hash"], recomputed_hash(block))
            self.assertEqual(block["parentHash"], parent["hash"])

    def test_receipt_roots_are_those_of_the_receipts_as_told(self) -> None:
        for block in self.scenario.chain.blocks:
            encoded = [
                receipt_bytes(
                    int(item["type"], 16),
                    item["status"] == "0x1",
                    int(item["cumulativeGasUsed"], 16),
                    int(item["logsBloom"], 16),
                    [(e["address"], e["topics"], e["data"]) for e in item["logs"]],
                )
                for item in block.receipts
            ]
            self.assertEqual(block.as_json(False)["receiptsRoot"], ordered_root(encoded))

    def test_blooms_hold_exactly_the_bits_of_the_logs(self) -> None:
        for block in self.scenario.chain.blocks:
            bits = 0
            for entry in block.logs:
                for item in (entry["address"], *entry["topics"]):
                    bits |= item_bits(item)
            self.assertEqual(int(block.as_json(False)["logsBloom"], 16), bits)

    def test_log_indexes_count_through_the_block(self) -> None:
        for block in self.scenario.chain.blocks:
            indexes = [int(entry["logIndex"], 16) for entry in block.logs]
            self.assertEqual(indexes, list(range(len(indexes))))

    def test_a_bloom_item_sets_at_most_three_bits(self) -> None:
        # From the definition: bits 2,047 and down, by 11-bit numbers in the hash's first words.
        digest = keccak(from_hex("0x" + "ab" * 20))
        expected = {int.from_bytes(digest[i : i + 2], "big") & 0x7FF for i in (0, 2, 4)}
        bits = item_bits("0x" + "ab" * 20)
        self.assertEqual({n for n in range(2048) if bits >> n & 1}, expected)


class ArchiveAndReorgTests(unittest.TestCase):
    def setUp(self) -> None:
        self.scenario = Scenario(5)
        self.seen: dict[int, dict] = {}
        for _ in range(30):
            self.scenario.step()
            self.seen[self.scenario.chain.head.number] = self.scenario.truth()

    def test_archive_calls_tell_what_the_head_told_then(self) -> None:
        for number in (*sorted(self.seen)[::-3], *sorted(self.seen)[::4]):
            self.assertEqual(self.scenario.truth(number), self.seen[number])

    def test_a_reorg_that_keeps_everything_in_place_changes_hashes_only(self) -> None:
        chain = self.scenario.chain
        head = chain.head.number
        old_hash = chain.head.hash
        chain.reorg(12, keep=True, blocks=12)
        self.assertEqual(chain.head.number, head)
        self.assertNotEqual(chain.head.hash, old_hash)
        told, before = self.scenario.truth(), self.seen[head]
        self.assertEqual(told["markets"], before["markets"])

    def test_a_reorg_without_transactions_returns_to_the_old_state(self) -> None:
        chain = self.scenario.chain
        head = chain.head.number
        chain.reorg(10, keep=False)
        self.assertEqual(chain.head.number, head + 1)
        told = self.scenario.truth(timestamp=self.seen[head - 10]["timestamp"])
        self.assertEqual(told["markets"], self.seen[head - 10]["markets"])

    def test_the_story_goes_on_after_reorgs_of_any_depth(self) -> None:
        chain = self.scenario.chain
        for depth, delay in ((1, 0), (7, 1), (20, 3)):
            chain.reorg(depth, keep=True, delay=delay)
            for _ in range(5):
                self.scenario.step()
            headers = chain.blocks
            for parent, block in zip(headers, headers[1:], strict=False):
                self.assertEqual(block.parent_hash, parent.hash)
            self.assertEqual(chain.numbers[chain.head.hash], chain.head.number)

    def test_impossible_depths_are_refused(self) -> None:
        for depth in (0, len(self.scenario.chain.blocks)):
            with self.assertRaises(RpcError):
                self.scenario.chain.reorg(depth)


class TransactionTests(unittest.TestCase):
    def setUp(self) -> None:
        self.chain = Chain(automine=False)
        self.sender = account("alice")
        self.chain.edit(StateEdit("balance", self.sender, 10**24))

    def signed(self, nonce: int, **options: int) -> str:
        raw = signed_transaction(
            "alice", chain_id=self.chain.chain_id, nonce=nonce, to=account("bob"), **options
        )
        return self.chain.send(decode_raw(from_hex(raw)))

    def test_the_sender_comes_from_the_signature_and_pays(self) -> None:
        self.signed(0, value=5, gas=21_000)
        self.chain.mine()
        self.assertEqual(self.chain.machine_at(1).balance(account("bob")), 5)
        self.assertLess(self.chain.machine_at(1).balance(self.sender), 10**24 - 5)

    def test_nonces_run_in_order_even_when_sent_backwards(self) -> None:
        hashes = [self.signed(nonce) for nonce in (2, 1, 0)]
        block = self.chain.mine()
        self.assertEqual([item.hash for item in block.transactions], hashes[::-1])

    def test_a_replacement_must_pay_a_tenth_more(self) -> None:
        self.signed(0, max_fee=10**11, max_tip=10**9)
        with self.assertRaisesRegex(RpcError, "replacement transaction underpriced"):
            self.signed(0, max_fee=105 * 10**9, max_tip=10**9)
        better = self.signed(0, max_fee=2 * 10**11, max_tip=2 * 10**9)
        self.assertEqual([item.hash for item in self.chain.mine().transactions], [better])

    def test_used_nonces_and_foreign_chains_are_refused(self) -> None:
        self.signed(0)
        self.chain.mine()
        with self.assertRaisesRegex(RpcError, "nonce too low"):
            self.signed(0, value=1)
        raw = signed_transaction("alice", chain_id=5, nonce=1, to=account("bob"))
        with self.assertRaisesRegex(RpcError, "invalid chain id"):
            self.chain.send(decode_raw(from_hex(raw)))

    def test_nonsense_bytes_are_refused(self) -> None:
        for raw in (b"", b"\x02", b"\x05abc", b"\xc0", b"\x02\xc0", b"\xf8\x00"):
            with self.assertRaises(RpcError):
                decode_raw(raw)

    def test_blocks_may_share_a_timestamp_but_not_go_back(self) -> None:
        now = self.chain.head.timestamp
        self.chain.set_next_timestamp(now)
        self.assertEqual(self.chain.mine().timestamp, now)
        with self.assertRaises(RpcError):
            self.chain.set_next_timestamp(now - 1)


class NodeTests(unittest.TestCase):
    def setUp(self) -> None:
        self.world = World(Chain(), "moolah")
        self.node = DevNode(self.world.chain)
        self.token = self.world.add_token("AAA", 7)

    def call(self, tag: object, overrides: dict | None = None) -> str:
        request = {"to": self.token.address, "data": to_hex(call_data("decimals()"))}
        return self.node.methods["eth_call"](request, tag, None, overrides)

    def test_calls_go_to_a_block_by_number_hash_or_tag(self) -> None:
        head = self.world.chain.head
        for tag in ("latest", hex(head.number), {"blockHash": head.hash}):
            self.assertEqual(int(self.call(tag), 16), 7)
        self.assertEqual(self.call(hex(head.number - 1)), "0x")
        for tag in ("0xffff", {"blockHash": "0x" + "12" * 32}):
            with self.assertRaises(RpcError):
                self.call(tag)

    def test_a_snapshot_brings_back_blocks_edits_and_time(self) -> None:
        methods, chain = self.node.methods, self.world.chain
        head, bob = chain.head.hash, account("bob")
        snapshot = methods["evm_snapshot"]()
        methods["anvil_setBalance"](bob, 77)
        methods["evm_increaseTime"](3_600)
        methods["evm_mine"](5)
        self.assertEqual(methods["eth_getBalance"](bob), hex(77))
        self.assertTrue(methods["evm_revert"](snapshot))
        self.assertEqual(chain.head.hash, head)
        self.assertEqual(methods["eth_getBalance"](bob), "0x0")
        self.assertFalse(methods["evm_revert"](snapshot))

    def test_a_revert_carries_its_reason_and_data(self) -> None:
        request = {
            "to": self.token.address,
            "data": to_hex(call_data("transfer(address,uint256)", account("bob"), 1)),
        }
        with self.assertRaises(RpcError) as caught:
            self.node.methods["eth_call"](request)
        self.assertEqual(caught.exception.code, 3)
        self.assertIn("transfer amount exceeds balance", caught.exception.message)
        self.assertTrue(caught.exception.data.startswith("0x08c379a0"))

    def test_gas_estimates_are_enough_and_not_a_unit_more(self) -> None:
        data = call_data("mint(address,uint256)", account("bob"), 1)
        request = {"to": self.token.address, "data": to_hex(data)}
        gas = int(self.node.methods["eth_estimateGas"](request), 16)
        chain = self.world.chain
        self.assertTrue(chain.call(self.token.address, data, gas=gas).succeeded)
        self.assertFalse(chain.call(self.token.address, data, gas=gas - 1).succeeded)

    def test_multicall_runs_at_its_usual_address_and_lets_calls_fail(self) -> None:
        good = (self.token.address, True, call_data("decimals()"))
        bad = (self.token.address, True, call_data("transfer(address,uint256)", account("x"), 1))
        empty = (account("nobody"), True, call_data("decimals()"))
        results = self.world.read(
            "0xca11bde05977b3631167028862be2a173976ca11",
            "aggregate3((address,bool,bytes)[])",
            "(bool,bytes)[]",
            [good, bad, empty],
        )
        self.assertEqual([success for success, _ in results], [True, False, True])
        self.assertEqual(decode("uint8", results[0][1]), [7])
        self.assertEqual(results[2][1], b"")


if __name__ == "__main__":
    unittest.main()
