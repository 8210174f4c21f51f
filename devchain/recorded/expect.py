"""The truth at a block of a recording, from recorded contract answers alone.

    python -m devchain.recorded.expect RECORDING BLOCK [--inserted B1,B2]
    python -m devchain.recorded.expect RECORDING --blocks

The nearest recorded answers at or before the block, as JSON with decimal strings. `--inserted`
names blocks that `dev_reorg {drop}` put in; BLOCK is then a served number. `--blocks` lists the
blocks that have answers.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from .recording import load, read_json

MARKET_WORDS = (
    "totalSupplyAssets",
    "totalSupplyShares",
    "totalBorrowAssets",
    "totalBorrowShares",
    "lastUpdate",
    "fee",
)
POSITION_WORDS = ("supplyShares", "borrowShares", "collateral")


def answered_blocks(content: dict[str, Any]) -> list[int]:
    """The blocks with recorded answers, in order."""
    told = content.get("hourly") or content.get("snapshots") or []
    return sorted({answers["block"] for answers in told})


def expected(path: Path, block: int, inserted: tuple[int, ...] = ()) -> dict[str, Any]:
    """The recorded answers that hold at a served block."""
    content = read_json(path)
    recorded = block - sum(place <= block for place in inserted)
    told: dict[str, Any] = {"block": block, "recorded_block": recorded}
    if "snapshots" in content:
        before = [answers for answers in content["snapshots"] if answers["block"] <= recorded]
        if not before:
            return told | {"error": f"no answers at or before block {block}"}
        return told | {"exact": before[-1]["block"] == recorded, "snapshot": before[-1]}
    if "hourly" not in content:
        return told | _final_words(path, content, recorded)
    hours = [hour for hour in content["hourly"] if hour["block"] <= recorded]
    if not hours:
        first = content["hourly"][0]["block"]
        return told | {"error": f"no answers at or before block {block}; the first is at {first}"}
    daily = next((hour for hour in reversed(hours) if "positions" in hour), None)
    return told | {
        "exact": hours[-1]["block"] == recorded,
        "hour": hours[-1],
        "last_daily_positions": daily and {key: daily[key] for key in ("ts", "positions")},
    }


def _final_words(path: Path, content: dict[str, Any], recorded: int) -> dict[str, Any]:
    last = len(load(path).blocks) - 1
    if recorded < last:
        return {"error": f"a log stream records its final state only, at block {last}"}
    return {
        "exact": recorded == last,
        "snapshot_timestamp": content["endTimestamp"],
        "markets": {
            market["id"]: dict(zip(MARKET_WORDS, market["market"], strict=True))
            | {key: market[key] for key in ("rateAtTarget", "fixedRate", "params")}
            | {"accruedNow": market["expectedNow"]}
            for market in content["markets"]
        },
        "positions": {
            f"{entry['id']}/{entry['user']}": dict(
                zip(POSITION_WORDS, entry["position"], strict=True)
            )
            for entry in content["positions"]
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="devchain.recorded.expect", description=__doc__)
    parser.add_argument("recording", type=Path)
    parser.add_argument("block", type=lambda text: int(text, 0), nargs="?")
    parser.add_argument("--blocks", action="store_true")
    parser.add_argument("--inserted", default="")
    options = parser.parse_args()
    if options.blocks:
        print(json.dumps(answered_blocks(read_json(options.recording))))
        return
    if options.block is None:
        parser.error("a block is needed")
    inserted = tuple(int(item) for item in options.inserted.split(",") if item)
    told = expected(options.recording, options.block, inserted)
    print(json.dumps(told, indent=1))
    sys.exit(2 if "error" in told else 0)


if __name__ == "__main__":
    main()
