"""Accounts by name: the same name always gives the same key and address."""

from __future__ import annotations

from functools import cache

import rlp
from coincurve import PrivateKey

from .abi import encode
from .encoding import from_hex, keccak, to_hex

_DOMAIN_TYPE = keccak(b"EIP712Domain(uint256 chainId,address verifyingContract)")
_AUTHORIZATION_TYPE = keccak(
    b"Authorization(address authorizer,address authorized,bool isAuthorized,"
    b"uint256 nonce,uint256 deadline)"
)
_AUTHORIZATION = "address,address,bool,uint256,uint256"


@cache
def key_of(name: str) -> PrivateKey:
    """The private key of a name. Worthless anywhere but on a dev chain."""
    return PrivateKey(keccak(b"devchain account " + name.encode()))


@cache
def account(name: str) -> str:
    """The address of a name."""
    public = key_of(name).public_key.format(compressed=False)[1:]
    return to_hex(keccak(public)[12:])


def signed_authorization(
    name: str, authorization: tuple[str, str, bool, int, int], chain_id: int, core: str
) -> tuple[int, str, str]:
    """The EIP-712 signature (v, r, s) that `setAuthorizationWithSig` takes."""
    domain = keccak(_DOMAIN_TYPE + encode("uint256,address", [chain_id, core]))
    content = keccak(_AUTHORIZATION_TYPE + encode(_AUTHORIZATION, authorization))
    digest = keccak(b"\x19\x01" + domain + content)
    signature = key_of(name).sign_recoverable(digest, hasher=None)
    return 27 + signature[64], to_hex(signature[:32]), to_hex(signature[32:64])


def signed_transaction(
    name: str,
    *,
    chain_id: int,
    nonce: int,
    to: str | None,
    data: bytes = b"",
    value: int = 0,
    gas: int = 3_000_000,
    max_fee: int = 10**11,
    max_tip: int = 10**9,
) -> str:
    """A raw EIP-1559 transaction, ready for `eth_sendRawTransaction`."""
    body = [chain_id, nonce, max_tip, max_fee, gas, from_hex(to or "0x"), value, data, []]
    signature = key_of(name).sign_recoverable(keccak(b"\x02" + rlp.encode(body)), hasher=None)
    r, s = (int.from_bytes(signature[i : i + 32], "big") for i in (0, 32))
    return to_hex(b"\x02" + rlp.encode([*body, signature[64], r, s]))
