"""ABI coding: what goes in comes out, and hostile data is an error."""

from __future__ import annotations

import contextlib
import random
import unittest

from devchain.abi import AbiError, decode, encode, selector, topic


class AbiTests(unittest.TestCase):
    def test_selectors_and_topics_match_known_ones(self) -> None:
        self.assertEqual(selector("transfer(address,uint256)").hex(), "a9059cbb")
        self.assertEqual(
            topic("Transfer(address,address,uint256)"),
            "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef",
        )

    def test_nested_values_survive_a_round_trip(self) -> None:
        types = "uint256,(address,bool,bytes)[],int256[2],string,bytes4"
        values = [
            7,
            [["0x" + "11" * 20, True, b"ab"], ["0x" + "22" * 20, False, b""]],
            [-1, 2**255 - 1],
            "Grüße",
            "0x01020304",
        ]
        self.assertEqual(decode(types, encode(types, values)), values)

    def test_dirty_high_bits_are_refused(self) -> None:
        word = encode("uint256", [2**160])
        for narrow in ("address", "bool", "uint128", "uint8"):
            with self.assertRaises(AbiError):
                decode(narrow, word)

    def test_random_bytes_never_do_worse_than_an_error(self) -> None:
        rng = random.Random(20230817)
        for _ in range(3000):
            data = bytearray(encode("(address,bool,bytes)[]", [[["0x" + "11" * 20, True, b"x"]]]))
            for _ in range(rng.randrange(1, 6)):
                data[rng.randrange(len(data))] = rng.choice((0, 1, 0x20, 0x7F, 0xFF))
            with contextlib.suppress(AbiError):
                decode("(address,bool,bytes)[]", bytes(data[: rng.randrange(len(data) + 1)]))


if __name__ == "__main__":
    unittest.main()
