"""Takes the demo down: stops its database and removes its files, whatever way the demo ends.

    python -m devchain.demo.guard BINARY CONFIGURATION FOLDER

The demo holds the other end of standard input. When the demo ends, even by kill -9, that end
closes, and this process does its work. It runs in a process group of its own, so that Ctrl-C in
the terminal reaches the demo alone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

_STOP_SECONDS = 20


def start(binary: Path, configuration: Path, folder: Path) -> subprocess.Popen[bytes]:
    """Starts the guard over a demo in `folder`."""
    return subprocess.Popen(
        [sys.executable, "-m", "devchain.demo.guard", binary, configuration, folder],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def finish(guard: subprocess.Popen[bytes]) -> None:
    """Lets the guard do its work and waits for it."""
    if guard.stdin:
        guard.stdin.close()
    guard.wait(_STOP_SECONDS + 10)


def main() -> None:
    binary, configuration, folder = sys.argv[1:4]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 4096):
        pass
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            [binary, "dev", "stop", "--config", configuration],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_STOP_SECONDS,
            check=False,
        )
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
