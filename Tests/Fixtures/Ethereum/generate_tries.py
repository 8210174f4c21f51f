"""Writes tries.json: roots of ordered tries, by the dev chain's way of building them.

    .venv/bin/python -m Tests.Fixtures.Ethereum.generate_tries

Value number `p` of a trie of `count` values of up to `size` bytes has
1 + (7 p + count) mod size bytes; byte `i` of it is (31 p + 17 i + size) mod 256.
"""

import json
import pathlib

from devchain.tries import ordered_root

HERE = pathlib.Path(__file__).parent
COUNTS = [*range(20), 55, 56, 126, 127, 128, 129, 130, 143, 144, 255, 256, 257, 300, 700]


def value(place: int, count: int, size: int) -> bytes:
    length = 1 + (7 * place + count) % size
    return bytes((31 * place + 17 * index + size) % 256 for index in range(length))


cases = [
    {
        "count": count,
        "size": size,
        "root": ordered_root([value(place, count, size) for place in range(count)]),
    }
    for count in COUNTS
    for size in (1, 12, 40, 400)
]
(HERE / "tries.json").write_text(json.dumps(cases, indent=0) + "\n")
