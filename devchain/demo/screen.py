"""Shows the demo: a picture that stays in place on a terminal, plain lines anywhere else."""

from __future__ import annotations

import os
import shutil
import sys
import time
from dataclasses import dataclass

from ..world import MarketInfo
from .program import Line

_BUCKETS = ((0.01, "under 1 %"), (0.02, "1 to 2 %"), (0.05, "2 to 5 %"), (0.10, "5 to 10 %"),
            (0.20, "10 to 20 %"), (9e9, "over 20 %"))  # fmt: skip
_BAR_WIDTH = 56
_MOST_ROWS = 10
_LINES_BESIDE_THE_TABLE = 18
_SUNK, _NEAR, _AFLOAT = "31;1", "33", "36"


@dataclass(frozen=True, slots=True)
class Picture:
    """What there is to show after one round of the jobs. All of it was read back from plimsoll,
    except the last three, which are the chain's own."""

    timestamp: int
    positions: list[Line]
    candidates: list[Line]
    counters: dict[str, int]
    events: int
    milliseconds: int
    prices: dict[str, int]
    liquidated: int
    agreeing: int


class Screen:
    """Draws pictures one after the other."""

    def __init__(self, markets: dict[str, MarketInfo]) -> None:
        self._markets = markets
        self._live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self._colour = self._live and "NO_COLOR" not in os.environ
        self._worst_told = 0
        self._started = False
        height = shutil.get_terminal_size().lines if self._live else 99
        self._rows = max(2, min(_MOST_ROWS, height - _LINES_BESIDE_THE_TABLE))

    def say(self, sentence: str) -> None:
        """A line of its own, before or after the picture."""
        print(sentence, flush=True)

    def show(self, picture: Picture) -> None:
        if self._live:
            self._draw(picture)
        else:
            self._print(picture)

    def close(self) -> None:
        """Gives the terminal back as it was."""
        if self._live and self._started:
            self._started = False
            sys.stdout.write("\x1b[?7h\x1b[?25h\n")
            sys.stdout.flush()

    # MARK: terminal

    def _draw(self, picture: Picture) -> None:
        lines = [*self._heading(picture), "", *self._bars(picture), "", *self._table(picture, True)]
        # The first time: no cursor, no wrapping of long lines, an empty screen.
        clear = "\x1b[H" if self._started else "\x1b[?25l\x1b[?7l\x1b[2J\x1b[H"
        self._started = True
        body = "\x1b[K\n".join(lines)
        sys.stdout.write(f"{clear}{body}\x1b[K\n\x1b[J")
        sys.stdout.flush()

    def _heading(self, picture: Picture) -> list[str]:
        clock = time.strftime("%a %d %b %Y %H:%M:%S UTC", time.gmtime(picture.timestamp))
        prices = "   ".join(f"{name} {_dollars(value)}" for name, value in picture.prices.items())
        counts = picture.counters
        return [
            self._tint("1", f"Plimsoll   {clock}   {prices}"),
            f"{counts.get('positions', 0)} positions with debt   "
            f"{counts.get('liquidatable', 0)} liquidatable   "
            f"{picture.liquidated} liquidated so far   "
            f"{picture.events:,} events   jobs {picture.milliseconds} ms",
        ]

    def _bars(self, picture: Picture) -> list[str]:
        over = len(picture.candidates)
        counts = [0] * len(_BUCKETS)
        named = {(line.market, line.user) for line in picture.candidates}
        for line in picture.positions:
            if (line.market, line.user) not in named:
                counts[_bucket(line.distance)] += 1
        widest = max(1, over, *counts)
        rows = [
            self._bar(label, count, widest, _NEAR if index < 2 else _AFLOAT)
            for index, (count, (_, label)) in reversed(
                list(enumerate(zip(counts, _BUCKETS, strict=True)))
            )
        ]
        water = self._tint("34", "~" * (16 + _BAR_WIDTH) + " the line")
        return ["price above the trigger", *rows, water, self._bar("sunk", over, widest, _SUNK)]

    def _bar(self, label: str, count: int, widest: int, colour: str) -> str:
        length = -(-count * _BAR_WIDTH // widest)
        return f"{label:>12}  {self._tint(colour, '█' * length)} {count}"

    def _table(self, picture: Picture, padded: bool) -> list[str]:
        header = (
            f"{'pair':<12}{'user':<14}{'trigger price':>15}{'current price':>15}{'distance':>10}"
            f"{'debt':>22}"
        )
        rows = [self._row(line) for line in picture.candidates[: self._rows]]
        more = len(picture.candidates) - len(rows)
        rest = f"and {more} more" if more > 0 else ""
        blank = [""] * (self._rows - len(rows)) if padded else []
        agreement = (
            f"The contract, asked about all {picture.agreeing} positions at this block, agrees "
            "with every verdict."
        )
        title = "liquidatable, furthest over the line first"
        return [title, self._tint("2", header), *rows, *blank, rest, agreement]

    def _row(self, line: Line) -> str:
        market = self._markets[line.market]
        scale = 36 + market.loan.decimals - market.collateral.decimals
        debt = f"{line.debt / 10**market.loan.decimals:,.2f} {market.loan.symbol}"
        return (
            f"{line.pair:<12}{line.user[:6]}…{line.user[-4:]}   {line.trigger / 10**scale:>15,.2f}"
            f"{line.price / 10**scale:>15,.2f}{100 * line.distance:>8.2f} %{debt:>22}"
        )

    def _tint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour and text else text

    # MARK: plain lines

    def _print(self, picture: Picture) -> None:
        clock = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(picture.timestamp))
        prices = "  ".join(f"{name} {_dollars(v):>9}" for name, v in picture.prices.items())
        near = sum(0 <= line.distance < 0.02 for line in picture.positions)
        counts = picture.counters
        print(
            f"{clock}  {prices}  positions {counts.get('positions', 0)}  within 2 % {near}  "
            f"liquidatable {counts.get('liquidatable', 0)}  liquidated {picture.liquidated}  "
            f"contract agrees {picture.agreeing}",
            flush=True,
        )
        if len(picture.candidates) >= max(1, 2 * self._worst_told):
            self._worst_told = len(picture.candidates)
            print("\n".join(self._table(picture, False)), flush=True)


def _bucket(distance: float) -> int:
    return next(index for index, (limit, _) in enumerate(_BUCKETS) if distance < limit)


def _dollars(answer: int) -> str:
    return f"{answer / 10**8:,.2f}"
