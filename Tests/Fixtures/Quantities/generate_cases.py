#!/usr/bin/env python3
"""Writes arithmetic cases with the answers of Python's own integers.

    generate_cases.py OPERATION COUNT SEED

One case a line: operands, then results, all decimal, separated by spaces. A case without an
exact answer has one of overflow, underflow, divisionByZero in place of the results.
Operands lean to the edges where carries, borrows and quotient estimates go wrong.
"""

import random
import sys

WORD = 1 << 64
U128 = 1 << 128
U256 = 1 << 256
U512 = 1 << 512
I_MIN = -(1 << 255)
I_MAX = (1 << 255) - 1

EDGE_WORDS = [0, 1, 2, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, WORD - 2, WORD - 1]
EDGES = sorted(
    {0, 1, 2, 3, 9, 10, 10**9, 10**18, 10**19, 10**27, 10**36, 10**38, 10**77}
    | {(1 << bits) + d for bits in (32, 63, 64, 127, 128, 191, 192, 255) for d in (-2, -1, 0, 1, 2)}
    | {U256 - 1, U256 - 2, U256 - 3}
)


class Refused(Exception):
    """The operation has no exact answer in its result type."""


def words(rng, count):
    """A number of edge words: what stretches carries and wrong quotient estimates."""
    value = 0
    for _ in range(count):
        word = rng.choice(EDGE_WORDS) if rng.random() < 0.75 else rng.getrandbits(64)
        value = value << 64 | word
    return value


