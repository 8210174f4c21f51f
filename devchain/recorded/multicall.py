"""Multicall3 over recorded answers."""

from __future__ import annotations

from collections.abc import Callable

from ..reverts import Revert, error_string
from ..signatures import MULTICALL3_ADDRESS
from .answers import CannotAnswer, ContractTable, Moment, add_view

Calls = list[tuple[str, bool, bytes]]
Results = list[tuple[bool, bytes]]
_ZERO = b"\0" * 32


class Multicall:
    """The usual functions of Multicall3, at its usual address.

    When `strict`, a sub-call that the recording cannot answer fails the whole call, so that a
    test notices; otherwise it reads as reverted.
    """

    def __init__(
        self, answers: ContractTable, chain_id: int, hash_of: Callable[[int], str]
    ) -> None:
        self.strict = True
        self._answers = answers
        contract = answers.contract(MULTICALL3_ADDRESS, "Multicall3", closed=True)
        one, many = "(address,bool,bytes)[]", "(bool,bytes)[]"
        add_view(contract, f"aggregate3({one})", many, self._run)
        add_view(
            contract,
            "aggregate3Value((address,bool,uint256,bytes)[])",
            many,
            lambda m, calls: self._run(m, [(a, ok, data) for a, ok, _, data in calls]),
        )
        add_view(
            contract,
            "tryAggregate(bool,(address,bytes)[])",
            many,
            lambda m, must, calls: self._run(m, [(a, not must, d) for a, d in calls]),
        )
        add_view(contract, "aggregate((address,bytes)[])", "uint256,bytes[]", self._aggregate)
        add_view(contract, "getBlockNumber()", "uint256", lambda m: m.number)
        add_view(contract, "getCurrentBlockTimestamp()", "uint256", lambda m: m.timestamp)
        add_view(contract, "getChainId()", "uint256", lambda _: chain_id)
        add_view(
            contract,
            "getBlockHash(uint256)",
            "bytes32",
            lambda m, n: hash_of(n) if m.number - 256 <= n < m.number else _ZERO,
        )

    def _run(self, moment: Moment, calls: Calls) -> Results:
        inner = Moment(moment.block, moment.timestamp, moment.number, MULTICALL3_ADDRESS)
        results: Results = []
        for address, may_fail, data in calls:
            try:
                results.append((True, self._answers.call(address, data, inner)))
            except CannotAnswer:
                if self.strict:
                    raise
                results.append(self._failed(may_fail, b""))
            except Revert as revert:
                results.append(self._failed(may_fail, revert.data))
        return results

    def _failed(self, may_fail: bool, data: bytes) -> tuple[bool, bytes]:
        if not may_fail:
            raise error_string("Multicall3: call failed")
        return False, data

    def _aggregate(self, moment: Moment, calls: list[tuple[str, bytes]]) -> tuple[int, list[bytes]]:
        results = self._run(moment, [(address, False, data) for address, data in calls])
        return moment.number, [data for _, data in results]
