"""Moolah's lending brokers and their rate calculator, rebuilt from logs alone.

The logs of a broker do not hold all that it keeps; with those of the core and of the calculator in
the same transaction, and the contract's rules, they do for the recorded transactions. Whoever runs
this program's jobs against it is told by calls, and cannot see how the answers were made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..abi import topic
from ..encoding import address_at
from .history import History

RAY = 10**27
YEAR = 31_536_000

_SIGNATURES = (
    "DynamicLoanPositionBorrowed(address,uint256,uint256)",
    "DynamicLoanPositionRepaid(address,uint256,uint256)",
    "FixedLoanPositionCreated(address,uint256,uint256,uint256,uint256,uint256,uint256)",
    "RepaidFixedLoanPosition(address,uint256,uint256,uint256,uint256,uint256,uint256,uint256,"
    "uint256,uint256,uint256)",
    "FixedLoanPositionRemoved(address,uint256)",
    "FixedPositionRefinanced(address,uint256,uint256,uint256,uint256,uint256)",
    "AllPositionsRepaid(address,uint256)",
    "Liquidated(address,uint256,uint256)",
    "BrokerRegistered(address,uint256,uint256)",
    "BrokerDeregistered(address)",
    "RatePerSecondUpdated(address,uint256,uint256)",
    "MaxRatePerSecondSet(address,uint256,uint256)",
)
_NAMES = {topic(signature): signature.split("(")[0] for signature in _SIGNATURES}
_REPAY = topic("Repay(bytes32,address,address,uint256,uint256)")
_BORROW = topic("Borrow(bytes32,address,address,address,uint256,uint256)")


@dataclass(frozen=True)
class Term:
    """A loan of a fixed term: the eight words of the contract's tuple."""

    number: int
    principal: int
    apr: int
    start: int
    end: int
    last_repaid: int
    interest_repaid: int
    principal_repaid: int

    @property
    def left(self) -> int:
        return self.principal - self.principal_repaid

    @property
    def words(self) -> list[int]:
        return list(self.__dict__.values())

    def interest(self, at: int) -> int:
        elapsed = min(at, self.end) - min(self.last_repaid, self.end)
        if self.principal == 0 or elapsed == 0:
            return 0
        per_second = 0 if self.apr <= RAY else divided_up(self.apr - RAY, YEAR)
        return divided_up(self.left * per_second * elapsed, RAY)


@dataclass(frozen=True)
class Loans:
    """What a broker keeps of a user."""

    principal: int = 0
    normalized: int = 0
    terms: tuple[Term, ...] = ()

    def debt(self, rate: int, at: int) -> int:
        fixed = sum(term.left + term.interest(at) - term.interest_repaid for term in self.terms)
        return fixed + divided_up(self.normalized * rate, RAY)

    def without(self, numbers: set[int]) -> Loans:
        return replace(self, terms=tuple(t for t in self.terms if t.number not in numbers))

    def dynamic(self, principal: int, normalized: int) -> Loans:
        """Less of the dynamic part; without principal nothing of it is left."""
        return replace(
            self, principal=principal, normalized=max(0, normalized) if principal else 0
        )


@dataclass(frozen=True)
class Row:
    """What the rate calculator keeps of a broker."""

    index: int
    per_second: int
    maximum: int
    updated: int

    def index_at(self, at: int) -> int:
        if self.per_second == 0 or at == self.updated:
            return self.index
        return rpow(self.per_second, at - self.updated) * self.index // RAY

    def accrued(self, at: int) -> Row:
        return replace(self, index=self.index_at(at), updated=at)


