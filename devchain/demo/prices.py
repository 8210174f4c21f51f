"""The Chainlink rounds that the demo plays."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "prices"
_FEEDS = {"ETH": "eth_usd.csv", "BTC": "btc_usd.csv"}


@dataclass(frozen=True, slots=True, order=True)
class Round:
    """One published price, in dollars with eight decimals."""

    updated_at: int
    asset: str
    answer: int


def rounds(first: int, last: int) -> list[Round]:
    """All rounds of both feeds from `first` to `last`, in the order they were published."""
    found = []
    for asset, name in _FEEDS.items():
        with (_FOLDER / name).open(newline="") as handle:
            for row in csv.DictReader(handle):
                if first <= int(row["updated_at"]) <= last:
                    found.append(Round(int(row["updated_at"]), asset, int(row["answer"])))
    return sorted(found)
