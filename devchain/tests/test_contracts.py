"""The Vyper contracts against recorded vectors, and against formulas after every operation."""

from __future__ import annotations

import json
import unittest
from pathlib import Path
from typing import Any, ClassVar

from devchain import formulas
from devchain import signatures as sig
from devchain.abi import encode, selector, topic
from devchain.chain import Chain
from devchain.compiler import artifact
from devchain.encoding import ZERO_ADDRESS, address_at, from_hex, keccak, to_hex
from devchain.formulas import CurveBounds, Market
from devchain.recorded.mirror import Mirror, data_words
from devchain.scenario import Scenario
from devchain.world import World

FIXTURES = Path(__file__).parents[2] / "Tests" / "Fixtures" / "Moolah"
_NAMES = {topic(signature): name for name, signature in sig.EVENTS.items()}


def fixture(name: str) -> Any:
    return json.loads((FIXTURES / name).read_text())


class SurfaceTests(unittest.TestCase):
    def test_events_have_the_real_topics(self) -> None:
        known = fixture("topics.json")["events"]
        ours = set(artifact("Moolah").events())
        for signature, expected in known["Moolah"]:
            self.assertEqual(topic(signature), expected)
        real = {signature for signature, _ in known["Moolah"]}
        self.assertLessEqual(ours, real)
        old_drafts = {"AddProvider(address,address)", "RemoveProvider(address,address)"}
        old_drafts |= {"AddProvider(bytes32,address)", "RemoveProvider(bytes32,address)"}
        self.assertEqual(real - ours, old_drafts | {"Upgraded(address)", "SetOwner(address)"})
        models = set(artifact("MoolahIrm").events()) | set(artifact("FixedRateIrm").events())
        self.assertEqual(models, {signature for signature, _ in known["IRM"]})

    def test_functions_have_the_real_selectors(self) -> None:
        known = fixture("topics.json")["functions"]
        ours = set(artifact("Moolah").functions())
        for signature, expected in known["Moolah"]:
            self.assertEqual(to_hex(selector(signature)), expected)
            if not signature.startswith("onMoolah"):
                self.assertIn(signature, ours)

    def test_indexed_fields_are_where_morpho_and_moolah_have_them(self) -> None:
        told = {
            entry["name"]: [item["indexed"] for item in entry["inputs"]]
            for entry in artifact("Moolah").abi
            if entry["type"] == "event"
        }
        yes, no = True, False
        self.assertEqual(told["Supply"], [yes, yes, yes, no, no])
        self.assertEqual(told["Withdraw"], [yes, no, yes, yes, no, no])
        self.assertEqual(told["Borrow"], [yes, no, yes, yes, no, no])
        self.assertEqual(told["Repay"], [yes, yes, yes, no, no])
        self.assertEqual(told["SupplyCollateral"], [yes, yes, yes, no])
        self.assertEqual(told["WithdrawCollateral"], [yes, no, yes, yes, no])
        self.assertEqual(told["Liquidate"], [yes, yes, yes, no, no, no, no, no])
        self.assertEqual(told["SetMarketBroker"], [yes, yes, no])
        self.assertEqual(told["AddProvider"], [no, no, no])
        self.assertEqual(told["Paused"], [no])


