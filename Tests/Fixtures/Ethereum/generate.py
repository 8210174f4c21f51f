"""Writes abi.json, keccak.json and signatures.json of this folder.

The expected bytes come from other implementations than the one under test:
    eth-abi 6.0.0, pycryptodome 3.24.1, eth-keys 0.8.0 (Python 3.11)

    python3 -m venv .venv
    .venv/bin/pip install eth-abi==6.0.0 pycryptodome==3.24.1 eth-keys==0.8.0
    .venv/bin/python Tests/Fixtures/Ethereum/generate.py

The output is the same on every run. A type is written ["uint", 256], ["array", element],
["fixedArray", [element, count]] or ["tuple", [members]]; a value has the same tags, with
numbers in decimal and bytes in hexadecimal, and a fixed array is a tuple.
"""

import json
import pathlib
import random

from Crypto.Hash import keccak as pycryptodome_keccak
from eth_abi import encode
from eth_keys import keys

HERE = pathlib.Path(__file__).parent
RANDOM = random.Random(20260101)


def keccak(data):
    return pycryptodome_keccak.new(digest_bits=256, data=data).digest()


# Types and values


def spelled(kind):
    tag, detail = (kind[0], kind[1]) if len(kind) > 1 else (kind[0], None)
    match tag:
        case "uint" | "int":
            return f"{tag}{detail}"
        case "fixedBytes":
            return f"bytes{detail}"
        case "array":
            return spelled(detail) + "[]"
        case "fixedArray":
            return f"{spelled(detail[0])}[{detail[1]}]"
        case "tuple":
            return "(" + ",".join(spelled(member) for member in detail) + ")"
        case _:
            return tag


def random_type(depth):
    tags = ["uint", "int", "address", "bool", "fixedBytes", "bytes", "string"]
    if depth > 0:
        tags += ["array", "fixedArray", "tuple"] * 2
    tag = RANDOM.choice(tags)
    match tag:
        case "uint" | "int":
            return [tag, 8 * RANDOM.randint(1, 32)]
        case "fixedBytes":
            return [tag, RANDOM.randint(1, 32)]
        case "array":
            return [tag, random_type(depth - 1)]
        case "fixedArray":
            return [tag, [random_type(depth - 1), RANDOM.randint(1, 4)]]
        case "tuple":
            return [tag, [random_type(depth - 1) for _ in range(RANDOM.randint(1, 4))]]
        case _:
            return [tag]


def random_number(low, high):
    edges = [low, high, 0, 1, high >> 1, high // 2 + 1]
    if RANDOM.random() < 0.4:
        return RANDOM.choice([edge for edge in edges if low <= edge <= high])
    return RANDOM.randint(low, high)


def random_value(kind):
    """The value for eth-abi and the value as JSON."""
    match kind[0]:
        case "uint":
            number = random_number(0, 2 ** kind[1] - 1)
            return number, ["uint", str(number)]
        case "int":
            number = random_number(-(2 ** (kind[1] - 1)), 2 ** (kind[1] - 1) - 1)
            return number, ["int", str(number)]
        case "address":
            text = "0x" + RANDOM.randbytes(20).hex()
            return text, ["address", text]
        case "bool":
            flag = RANDOM.random() < 0.5
            return flag, ["bool", flag]
        case "fixedBytes":
            content = RANDOM.randbytes(kind[1])
            return content, ["fixedBytes", "0x" + content.hex()]
        case "bytes":
            content = RANDOM.randbytes(RANDOM.choice([0, 1, 31, 32, 33, 64, RANDOM.randint(0, 99)]))
            return content, ["bytes", "0x" + content.hex()]
        case "string":
            length = RANDOM.choice([0, 1, 31, 32, 33])
            text = "".join(RANDOM.choice("aé€😀z") for _ in range(length))
            return text, ["string", text]
        case "array":
            pairs = [random_value(kind[1]) for _ in range(RANDOM.choice([0, 1, 2, 3]))]
            return [a for a, _ in pairs], ["array", [b for _, b in pairs]]
        case "fixedArray":
            pairs = [random_value(kind[1][0]) for _ in range(kind[1][1])]
            return [a for a, _ in pairs], ["tuple", [b for _, b in pairs]]
        case "tuple":
            pairs = [random_value(member) for member in kind[1]]
            return tuple(a for a, _ in pairs), ["tuple", [b for _, b in pairs]]


def abi_case(types):
    pairs = [random_value(kind) for kind in types]
    spellings = [spelled(kind) for kind in types]
    return {
        "signature": "(" + ",".join(spellings) + ")",
        "types": types,
        "values": [b for _, b in pairs],
        "encoded": "0x" + encode(spellings, [a for a, _ in pairs]).hex(),
    }


def abi_cases():
    calls = ["tuple", [["address"], ["bool"], ["bytes"]]]
    chosen = [
        [],
        [["array", calls]],
        [["array", ["tuple", [["bool"], ["bytes"]]]]],
        [["fixedArray", [["array", ["string"]], 2]], ["uint", 8]],
        [["array", ["array", ["array", ["uint", 256]]]]],
        [["tuple", [["address"]] * 4 + [["uint", 256]]]],
    ]
    chosen += [[random_type(3) for _ in range(RANDOM.randint(1, 4))] for _ in range(240)]
    return [abi_case(types) for types in chosen]


# Hashes


def keccak_cases():
    lengths = [*range(0, 34), 55, 56, 64, 71, 72, 127, 128, 134, 135, 136, 137, 143, 144]
    lengths += [271, 272, 273, 407, 408, 409, 1000, 100_000]
    cases = []
    for length in lengths:
        # Byte i is 7 i + 3 modulo 251, so that the input need not be stored.
        content = bytes((7 * index + 3) % 251 for index in range(length))
        cases.append({"length": length, "hash": "0x" + keccak(content).hex()})
    return cases


# Signatures


def signature_cases():
    cases = []
    for _ in range(24):
        secret = RANDOM.randbytes(32)
        digest = keccak(RANDOM.randbytes(RANDOM.randint(0, 200)))
        key = keys.PrivateKey(secret)
        signature = key.sign_msg_hash(digest)
        cases.append({
            "privateKey": "0x" + secret.hex(),
            "address": key.public_key.to_checksum_address(),
            "hash": "0x" + digest.hex(),
            "signature": "0x" + signature.to_bytes()[:64].hex(),
            "recoveryID": signature.v,
        })
    return cases


def write(name, cases):
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    (HERE / name).write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    write("abi.json", abi_cases())
    write("keccak.json", keccak_cases())
    write("signatures.json", signature_cases())
