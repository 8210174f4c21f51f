"""Plays the demo: python -m devchain.demo [--program PATH] [--seed N] [--seconds 70]"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from .play import show
from .program import ROOT, ProgramError, find_binary


def main() -> None:
    parser = argparse.ArgumentParser(prog="demo", description="real prices, a chain of its own")
    parser.add_argument("--program", type=Path, help="the plimsoll binary (default: the built one)")
    parser.add_argument("--seed", type=int, default=17, help="another seed, another story")
    parser.add_argument("--seconds", type=float, default=70, help="how long the play takes")
    options = parser.parse_args()
    try:
        binary = find_binary(options.program)
    except ProgramError as error:
        print(f"demo: {error}", file=sys.stderr)
        sys.exit(69)
    # PostgreSQL may run under another user, who must be able to reach its folder.
    home = ROOT / ".plimsoll"
    home.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="demo-", dir=home))
    folder.chmod(0o755)
    sys.exit(asyncio.run(show(options.seed, options.seconds, binary, folder)))


if __name__ == "__main__":
    main()