class VectorTests(unittest.TestCase):
    """`vectors.json` comes from the deployed bytecode; formulas and contracts must equal it."""

    vectors: ClassVar[dict[str, Any]]
    world: ClassVar[World]

    @classmethod
    def setUpClass(cls) -> None:
        cls.vectors = fixture("vectors.json")
        cls.world = World(Chain(), "moolah")

    def test_every_rate_case_through_the_contract_and_the_formula(self) -> None:
        world, owner = self.world, self.world.owner
        irm = world.adaptive_irm
        for index, case in enumerate(self.vectors["irm"]):
            value = {name: int(content) for name, content in case.items()}
            params = (ZERO_ADDRESS, ZERO_ADDRESS, ZERO_ADDRESS, irm, index)
            market_id = to_hex(keccak(encode(sig.PARAMS, [params])))
            world.send(owner, irm, "updateRateCap(bytes32,uint256)", market_id, value["rateCap"])
            floor = value["rateFloor"]
            world.send(owner, irm, "updateRateFloor(bytes32,uint256)", market_id, floor)
            world.send(owner, irm, "updateMinCap(uint256)", value["minCap"])
            start = value["rateAtTarget"]
            world.send(owner, irm, "setRateAtTarget(bytes32,int256)", market_id, start)
            now = world.chain.mine().timestamp
            market = Market(value["totalSupplyAssets"], 0, value["totalBorrowAssets"], 0, now, 0)
            rate = world.read(
                irm,
                sig.BORROW_RATE_VIEW,
                "uint256",
                params,
                market,
                timestamp=now + value["elapsed"],
            )
            bounds = CurveBounds(value["rateCap"], value["minCap"], floor)
            with self.subTest(case=index):
                self.assertEqual(rate, value["avgRate"])
                self.assertEqual(
                    formulas.adaptive_rate(market, start, value["elapsed"], bounds),
                    (value["avgRate"], value["endRateAtTarget"]),
                )

    def test_growth_exponential_and_incentive(self) -> None:
        for case in self.vectors["taylor"]:
            result = formulas.taylor_compounded(int(case["x"]), int(case["n"]))
            self.assertEqual(result, int(case["y"]))
        for case in self.vectors["wexp"]:
            self.assertEqual(formulas.exponential(int(case["x"])), int(case["y"]))
        for case in self.vectors["lif"]:
            self.assertEqual(formulas.incentive_factor(int(case["lltv"])), int(case["lif"]))

    def test_pair_prices(self) -> None:
        for case in self.vectors["price"]:
            price = formulas.pair_price(case["base"], case["quote"], case["qd"], case["bd"])
            self.assertEqual(price, int(case["price"]))

    def test_market_ids_are_the_hash_of_the_creation_log(self) -> None:
        for entry in fixture("markets_from_broadcast.json"):
            params = [entry[name] for name in entry if name in _PARAM_NAMES]
            if len(params) == 5:
                digest = keccak(encode(sig.PARAMS, [[*params[:4], int(params[4])]]))
                self.assertEqual(to_hex(digest), entry["id"])


_PARAM_NAMES = ("loanToken", "collateralToken", "oracle", "irm", "lltv")


class ReferenceTests(unittest.TestCase):
    """Every log must follow from the state before it, and add up to the state after it."""

    def test_moolah_obeys_the_formulas(self) -> None:
        for seed in (1, 2):
            self.check("moolah", seed, steps=160)

    def test_morpho_obeys_the_formulas(self) -> None:
        self.check("morpho", 1, steps=160)

    def check(self, shape: str, seed: int, steps: int) -> None:
        scenario = Scenario(seed, shape)
        world = scenario.world
        models = {world.adaptive_irm, world.fixed_irm} - {ZERO_ADDRESS}
        reference = Reference(self, Mirror(world.core, models, moolah=world.is_moolah))
        following = 0
        for _ in range(steps):
            scenario.step()
            for block in world.chain.blocks[following:]:
                for entry in block.logs:
                    reference.follow(entry, block.number, block.timestamp)
            following = len(world.chain.blocks)
            with self.subTest(shape=shape, seed=seed, block=following - 1):
                self.compare(scenario, reference.mirror)
        self.assertGreater(reference.checked, 200)

    def compare(self, scenario: Scenario, mirror: Mirror) -> None:
        world, head = scenario.world, scenario.chain.head.number
        for market in world.markets.values():
            if not world.exists(market):
                continue
            stored, followed = world.market(market), mirror.market(market.id, head)
            if market.rate_kind == "none":
                # A bare accrual moves the last update of such a market without a log.
                followed = followed._replace(last_update=stored.last_update)
            self.assertEqual(stored, followed)
            for user in scenario.actions.everyone:
                position = mirror.position(market.id, user, head)
                self.assertEqual(world.position(market, user), position)


