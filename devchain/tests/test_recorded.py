"""Recorded chains: the served answers equal the recorded ones, and the switches work."""

from __future__ import annotations

import json
import unittest
from pathlib import Path
from typing import Any

from devchain import signatures as sig
from devchain.abi import call_data, decode
from devchain.bloom import item_bits
from devchain.encoding import from_hex, to_hex
from devchain.jsonrpc import RpcError
from devchain.recorded.answers import Moment
from devchain.recorded.expect import answered_blocks, expected
from devchain.recorded.node import RecordedNode
from devchain.recorded.recording import load, read_json

FIXTURES = Path(__file__).parents[2] / "Tests" / "Fixtures"
MORPHO = FIXTURES / "Recordings" / "morpho_real_chainlink.json.gz"
MOOLAH = FIXTURES / "Recordings" / "moolah_src.json.gz"
STREAMS = [FIXTURES / "Moolah" / f"fixture_logs_{number}.json" for number in (11, 12)]


class EqualityTests(unittest.TestCase):
    def test_morpho_answers_equal_the_recorded_ones_at_every_hour(self) -> None:
        content = read_json(MORPHO)
        answers = RecordedNode(load(MORPHO)).answers
        compared = 0
        for hour in content["hourly"]:
            moment = Moment(hour["block"], hour["ts"], hour["block"])
            for market_id, told in hour["markets"].items():
                accrued = [str(word) for word in answers.accrued(market_id, moment)]
                params = answers.mirror.params[market_id]
                self.assertEqual(accrued, told["accrued"])
                self.assertEqual(str(answers.price(params, moment)), told["price"])
                self.check_liquidatable(answers, market_id, moment, hour)
                compared += 2
            for market_id, users in hour.get("positions", {}).items():
                for user, told in users.items():
                    position = answers.mirror.position(market_id, user, hour["block"])
                    self.assertEqual([str(word) for word in position], told)
                    compared += 1
        self.assertGreater(compared, 160_000)

    def check_liquidatable(
        self, answers: Any, market_id: str, moment: Moment, hour: dict[str, Any]
    ) -> None:
        params = answers.mirror.params[market_id]
        market = answers.accrued(market_id, moment)
        unhealthy = {
            user
            for user in hour["positions"][market_id]
            if not answers.is_healthy(params, market_id, user, market, moment)
        }
        self.assertEqual(unhealthy, {user for user, _ in hour["liquidatable"][market_id]})

    def test_moolah_answers_equal_the_recorded_ones_at_every_snapshot(self) -> None:
        content = read_json(MOOLAH)
        answers = RecordedNode(load(MOOLAH)).answers
        compared = 0
        for told in content["snapshots"]:
            block, at = told["block"], told["timestamp"]
            moment = Moment(block, at, block)
            for market_id, words in told["markets"].items():
                stored = [str(word) for word in answers.mirror.market(market_id, block)]
                self.assertEqual(stored, words)
                now = [str(word) for word in answers.accrued(market_id, moment)]
                self.assertEqual(now, told["accruedNow"][market_id])
                params = answers.mirror.params[market_id]
                self.assertEqual(str(answers.price(params, moment)), told["price"][market_id])
                compared += 3
            for market_id, users in told["positions"].items():
                for user, words in users.items():
                    position = answers.mirror.position(market_id, user, block)
                    self.assertEqual([str(word) for word in position], words)
                    compared += 1
            for market_id, broker in told["broker"].items():
                compared += self.check_broker(answers, market_id, broker["users"], moment)
        self.assertGreater(compared, 20_000)

    def check_broker(
        self, answers: Any, market_id: str, users: dict[str, Any], moment: Moment
    ) -> int:
        broker = next(b for b, market in answers.recording.brokers.items() if market == market_id)
        params = answers.mirror.params[market_id]
        for user, told in users.items():
            loans = answers.brokers.loans.at((broker, user), moment.block)
            terms = [[str(word) for word in term.words] for term in loans.terms]
            self.assertEqual([str(loans.principal), str(loans.normalized)], told["dynamic"])
            self.assertEqual(terms, told["fixed"])
            self.assertEqual(str(answers.broker_debt(broker, user, moment)), told["totalDebt"])
            for later, debt in told["totalDebtPlus"].items():
                then = Moment(moment.block, moment.timestamp + int(later), moment.number)
                self.assertEqual(str(answers.broker_debt(broker, user, then)), debt)
            price = answers.user_price(broker, user, params, moment)
            self.assertEqual(str(price), told["userPrice"])
        return 8 * len(users)

    def test_log_streams_end_in_the_recorded_state(self) -> None:
        for path in STREAMS:
            content = read_json(path)
            node = RecordedNode(load(path))
            answers, last = node.answers, node.last
            moment = Moment(last, content["endTimestamp"], last)
            for market in content["markets"]:
                stored = [str(word) for word in answers.mirror.market(market["id"], last)]
                self.assertEqual(stored, market["market"])
                later = answers.accrued(market["id"], moment)
                told = market["expectedNow"]
                self.assertEqual(str(later.total_supply_assets), told["totalSupplyAssets"])
                self.assertEqual(str(later.total_supply_shares), told["totalSupplyShares"])
                self.assertEqual(str(later.total_borrow_assets), told["totalBorrowAssets"])
            for entry in content["positions"]:
                position = answers.mirror.position(entry["id"], entry["user"], last)
                self.assertEqual([str(word) for word in position], entry["position"])


