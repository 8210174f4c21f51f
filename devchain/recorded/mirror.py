"""Markets and positions rebuilt from logs alone, at every block that changed them.

The rules are those of a mirror of Moolah or Morpho Blue: each event says exactly what changed,
and no call to the chain is needed. Two things leave no log: the fee that a Moolah market starts
with (the default at that moment), and `accrueInterest` on a market without a rate model.
"""

from __future__ import annotations

from typing import Any

from ..abi import topic
from ..encoding import ZERO_ADDRESS, address_at
from ..formulas import Market, Position
from ..signatures import EVENTS
from .history import History

_NAMES = {topic(signature): name for name, signature in EVENTS.items()}
_NO_POSITION = Position(0, 0, 0)
_INITIAL_MIN_LOAN = 15 * 10**8


class Mirror:
    """What a core's logs, and those of its rate models, say."""

    def __init__(self, core: str, rate_models: set[str], *, moolah: bool) -> None:
        self.core = core
        self.rate_models = rate_models
        self.moolah = moolah
        self.params: dict[str, tuple[str, str, str, str, int]] = {}
        self.created: dict[str, int] = {}
        self.markets: History[str, Market] = History()
        self.positions: History[tuple[str, str], Position] = History()
        self.settings: History[Any, Any] = History()
        self.lists: History[tuple[str, str], tuple[str, ...]] = History()
        self.rates_at_target: History[str, int] = History()
        self.fixed_rates: History[str, int] = History()
        self.bounds: History[tuple[str, str, str], int] = History()
        if moolah:
            self.settings.set("minLoanValue", 0, _INITIAL_MIN_LOAN)

    def apply(self, entry: dict[str, Any], block: int, timestamp: int) -> None:
        """Takes in the next log, in chain order."""
        topics = entry["topics"]
        name = _NAMES.get(topics[0]) if topics else None
        handler = getattr(self, f"_on_{name}", None) if name else None
        if handler is None:
            return
        if entry["address"] in self.rate_models:
            if name in _RATE_EVENTS:
                handler(entry["address"], topics, data_words(entry["data"]), block)
        elif entry["address"] == self.core and name not in _RATE_EVENTS:
            handler(topics, data_words(entry["data"]), block, timestamp)

    def market(self, market_id: str, block: int) -> Market:
        return self.markets.at(market_id, block, Market(0, 0, 0, 0, 0, 0))

    def position(self, market_id: str, user: str, block: int) -> Position:
        return self.positions.at((market_id, user), block, _NO_POSITION)

    def market_params(self, market_id: str, block: int) -> tuple[str, str, str, str, int]:
        known = market_id in self.params and self.created[market_id] <= block
        return self.params[market_id] if known else (ZERO_ADDRESS,) * 4 + (0,)

    def touch(self, market_id: str, block: int, timestamp: int) -> None:
        """Moves the last update, as an accrual without a log does."""
        market = self.markets.latest(market_id)
        self.markets.set(market_id, block, market._replace(last_update=timestamp))

    # MARK: markets

    def _on_CreateMarket(self, topics: list[str], words: list[int], block: int, at: int) -> None:
        market_id = topics[1]
        addresses = tuple(f"0x{word & (1 << 160) - 1:040x}" for word in words[:4])
        self.params[market_id] = (*addresses, words[4])
        self.created[market_id] = block
        fee = self.settings.latest("defaultMarketFee", 0) if self.moolah else 0
        self.markets.set(market_id, block, Market(0, 0, 0, 0, at, fee))

    def _on_AccrueInterest(self, topics: list[str], words: list[int], block: int, at: int) -> None:
        _, interest, fee_shares = words
        self._change_market(
            topics[1],
            block,
            at,
            supply_assets=interest,
            supply_shares=fee_shares,
            borrow_assets=interest,
        )
        if fee_shares:
            recipient = self.settings.latest("feeRecipient", ZERO_ADDRESS)
            self._change_position(topics[1], recipient, block, supply_shares=fee_shares)

    def _on_SetFee(self, topics: list[str], words: list[int], block: int, at: int) -> None:
        market = self.markets.latest(topics[1])._replace(fee=words[0], last_update=at)
        self.markets.set(topics[1], block, market)

    # MARK: positions

    def _on_Supply(self, topics: list[str], words: list[int], block: int, at: int) -> None:
        assets, shares = words
        self._change_market(topics[1], block, at, supply_assets=assets, supply_shares=shares)
        self._change_position(topics[1], address_at(topics[3]), block, supply_shares=shares)

    def _on_Withdraw(self, topics: list[str], words: list[int], block: int, at: int) -> None:
        _, assets, shares = words
        self._change_market(topics[1], block, at, supply_assets=-assets, supply_shares=-shares)
        self._change_position(topics[1], address_at(topics[2]), block, supply_shares=-shares)

    def _on_Borrow(self, topics: list[str], words: list[int], block: int, at: int) -> None:
        _, assets, shares = words
        self._change_market(topics[1], block, at, borrow_assets=assets, borrow_shares=shares)
        self._change_position(topics[1], address_at(topics[2]), block, borrow_shares=shares)

    def _on_Repay(self, topics: list[str], words: list[int], block: int, at: int) -> None:
        assets, shares = words
        paid = min(assets, self.markets.latest(topics[1]).total_borrow_assets)
        self._change_market(topics[1], block, at, borrow_assets=-paid, borrow_shares=-shares)
        self._change_position(topics[1], address_at(topics[3]), block, borrow_shares=-shares)

    def _on_SupplyCollateral(self, topics: list[str], words: list[int], block: int, _: int) -> None:
        self._change_position(topics[1], address_at(topics[3]), block, collateral=words[0])

    def _on_WithdrawCollateral(
        self, topics: list[str], words: list[int], block: int, at: int
    ) -> None:
        self._change_market(topics[1], block, at)
        self._change_position(topics[1], address_at(topics[2]), block, collateral=-words[1])

    def _on_Liquidate(self, topics: list[str], words: list[int], block: int, at: int) -> None:
        repaid, repaid_shares, seized, bad, bad_shares = words
        if self._is_write_down(topics, words):
            repaid = repaid_shares = 0
        paid = min(repaid, self.markets.latest(topics[1]).total_borrow_assets)
        self._change_market(
            topics[1],
            block,
            at,
            supply_assets=-bad,
            borrow_assets=-paid - bad,
            borrow_shares=-repaid_shares - bad_shares,
        )
        self._change_position(
            topics[1],
            address_at(topics[3]),
            block,
            borrow_shares=-repaid_shares - bad_shares,
            collateral=-seized,
        )

    def _is_write_down(self, topics: list[str], words: list[int]) -> bool:
        """`liquidateBrokerPosition` tells its one write-down in both halves of the event."""
        repaid, repaid_shares, seized, bad, bad_shares = words
        broker = self.settings.latest(("broker", topics[1]), ZERO_ADDRESS)
        same = repaid == bad and repaid_shares == bad_shares and seized == 0
        return same and address_at(topics[2]) == broker

    def _change_market(
        self,
        market_id: str,
        block: int,
        at: int,
        *,
        supply_assets: int = 0,
        supply_shares: int = 0,
        borrow_assets: int = 0,
        borrow_shares: int = 0,
    ) -> None:
        old = self.markets.latest(market_id)
        changed = Market(
            old.total_supply_assets + supply_assets,
            old.total_supply_shares + supply_shares,
            old.total_borrow_assets + borrow_assets,
            old.total_borrow_shares + borrow_shares,
            at,
            old.fee,
        )
        self.markets.set(market_id, block, changed)

    def _change_position(
        self,
        market_id: str,
        user: str,
        block: int,
        *,
        supply_shares: int = 0,
        borrow_shares: int = 0,
        collateral: int = 0,
    ) -> None:
        old = self.positions.latest((market_id, user), _NO_POSITION)
        changed = Position(
            old.supply_shares + supply_shares,
            old.borrow_shares + borrow_shares,
            old.collateral + collateral,
        )
        self.positions.set((market_id, user), block, changed)

    # MARK: settings

    def _on_SetFeeRecipient(self, topics: list[str], _: list[int], block: int, __: int) -> None:
        self.settings.set("feeRecipient", block, address_at(topics[1]))

    def _on_SetOwner(self, topics: list[str], _: list[int], block: int, __: int) -> None:
        self.settings.set("owner", block, address_at(topics[1]))

    def _on_EnableIrm(self, topics: list[str], _: list[int], block: int, __: int) -> None:
        self.settings.set(("irm", address_at(topics[1])), block, True)

    def _on_EnableLltv(self, _: list[str], words: list[int], block: int, __: int) -> None:
        self.settings.set(("lltv", words[0]), block, True)

    def _on_SetDefaultMarketFee(self, _: list[str], words: list[int], block: int, __: int) -> None:
        self.settings.set("defaultMarketFee", block, words[0])

    def _on_SetMinLoanValue(self, _: list[str], words: list[int], block: int, __: int) -> None:
        self.settings.set("minLoanValue", block, words[0])

    def _on_SetMarketBroker(self, topics: list[str], words: list[int], block: int, _: int) -> None:
        broker = address_at(topics[2]) if words[0] else ZERO_ADDRESS
        self.settings.set(("broker", topics[1]), block, broker)

    def _on_AddProvider(self, _: list[str], words: list[int], block: int, __: int) -> None:
        self.settings.set(_provider_key(words), block, f"0x{words[2]:040x}")

    def _on_RemoveProvider(self, _: list[str], words: list[int], block: int, __: int) -> None:
        self.settings.set(_provider_key(words), block, ZERO_ADDRESS)

    def _on_SetVaultBlacklist(
        self, topics: list[str], words: list[int], block: int, _: int
    ) -> None:
        self.settings.set(("vault", address_at(topics[1])), block, bool(words[0]))

    def _on_SetFlashLoanTokenBlacklist(
        self, topics: list[str], words: list[int], block: int, _: int
    ) -> None:
        self.settings.set(("flash", address_at(topics[1])), block, bool(words[0]))

    def _on_SetAuthorization(self, topics: list[str], words: list[int], block: int, _: int) -> None:
        pair = (address_at(topics[2]), address_at(topics[3]))
        self.settings.set(("authorized", *pair), block, bool(words[0]))

    def _on_IncrementNonce(self, topics: list[str], words: list[int], block: int, _: int) -> None:
        self.settings.set(("nonce", address_at(topics[2])), block, words[0] + 1)

    def _on_Paused(self, _: list[str], __: list[int], block: int, ___: int) -> None:
        self.settings.set("paused", block, True)

    def _on_Unpaused(self, _: list[str], __: list[int], block: int, ___: int) -> None:
        self.settings.set("paused", block, False)

    def _on_AddLiquidationWhitelist(
        self, topics: list[str], _: list[int], block: int, __: int
    ) -> None:
        self._enlist("liquidators", topics, block)

    def _on_RemoveLiquidationWhitelist(
        self, topics: list[str], _: list[int], block: int, __: int
    ) -> None:
        self._delist("liquidators", topics, block)

    def _on_AddWhiteList(self, topics: list[str], _: list[int], block: int, __: int) -> None:
        self._enlist("members", topics, block)

    def _on_RemoveWhiteList(self, topics: list[str], _: list[int], block: int, __: int) -> None:
        self._delist("members", topics, block)

    def _enlist(self, kind: str, topics: list[str], block: int) -> None:
        listed = self.lists.latest((kind, topics[1]), ())
        self.lists.set((kind, topics[1]), block, (*listed, address_at(topics[2])))

    def _delist(self, kind: str, topics: list[str], block: int) -> None:
        # A Solidity set moves its last member into the gap.
        listed = list(self.lists.latest((kind, topics[1]), ()))
        index = listed.index(address_at(topics[2]))
        listed[index] = listed[-1]
        self.lists.set((kind, topics[1]), block, tuple(listed[:-1]))

    # MARK: rate models

    def _on_BorrowRateUpdate(self, _: str, topics: list[str], words: list[int], block: int) -> None:
        self.rates_at_target.set(topics[1], block, words[1])

    def _on_SetBorrowRate(self, _: str, topics: list[str], words: list[int], block: int) -> None:
        self.fixed_rates.set(topics[1], block, words[0])

    def _on_BorrowRateCapUpdate(
        self, model: str, topics: list[str], words: list[int], block: int
    ) -> None:
        self.bounds.set((model, "cap", topics[1]), block, words[1])

    def _on_BorrowRateFloorUpdate(
        self, model: str, topics: list[str], words: list[int], block: int
    ) -> None:
        self.bounds.set((model, "floor", topics[1]), block, words[1])

    def _on_MinCapUpdate(self, model: str, _: list[str], words: list[int], block: int) -> None:
        self.bounds.set((model, "min_cap", ""), block, words[1])


_RATE_EVENTS = frozenset(
    (
        "BorrowRateUpdate",
        "SetBorrowRate",
        "BorrowRateCapUpdate",
        "BorrowRateFloorUpdate",
        "MinCapUpdate",
    )
)


def data_words(data: str) -> list[int]:
    """The 32-byte words of a log's data."""
    return [int(data[at : at + 64], 16) for at in range(2, len(data) - 63, 64)]


def _provider_key(words: list[int]) -> tuple[str, str, str]:
    return ("provider", f"0x{words[0]:064x}", f"0x{words[1]:040x}")