class Brokers:
    """All brokers of a recording."""

    def __init__(self, markets: dict[str, str], calculator: str, core: str, positions: Any) -> None:
        self.markets = markets
        self.calculator = calculator
        self.core = core
        self.positions = positions
        self.rows: History[str, Row | None] = History()
        self.loans: History[tuple[str, str], Loans] = History()

    def apply(
        self, entry: dict[str, Any], transaction: list[dict[str, Any]], block: int, at: int
    ) -> None:
        """Takes in the next log, with all of its transaction's."""
        name = _NAMES.get(entry["topics"][0]) if entry["topics"] else None
        if name is None:
            return
        if entry["address"] == self.calculator:
            self._apply_to_row(name, entry, block, at)
        elif entry["address"] in self.markets:
            _Change(self, entry, transaction, block, at).apply(name)

    def debt(self, broker: str, user: str, block: int, at: int) -> int | None:
        """None for a broker that the calculator does not know."""
        row = self.rows.at(broker, block)
        loans = self.loans.at((broker, user), block, Loans())
        return None if row is None else loans.debt(row.index_at(at), at)

    def accrue(self, broker: str, block: int, at: int) -> int:
        row = self.rows.latest(broker)
        if row is None:
            return RAY
        self.rows.set(broker, block, row.accrued(at))
        return row.index_at(at)

    def _apply_to_row(self, name: str, entry: dict[str, Any], block: int, at: int) -> None:
        broker, words = address_at(entry["topics"][1]), words_of(entry)
        row = self.rows.latest(broker)
        if name == "BrokerRegistered":
            self.rows.set(broker, block, Row(RAY, words[0], words[1], at))
        elif name == "BrokerDeregistered":
            self.rows.set(broker, block, None)
        elif name == "RatePerSecondUpdated" and row:
            self.rows.set(broker, block, replace(row.accrued(at), per_second=words[1]))
        elif name == "MaxRatePerSecondSet" and row:
            self.rows.set(broker, block, replace(row, maximum=words[1]))