class Reference:
    """Checks each log's amounts against the mirror's state before it."""

    def __init__(self, test: unittest.TestCase, mirror: Mirror) -> None:
        self.test = test
        self.mirror = mirror
        self.checked = 0

    def follow(self, entry: dict[str, Any], block: int, timestamp: int) -> None:
        name = _NAMES.get(entry["topics"][0])
        check = getattr(self, f"check_{name}", None)
        if entry["address"] == self.mirror.core and check:
            market = self.mirror.markets.latest(entry["topics"][1])
            check(entry, data_words(entry["data"]), market, block, timestamp)
            self.checked += 1
        self.mirror.apply(entry, block, timestamp)

    def check_CreateMarket(self, entry: dict, *_: object) -> None:
        self.test.assertEqual(to_hex(keccak(from_hex(entry["data"]))), entry["topics"][1])

    def check_AccrueInterest(
        self, entry: dict, words: list[int], market: Market, block: int, timestamp: int
    ) -> None:
        rate, interest, fee_shares = words
        market_id = entry["topics"][1]
        irm = self.mirror.market_params(market_id, block)[3]
        bounds = CurveBounds(
            *(self.mirror.bounds.latest((irm, kind, market_id if kind != "min_cap" else ""), 0)
              for kind in ("cap", "min_cap", "floor"))
        )  # fmt: skip
        if market_id in self.mirror.rates_at_target:
            # BorrowRateUpdate came just before; the rate it started from is one change older.
            blocks = self.mirror.rates_at_target
            start = blocks.before_last(market_id)
            elapsed = timestamp - market.last_update
            limits = bounds if self.mirror.moolah else None
            expected = formulas.adaptive_rate(market, start, elapsed, limits)
            self.test.assertEqual((rate, blocks.latest(market_id)), expected)
        else:
            stored = self.mirror.fixed_rates.latest(market_id, 0)
            self.test.assertEqual(rate, formulas.fixed_rate(stored, bounds))
        _, expected_interest, expected_shares = formulas.accrued(market, rate, timestamp)
        self.test.assertEqual((interest, fee_shares), (expected_interest, expected_shares))

    def check_Supply(self, _: Any, words: list[int], market: Market, *__: int) -> None:
        assets, shares = words
        totals = (market.total_supply_assets, market.total_supply_shares)
        self.test.assertTrue(
            shares == formulas.to_shares_down(assets, *totals)
            or assets == formulas.to_assets_up(shares, *totals)
        )

    def check_Withdraw(self, _: Any, words: list[int], market: Market, *__: int) -> None:
        _, assets, shares = words
        totals = (market.total_supply_assets, market.total_supply_shares)
        self.test.assertTrue(
            shares == formulas.to_shares_up(assets, *totals)
            or assets == formulas.to_assets_down(shares, *totals)
        )

    def check_Borrow(self, _: Any, words: list[int], market: Market, *__: int) -> None:
        _, assets, shares = words
        totals = (market.total_borrow_assets, market.total_borrow_shares)
        self.test.assertTrue(
            shares == formulas.to_shares_up(assets, *totals)
            or assets == formulas.to_assets_down(shares, *totals)
        )

    def check_Repay(self, _: Any, words: list[int], market: Market, *__: int) -> None:
        assets, shares = words
        totals = (market.total_borrow_assets, market.total_borrow_shares)
        self.test.assertTrue(
            shares == formulas.to_shares_down(assets, *totals)
            or assets == formulas.to_assets_up(shares, *totals)
        )

    def check_Liquidate(self, entry: dict, words: list[int], market: Market, *_: int) -> None:
        repaid, shares, seized, bad, bad_shares = words
        totals = (market.total_borrow_assets, market.total_borrow_shares)
        if address_at(entry["topics"][2]) == self.mirror.settings.latest(
            ("broker", entry["topics"][1])
        ):
            expected = min(totals[0], formulas.to_assets_up(bad_shares, *totals))
            self.test.assertEqual((repaid, shares, seized, bad), (bad, bad_shares, 0, expected))
            return
        self.test.assertEqual(repaid, formulas.to_assets_up(shares, *totals))
        user = address_at(entry["topics"][3])
        before = self.mirror.positions.latest((entry["topics"][1], user))
        gone = seized == before.collateral
        left = Market(0, 0, totals[0] - min(totals[0], repaid), totals[1] - shares, 0, 0)
        expected_shares = before.borrow_shares - shares if gone else 0
        expected_bad = formulas.to_assets_up(
            expected_shares, left.total_borrow_assets, left.total_borrow_shares
        )
        expected_bad = min(expected_bad, left.total_borrow_assets) if gone else 0
        self.test.assertEqual((bad, bad_shares), (expected_bad, expected_shares))


if __name__ == "__main__":
    unittest.main()