def operand(rng, bits=256):
    kind = rng.random()
    if kind < 0.2:
        return rng.choice(EDGES) % (1 << bits)
    if kind < 0.5:
        return words(rng, rng.randint(1, bits // 64))
    if kind < 0.85:
        return rng.getrandbits(rng.randint(1, bits))
    return rng.getrandbits(bits)


def signed(rng):
    kind = rng.random()
    if kind < 0.1:
        return rng.choice([I_MIN, I_MIN + 1, -1, 0, 1, I_MAX - 1, I_MAX])
    value = operand(rng) % (1 << 255)
    return value if rng.random() < 0.5 else -value


def beside_a_multiple(rng, limit):
    """A dividend that is a multiple of its divisor, or a unit or a remainder away from one."""
    divisor = max(1, operand(rng))
    quotient = operand(rng)
    dividend = divisor * quotient + rng.choice([-1, 0, 1, divisor - 1, rng.randrange(divisor)])
    return dividend % limit, divisor


def fit(value, limit=U256):
    if value < 0:
        raise Refused("underflow")
    if value >= limit:
        raise Refused("overflow")
    return value


def fit_signed(value):
    if value > I_MAX:
        raise Refused("overflow")
    if value < I_MIN:
        raise Refused("underflow")
    return value


def over(divisor):
    if divisor == 0:
        raise Refused("divisionByZero")
    return divisor


def ceil_div(n, d):
    return -(-n // d)


def toward_zero(n, d):
    quotient = abs(n) // abs(over(d))
    return -quotient if (n < 0) != (d < 0) else quotient


def remainder(n, d):
    rest = abs(n) % abs(over(d))
    return -rest if n < 0 else rest


def halves(value):
    return value // U256, value % U256


def pair(rng):
    return operand(rng), operand(rng)


def dividend_and_divisor(rng):
    return beside_a_multiple(rng, U256) if rng.random() < 0.5 else pair(rng)


def triple(rng):
    if rng.random() < 0.5:
        return operand(rng), operand(rng), operand(rng)
    # A divisor near a factor, so that quotients stay in range more often.
    x, y = pair(rng)
    near = max(x, y) + rng.choice([-1, 0, 1, operand(rng, 128)])
    return x, y, near % U256


def full_triple(rng):
    """Products whose quotient is at the edge of 256 bits half of the time."""
    if rng.random() < 0.5:
        return triple(rng)
    x, y = operand(rng) | 1 << 255, operand(rng)
    return x, y, (x * y // U256 + rng.choice([-1, 0, 1, 2])) % U256


def wide_and_divisor(rng):
    dividend, divisor = (
        beside_a_multiple(rng, U512)
        if rng.random() < 0.6
        else (words(rng, rng.randint(1, 8)), operand(rng))
    )
    return (*halves(dividend), divisor)


def mul_div_up(x, y, d):
    over(d)
    return fit(fit(x * y) + d - 1) // d


def wide(high, low):
    return high * U256 + low


# operation -> (operands, results); a result that does not fit raises Refused.
OPERATIONS = {
    "add": (pair, lambda a, b: [fit(a + b)]),
    "subtract": (pair, lambda a, b: [fit(a - b)]),
    "subtractFlooredAtZero": (pair, lambda a, b: [max(0, a - b)]),
    "multiply": (
        lambda r: pair(r) if r.random() < 0.5 else (operand(r, 128), operand(r, 128)),
        lambda a, b: [fit(a * b)],
    ),
    "multiplyFullWidth": (pair, lambda a, b: [*halves(a * b)]),
    "divideDown": (dividend_and_divisor, lambda n, d: [n // over(d)]),
    "divideUp": (dividend_and_divisor, lambda n, d: [ceil_div(n, over(d))]),
    "quotientAndRemainder": (dividend_and_divisor, lambda n, d: [*divmod(n, over(d))]),
    "divideByWord": (
        lambda r: (operand(r), operand(r, 64)),
        lambda n, d: [*divmod(n, over(d))],
    ),
    "mulDivDown": (triple, lambda x, y, d: [over(d) and fit(x * y) // d]),
    "mulDivUp": (triple, lambda x, y, d: [mul_div_up(x, y, d)]),
    "fullMulDivDown": (full_triple, lambda x, y, d: [fit(x * y // over(d))]),
    "fullMulDivUp": (full_triple, lambda x, y, d: [fit(ceil_div(x * y, over(d)))]),
    "wideAdd": (
        lambda r: (operand(r), operand(r), operand(r), operand(r)),
        lambda a, b, c, d: [*halves(fit(wide(a, b) + wide(c, d), U512))],
    ),
    "wideSubtract": (
        lambda r: (operand(r), operand(r), operand(r), operand(r)),
        lambda a, b, c, d: [*halves(fit(wide(a, b) - wide(c, d), U512))],
    ),
    "wideMultiply": (
        lambda r: (operand(r, r.choice([64, 128, 256])), operand(r), operand(r, 128)),
        lambda a, b, c: [*halves(fit(wide(a, b) * c, U512))],
    ),
    "wideDivide": (
        wide_and_divisor,
        lambda a, b, d: [*halves(wide(a, b) // over(d)), wide(a, b) % d],
    ),
    "wideDivideUp": (
        wide_and_divisor,
        lambda a, b, d: [*halves(fit(ceil_div(wide(a, b), over(d)), U512))],
    ),
    "shiftLeft": (lambda r: (operand(r), r.randint(0, 300)), lambda a, n: [(a << n) % U256]),
    "shiftRight": (lambda r: (operand(r), r.randint(0, 300)), lambda a, n: [a >> n]),
    "compare": (
        lambda r: pair(r) if r.random() < 0.7 else (lambda a: (a, a))(operand(r)),
        lambda a, b: [int(a < b), int(a == b), a.bit_length(), b.bit_length()],
    ),
    "narrow": (lambda r: (operand(r),), lambda a: [fit(a, U128)]),
    "signedAdd": (lambda r: (signed(r), signed(r)), lambda a, b: [fit_signed(a + b)]),
    "signedSubtract": (lambda r: (signed(r), signed(r)), lambda a, b: [fit_signed(a - b)]),
    "signedMultiply": (
        lambda r: (signed(r), signed(r) >> r.randint(0, 255)),
        lambda a, b: [fit_signed(a * b)],
    ),
    "signedDivide": (
        lambda r: (signed(r), signed(r) >> r.randint(0, 255)),
        lambda a, b: [fit_signed(toward_zero(a, b))],
    ),
    "signedRemainder": (
        lambda r: (signed(r), signed(r) >> r.randint(0, 255)),
        lambda a, b: [remainder(a, b)],
    ),
    "signedCompare": (
        lambda r: (signed(r), signed(r)),
        lambda a, b: [int(a < b), int(a == b), abs(a), abs(b)],
    ),
}


def text_case(rng):
    """Decimal text and the 32 bytes as hex; text above 2^256 - 1 is refused."""
    value = operand(rng)
    if rng.random() < 0.2:
        value = rng.choice([U256, U256 + 1, U256 * 10, 10**77 * 9, U256 + rng.getrandbits(300)])
    zeros = "0" * rng.choice([0, 0, 0, 1, 19, 100])
    answer = f"{value} {value:064x}" if value < U256 else "overflow"
    return f"{zeros}{value} {answer}"


def case(operation, rng):
    if operation == "text":
        return text_case(rng)
    operands, results = OPERATIONS[operation]
    inputs = operands(rng)
    try:
        answers = [str(value) for value in results(*inputs)]
    except Refused as refusal:
        answers = [str(refusal)]
    return " ".join([*(str(value) for value in inputs), *answers])


def main():
    operation, count, seed = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    rng = random.Random(f"{operation} {seed}")
    for _ in range(count):
        print(case(operation, rng))


if __name__ == "__main__":
    main()
