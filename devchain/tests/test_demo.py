"""The demo's parts that need no program: prices, story, picture, and taking everything down."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from devchain.demo.prices import rounds
from devchain.demo.program import Line
from devchain.demo.screen import Picture, Screen
from devchain.demo.story import BORROWERS, END, START, Story

ROOT = Path(__file__).parents[2]


class PriceTests(unittest.TestCase):
    def test_rounds_are_in_order_and_hold_the_fall(self) -> None:
        played = rounds(START, END)
        self.assertEqual([r.updated_at for r in played], sorted(r.updated_at for r in played))
        lowest = {a: min(r.answer for r in played if r.asset == a) for a in ("ETH", "BTC")}
        self.assertEqual(lowest, {"ETH": 155_799_625_094, "BTC": 2_554_398_000_000})


class StoryTests(unittest.TestCase):
    def test_everyone_starts_above_the_line_and_some_sink(self) -> None:
        story = Story(1)
        start = story.contract_verdicts(story.chain.head.number)
        self.assertEqual(len(start), BORROWERS)
        self.assertFalse(any(start.values()))
        for entry in story.rounds:
            story.play(entry)
            if entry.answer == 155_799_625_094:
                break
        end = story.contract_verdicts(story.chain.head.number)
        self.assertGreater(sum(end.values()), 40)
        named = [key for key, sunk in end.items() if sunk]
        self.assertEqual(story.liquidate(named), (len(named), len(named)))

    def test_another_seed_tells_another_story(self) -> None:
        first, again, other = Story(3), Story(3), Story(4)
        self.assertEqual(first.chain.head.hash, again.chain.head.hash)
        self.assertNotEqual(first.chain.head.hash, other.chain.head.hash)


class ScreenTests(unittest.TestCase):
    def test_plain_lines_tell_counts_and_candidates(self) -> None:
        story = Story(2)
        market = story.markets[0]
        line = Line(
            market.id, "0x" + "ab" * 20, "WETH/USDT", 5 * 10**18, 1800 * 10**36, 1700 * 10**36
        )
        picture = Picture(
            START,
            [line],
            [line],
            {"positions": 1, "liquidatable": 1},
            7,
            12,
            {"ETH": 170_000_000_000},
            0,
            1,
        )
        with contextlib.redirect_stdout(io.StringIO()) as output:
            screen = Screen(story.world.markets)
            screen.show(picture)
            screen.close()
        told = output.getvalue()
        self.assertIn("2023-08-16 20:00:00  ETH  1,700.00  positions 1", told)
        self.assertRegex(
            told, r"WETH/USDT +0xabab…abab +1,800\.00 +1,700\.00 +-5\.88 % +5\.00 USDT"
        )
        self.assertNotIn("\x1b", told)


class GuardTests(unittest.TestCase):
    def test_the_folder_goes_when_the_demo_is_killed(self) -> None:
        with tempfile.TemporaryDirectory() as home:
            folder = Path(home) / "demo"
            folder.mkdir()
            script = (
                "import sys, time\n"
                "from pathlib import Path\n"
                "from devchain.demo import guard\n"
                f"guard.start(Path('/bin/true'), Path('none.json'), Path({str(folder)!r}))\n"
                "print('started', flush=True)\n"
                "time.sleep(60)\n"
            )
            with subprocess.Popen(
                [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE
            ) as demo:
                assert demo.stdout
                demo.stdout.readline()
                demo.kill()
            deadline = time.monotonic() + 10
            while folder.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            self.assertFalse(folder.exists())


if __name__ == "__main__":
    unittest.main()
