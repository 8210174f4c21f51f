"""Minimum, median and maximum, in columns."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median


def header(title: str) -> None:
    print(f"\n{title}\n{'':52}       min    median       max", flush=True)


def line(name: str, values: Sequence[float], digits: int = 1) -> None:
    columns = (min(values), median(values), max(values))
    print(f"{name:52}" + "".join(f"{value:10,.{digits}f}" for value in columns), flush=True)


def ratios(name: str, ours: Sequence[float], reference: Sequence[float]) -> None:
    """Round by round, so that a slow moment of the machine hits both."""
    line(name, [a / b for a, b in zip(ours, reference, strict=True)], 2)
