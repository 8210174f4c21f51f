"""The quick tries against the slow ones."""

from __future__ import annotations

import random
import unittest

from devchain import bulktries, tries

_SEED = 11
# About the lengths at which RLP changes its form, and those that a node holds without a hash.
_LENGTHS = (1, 2, 20, 31, 32, 33, 54, 55, 56, 57, 255, 256, 400, 66_000)


class BulkTrieTests(unittest.TestCase):
    def test_roots_are_those_of_the_slow_way(self) -> None:
        rng = random.Random(_SEED)
        for count in (*range(40), 127, 128, 129, 257):
            values = [rng.randbytes(rng.choice(_LENGTHS)) for _ in range(count)]
            expected = tries.ordered_root(values)
            self.assertEqual(bulktries.ordered_root(values), expected, (_SEED, count))

    def test_receipts_are_those_of_the_slow_way(self) -> None:
        rng = random.Random(_SEED)
        for case in range(200):
            bloom, gas = rng.getrandbits(2048), rng.randrange(1, 10**8)
            logs = [
                (
                    f"0x{rng.getrandbits(160):040x}",
                    tuple(f"0x{rng.getrandbits(256):064x}" for _ in range(rng.randrange(5))),
                    rng.randbytes(rng.randrange(200)).hex(),
                )
                for _ in range(rng.randrange(4))
            ]
            expected = tries.receipt_bytes(2, True, gas, bloom, logs)
            found = bulktries.receipt_bytes(2, gas, bloom.to_bytes(256, "big"), logs)
            self.assertEqual(found, expected, (_SEED, case))


if __name__ == "__main__":
    unittest.main()