class DiscoveryTests(unittest.TestCase):
    """What a program asks of a stream's contracts when it meets a market."""

    def setUp(self) -> None:
        self.content = read_json(STREAMS[0])
        self.node = RecordedNode(load(STREAMS[0]))

    def read(self, to: str, signature: str, returns: str, *arguments: Any) -> Any:
        request = {"to": to, "data": to_hex(call_data(signature, *arguments))}
        return decode(returns, from_hex(self.node.eth_call(request)))[0]

    def test_fixed_rates_are_the_recorded_ones(self) -> None:
        fixed = [market for market in self.content["markets"] if market["fixedRate"] is not None]
        self.assertTrue(fixed)
        for market in fixed:
            *addresses, lltv = market["params"]
            params = [*(item.lower() for item in addresses), int(lltv)]
            words = [int(word) for word in market["market"]]
            rate = self.read(params[3], sig.BORROW_RATE_VIEW, "uint256", params, words)
            self.assertEqual(rate, int(market["fixedRate"]))

    def test_flags_and_caps_are_derived(self) -> None:
        core, market = self.node.recording.core, self.content["markets"][0]
        market_id, irm = market["id"], market["params"][3].lower()
        zero = "0x" + "00" * 20
        self.assertEqual(self.read(core, "brokers(bytes32)", "address", market_id), zero)
        self.assertFalse(self.read(core, "paused()", "bool"))
        signature = "isLiquidationWhitelist(bytes32,address)"
        self.assertTrue(self.read(core, signature, "bool", market_id, zero))
        self.assertEqual(self.read(irm, "rateCap(bytes32)", "uint256", market_id), 0)
        start = self.read(irm, "rateAtTarget(bytes32)", "int256", market_id)
        self.assertEqual(start, int(market["rateAtTarget"]))
        token = market["params"][0].lower()
        self.assertEqual(self.read(token, "decimals()", "uint8"), self.content["loanDecimals"])

    def test_what_the_old_models_lack_reverts(self) -> None:
        market = self.content["markets"][0]
        irm, oracle = market["params"][3].lower(), market["params"][2].lower()
        for to, signature, arguments in (
            (irm, "rateFloor(bytes32)", [market["id"]]),
            (irm, "minCap()", []),
            (oracle, "peek(address)", [market["params"][0].lower()]),
        ):
            with self.assertRaisesRegex(RpcError, "execution reverted"):
                self.read(to, signature, "uint256", *arguments)


