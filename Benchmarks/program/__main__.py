"""Figures of the whole program: the real binary, a private PostgreSQL and a local node.

    scripts/bench backfill|million|idle ... [--long] [--rounds N]

Every figure stands beside a reference that was measured in the same run, since two shared cores
say little in seconds and much in ratios. Databases keep their durable settings.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from backfill import backfill  # noqa: E402
from idle import idle  # noqa: E402
from million import million  # noqa: E402
from place import Place  # noqa: E402

_SUITES = {"backfill": backfill, "million": million, "idle": idle}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.split("\n")[0])
    parser.add_argument("suites", nargs="*", metavar="|".join(_SUITES))
    parser.add_argument("--program", type=Path, default=ROOT / ".build/release/plimsoll")
    parser.add_argument("--rounds", type=int, default=3, help="of backfill and million")
    parser.add_argument("--long", action="store_true", help="a million logs instead of 300,000")
    options = parser.parse_args()
    names = options.suites or list(_SUITES)
    unknown = [name for name in names if name not in _SUITES]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(_SUITES)}")
    if not options.program.exists():
        sys.exit(f"{options.program} is missing: make release")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    with Place(options.program) as place:
        for name in names:
            _SUITES[name](place, rounds=options.rounds, is_long=options.long)
    print(f"load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
