"""Runs the plimsoll binary, as cron would, and reads what it prints as JSON."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TIMEOUT_SECONDS = 60
# Done, or done with item failures (an unknown verdict, say): the story goes on.
_GOES_ON = (0, 1)
ROOT = Path(__file__).parents[2]


class ProgramError(Exception):
    """The binary is missing, or a command of it failed."""


@dataclass(frozen=True, slots=True)
class Line:
    """A position beside its line, as `positions` and `scan-liquidations` tell it: raw integers."""

    market: str
    user: str
    pair: str
    debt: int
    trigger: int
    price: int

    @property
    def distance(self) -> float:
        """How far the price is above the trigger, in parts of the price; negative when sunk."""
        return 1 - self.trigger / self.price


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan: the candidates, and the counts that the program gives with them."""

    candidates: list[Line]
    counters: dict[str, int]


def find_binary(named: Path | None) -> Path:
    """The named binary, or what was built last."""
    built = [ROOT / ".build" / kind / "plimsoll" for kind in ("release", "debug")]
    found = [path for path in ([named] if named else built) if path.exists()]
    if not found:
        raise ProgramError(f"{named or built[0]} is not there: run `make release` first")
    return max(found, key=lambda path: path.stat().st_mtime).absolute()


class Program:
    """The binary with its configuration. Commands run one after the other."""

    def __init__(self, binary: Path, configuration: Path) -> None:
        self.binary = binary
        self.configuration = configuration
        self.calls = 0
        self.seconds = 0.0

    async def run(self, *arguments: str) -> dict[str, Any]:
        """One command with `--json`; raises `ProgramError` with what it said when it fails."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        code, output, errors = await self._spawn(*arguments, "--json")
        self.calls, self.seconds = self.calls + 1, self.seconds + loop.time() - start
        if code not in _GOES_ON:
            said = (errors or output).strip().splitlines()[-5:]
            raise ProgramError(f"plimsoll {arguments[0]} ended with {code}: {' | '.join(said)}")
        try:
            return json.loads(output)
        except ValueError as error:
            raise ProgramError(f"plimsoll {arguments[0]}: not JSON: {output[:200]}") from error

    async def command(self, *arguments: str) -> str:
        """A command whose text is not looked into."""
        code, output, errors = await self._spawn(*arguments)
        if code:
            raise ProgramError(
                f"plimsoll {' '.join(arguments)} ended with {code}: {errors}{output}"
            )
        return output

    async def _spawn(self, *arguments: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            self.binary,
            *arguments,
            "--config",
            self.configuration,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            output, errors = await asyncio.wait_for(process.communicate(), _TIMEOUT_SECONDS)
        except (TimeoutError, asyncio.CancelledError):
            process.kill()
            await process.wait()
            raise
        return process.returncode or 0, output.decode(), errors.decode()

    async def scan(self) -> Scan:
        """`scan-liquidations`: who may be liquidated now."""
        told = await self.run("scan-liquidations", "--limit", "100000")
        verified = [row for row in told["candidates"] if row.get("certainty") == "verified"]
        return Scan(_lines(verified), told["counters"])

    async def positions(self) -> list[Line]:
        """`positions`: everyone with debt, nearest to the line first."""
        told = await self.run("positions", "--limit", "100000")
        return _lines(told["positions"])


def _lines(rows: list[dict[str, Any]]) -> list[Line]:
    """Rows with everything that a picture needs; a position without debt has no trigger."""
    return [
        Line(
            row["market"],
            row["user"].lower(),
            row["pair"],
            int(row["debt"]),
            int(row["trigger_price"]),
            int(row["price"]),
        )
        for row in rows
        if row.get("trigger_price") and row.get("price") and row.get("debt")
    ]