class _Change:
    """What one log of a broker makes of its user's loans."""

    def __init__(
        self,
        brokers: Brokers,
        entry: dict[str, Any],
        transaction: list[dict[str, Any]],
        block: int,
        at: int,
    ) -> None:
        self.brokers, self.entry, self.block, self.at = brokers, entry, block, at
        self.broker = entry["address"]
        self.user = address_at(entry["topics"][1])
        place = next(i for i, other in enumerate(transaction) if other is entry)
        self.before, self.after = transaction[:place], transaction[place + 1 :]
        own = [other for other in transaction if other["address"] == self.broker]
        self.own = [(_NAMES.get(other["topics"][0]), other) for other in own if other["topics"]]
        self.names = {name for name, _ in self.own}
        self.loans = brokers.loans.latest((self.broker, self.user), Loans())

    def apply(self, name: str) -> None:
        handler = getattr(self, f"_on_{name}", None)
        if handler:
            handler(words_of(self.entry))
            self.brokers.loans.set((self.broker, self.user), self.block, self.loans)

    def _rate(self) -> int:
        return self.brokers.accrue(self.broker, self.block, self.at)

    def _on_DynamicLoanPositionBorrowed(self, words: list[int]) -> None:
        rate, loans = self._rate(), self.loans
        if "FixedPositionRefinanced" not in self.names:
            more = divided_up(words[0] * RAY, rate)
            self.loans = replace(
                loans, principal=loans.principal + words[0], normalized=loans.normalized + more
            )
            return
        matured = {
            words_of(other)[0]
            for name, other in self.own
            if name == "FixedPositionRefinanced" and address_at(other["topics"][1]) == self.user
        }
        terms = [term for term in loans.terms if term.number in matured]
        principal = sum(term.left for term in terms)
        interest = sum(term.interest(self.at) - term.interest_repaid for term in terms)
        self.loans = replace(
            loans.without(matured),
            principal=loans.principal + principal,
            normalized=loans.normalized + divided_up((principal + interest) * RAY, rate),
        )

    def _on_DynamicLoanPositionRepaid(self, words: list[int]) -> None:
        if "AllPositionsRepaid" in self.names:
            return
        rate = self._rate()
        repaid = sum(
            words_of(other)[0]
            for other in self.before
            if other["address"] == self.brokers.core
            and other["topics"][0] == _REPAY
            and address_at(other["topics"][3]) == self.user
        )
        normalized = max(0, self.loans.normalized - (words[0] - repaid) * RAY // rate)
        if repaid == 0:
            self.loans = replace(self.loans, normalized=normalized)
            return
        principal = max(0, self.loans.principal - repaid)
        self.loans = self.loans.dynamic(principal, normalized - repaid * RAY // rate)

    def _on_FixedLoanPositionCreated(self, words: list[int]) -> None:
        number, amount, start, end, apr, _ = words
        if not self._borrows(amount):  # A dynamic debt becomes one of a fixed term.
            rate, loans = self._rate(), self.loans
            grown = divided_up(loans.normalized * rate, RAY)
            interest = min(amount, max(0, grown - loans.principal))
            self.loans = loans.dynamic(
                loans.principal - (amount - interest), loans.normalized - amount * RAY // rate
            )
        term = Term(number, amount, apr, start, end, start, 0, 0)
        self.loans = replace(self.loans, terms=(*self.loans.terms, term))

    def _borrows(self, amount: int) -> bool:
        return any(
            other["address"] == self.brokers.core
            and other["topics"][0] == _BORROW
            and words_of(other)[1] == amount
            for other in self.after
        )

    def _on_RepaidFixedLoanPosition(self, words: list[int]) -> None:
        number, principal_repaid, now_repaid, interest = words[0], words[5], words[6], words[9]
        self._update(
            number,
            principal_repaid=principal_repaid,
            interest_repaid=interest,
            **({"last_repaid": self.at} if now_repaid else {}),
        )

    def _on_FixedLoanPositionRemoved(self, words: list[int]) -> None:
        if not self.names & {"AllPositionsRepaid", "Liquidated"}:
            self._remove(words[0])

    def _on_AllPositionsRepaid(self, _: list[int]) -> None:
        self._rate()
        self.loans = Loans()

    def _on_Liquidated(self, words: list[int]) -> None:
        rate = self._rate()
        market = self.brokers.markets[self.broker]
        if self.brokers.positions.latest((market, self.user)).borrow_shares == 0:
            self.loans = Loans()
            return
        principal, interest = self._clear_dynamic(words[0], words[1], rate)
        due = sorted((t for t in self.loans.terms if t.left > 0), key=lambda t: t.end)
        for term in due:
            paid_interest = min(interest, term.interest(self.at) - term.interest_repaid)
            paid_principal = min(principal, term.left)
            interest -= paid_interest
            principal -= paid_principal
            self._clear(term, paid_interest, paid_principal)

    def _clear_dynamic(self, principal: int, interest: int, rate: int) -> tuple[int, int]:
        """Interest first, then principal; returns what is left of both."""
        loans = self.loans
        grown = divided_up(loans.normalized * rate, RAY)
        if grown == 0:
            return principal, interest
        paid_interest = min(max(0, grown - loans.principal), interest)
        paid_principal = min(loans.principal, principal)
        normalized = max(0, loans.normalized - paid_interest * RAY // rate)
        self.loans = replace(
            loans,
            principal=loans.principal - paid_principal,
            normalized=max(0, normalized - paid_principal * RAY // rate),
        )
        return principal - paid_principal, interest - paid_interest

    def _clear(self, term: Term, interest: int, principal: int) -> None:
        if principal == 0:
            self._update(term.number, interest_repaid=term.interest_repaid + interest)
        elif principal == term.left:
            self._remove(term.number)
        else:
            self._update(
                term.number,
                principal_repaid=term.principal_repaid + principal,
                interest_repaid=0,
                last_repaid=self.at,
            )

    def _update(self, number: int, **changes: int) -> None:
        terms = (replace(t, **changes) if t.number == number else t for t in self.loans.terms)
        self.loans = replace(self.loans, terms=tuple(terms))

    def _remove(self, number: int) -> None:
        """The last one takes the place of the one that goes, as in the contract."""
        terms = list(self.loans.terms)
        place = next((i for i, term in enumerate(terms) if term.number == number), None)
        if place is not None:
            terms[place] = terms[-1]
            terms.pop()
            self.loans = replace(self.loans, terms=tuple(terms))


def words_of(entry: dict[str, Any]) -> list[int]:
    data = entry["data"][2:]
    return [int(data[i : i + 64], 16) for i in range(0, len(data), 64)]


def divided_up(number: int, by: int) -> int:
    return -(-number // by)


def rpow(base: int, exponent: int) -> int:
    """MakerDAO's power in RAY, each product rounded half up."""
    power = base if exponent % 2 else RAY
    while exponent := exponent // 2:
        base = (base * base + RAY // 2) // RAY
        if exponent % 2:
            power = (power * base + RAY // 2) // RAY
    return power


def user_peek(
    collateral_peek: int,
    loan_peek: int,
    delta: int,
    collateral: int,
    decimals: tuple[int, int],
) -> int:
    """The collateral's price less the debt that the core does not know of, per collateral."""
    if collateral == 0:
        return collateral_peek
    value = delta * loan_peek // 10**8
    loan_decimals, collateral_decimals = decimals
    scale = 10 ** (8 + collateral_decimals)
    deduction = divided_up(value * scale, collateral * 10**loan_decimals)
    return max(0, collateral_peek - deduction)