class NodeTests(unittest.TestCase):
    def setUp(self) -> None:
        self.node = RecordedNode(load(MORPHO), head=500)

    def ask(self, method: str, *params: Any) -> Any:
        body = json.dumps({"id": 1, "method": method, "params": params}).encode()
        answer = json.loads(self.node.handle(body).body)
        return answer["result"] if "result" in answer else answer["error"]

    def blocks(self, first: int, last: int) -> list[dict[str, Any]]:
        return [self.ask("eth_getBlockByNumber", hex(number)) for number in range(first, last + 1)]

    def test_headers_link_and_blooms_cover_the_logs(self) -> None:
        blocks = self.blocks(0, 500)
        for parent, block in zip(blocks, blocks[1:], strict=False):
            self.assertEqual(block["parentHash"], parent["hash"])
        logs = self.ask("eth_getLogs", {"fromBlock": "0x0", "toBlock": "0x1f4"})
        self.assertGreater(len(logs), 500)
        for entry in logs:
            bloom = int(blocks[int(entry["blockNumber"], 16)]["logsBloom"], 16)
            for item in (entry["address"], *entry["topics"]):
                self.assertEqual(bloom & item_bits(item), item_bits(item))
        quiet = next(block for block in blocks if not block["transactions"])
        self.assertEqual(int(quiet["logsBloom"], 16), 0)

    def test_a_reorg_changes_hashes_and_moves_logs_one_block(self) -> None:
        wanted = {"fromBlock": "0x0", "toBlock": "latest"}
        old_blocks, old_logs = self.blocks(480, 500), self.ask("eth_getLogs", wanted)
        done = self.ask("dev_reorg", {"depth": 10, "drop": 1})
        self.assertEqual(done["head"], 501)
        new_blocks, new_logs = self.blocks(480, 501), self.ask("eth_getLogs", wanted)
        self.assertEqual(old_blocks[:11], new_blocks[:11])
        self.assertNotEqual(old_blocks[11]["hash"], new_blocks[11]["hash"])
        self.assertEqual(len(old_logs), len(new_logs))
        last = int(old_logs[-1]["blockNumber"], 16)
        if last > 490:
            self.assertEqual(int(new_logs[-1]["blockNumber"], 16), last + 1)
        self.assertEqual(self.ask("dev_snapshot_block", {"block": 501}), 500)

    def test_the_head_moves(self) -> None:
        self.assertEqual(self.ask("dev_head", {"advance": 3}), hex(503))
        self.assertEqual(self.ask("dev_head", {"block": 20}), hex(20))
        self.assertIsNone(self.ask("eth_getBlockByNumber", hex(21)))
        self.assertEqual(self.ask("dev_head", {"full": True}), hex(self.node.last))

    def test_faults_and_limits_work_on_recorded_logs(self) -> None:
        wanted = {"fromBlock": "0x0", "toBlock": "latest"}
        logs = self.ask("eth_getLogs", wanted)
        self.ask("dev_fault", {"drop_log": True})
        self.assertEqual(self.ask("eth_getLogs", wanted), logs[:-1])
        self.ask("dev_limits", {"range": 100})
        self.assertEqual(self.ask("eth_getLogs", wanted)["code"], -32005)

    def test_unknown_calls_are_errors_unless_lenient(self) -> None:
        token = next(iter(self.node.recording.tokens))
        unknown = call_data("totalSupply()")
        calls = [(token, True, unknown), (token, True, call_data("decimals()"))]
        data = to_hex(call_data("aggregate3((address,bool,bytes)[])", calls))
        request = {"to": sig.MULTICALL3_ADDRESS, "data": data}
        self.assertIn("cannot answer", self.ask("eth_call", request)["message"])
        self.assertEqual(sum(self.node.unanswered.values()), 1)
        self.ask("dev_strict", {"on": False})
        results = decode("(bool,bytes)[]", from_hex(self.ask("eth_call", request)))[0]
        self.assertEqual([success for success, _ in results], [False, True])


class ExpectTests(unittest.TestCase):
    def test_it_tells_the_nearest_recorded_answer(self) -> None:
        blocks = answered_blocks(read_json(MORPHO))
        self.assertEqual(len(blocks), len(set(blocks)))
        self.assertTrue(expected(MORPHO, blocks[3])["exact"])
        self.assertFalse(expected(MORPHO, blocks[-1] + 1)["exact"])
        self.assertTrue(expected(MORPHO, blocks[3] + 1, (5,))["exact"])
        self.assertIn("error", expected(MORPHO, blocks[0] - 1))
        self.assertIn("error", expected(STREAMS[0], 3))


if __name__ == "__main__":
    unittest.main()
