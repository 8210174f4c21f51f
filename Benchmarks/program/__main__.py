"""Figures of the whole program: the real binary, a private PostgreSQL and a local node.

    scripts/bench backfill|million|idle|peer|kills ... [--long] [--rounds N]

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
from kills import kills  # noqa: E402
from million import million  # noqa: E402
from peer import peer  # noqa: E402
from place import Place  # noqa: E402

_SUITES = {
    "backfill": backfill,
    "million": million,
    "idle": idle,
    "peer": peer,
}
_NAMES = (*_SUITES, "kills")
# The others need a Python that not every machine has.
_ALWAYS = ("backfill", "million", "idle")


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.split("\n")[0])
    parser.add_argument("suites", nargs="*", metavar="|".join(_NAMES))
    parser.add_argument("--program", type=Path, default=ROOT / ".build/release/plimsoll")
    parser.add_argument("--rounds", type=int, default=3, help="of backfill, million and peer")
    parser.add_argument("--long", action="store_true", help="a million logs instead of 300,000")
    parser.add_argument("--kills", type=int, default=20, help="how many, of each program")
    parser.add_argument("--seed", type=int, default=1, help="of the moments to kill at")
    options = parser.parse_args()
    names = options.suites or list(_ALWAYS)
    unknown = [name for name in names if name not in _NAMES]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(_NAMES)}")
    if not options.program.exists():
        sys.exit(f"{options.program} is missing: make release")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    with Place(options.program) as place:
        for name in names:
            if name == "kills":
                kills(place, count=options.kills, seed=options.seed, is_long=options.long)
            else:
                _SUITES[name](place, rounds=options.rounds, is_long=options.long)
    print(f"load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
