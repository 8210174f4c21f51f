"""Transactions: signed ones decoded from raw bytes, and unsigned ones of unlocked accounts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import rlp
from coincurve import PublicKey

from .encoding import from_hex, keccak, minimal_bytes, to_hex
from .jsonrpc import RpcError

_HALF_CURVE_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction as the chain keeps it; prices are in wei per gas."""

    hash: str
    kind: int
    sender: str
    nonce: int
    to: str | None
    value: int
    data: bytes
    gas: int
    max_fee: int
    max_tip: int
    chain_id: int | None
    raw: str | None = None
    signature: tuple[int, int, int] = (0, 0, 0)

    @property
    def is_signed(self) -> bool:
        return self.raw is not None

    def effective_price(self, base_fee: int) -> int:
        """What this transaction pays per gas in a block with this base fee."""
        return min(self.max_fee, base_fee + self.max_tip)

    def intrinsic_gas(self) -> int:
        """The gas that is due before any instruction runs (EIP-2028, EIP-3860)."""
        zeros = self.data.count(0)
        gas = 21_000 + 16 * (len(self.data) - zeros) + 4 * zeros
        if self.to is None:
            gas += 32_000 + 2 * ((len(self.data) + 31) // 32)
        return gas


def unlocked(
    sender: str,
    nonce: int,
    to: str | None,
    data: bytes,
    *,
    chain_id: int,
    value: int = 0,
    gas: int = 7_500_000,
    max_fee: int = 10**10,
    max_tip: int = 10**9,
    salt: int = 0,
) -> Transaction:
    """A transaction of an account whose key nobody needs; `salt` sets forks apart."""
    body = [
        from_hex(sender),
        nonce,
        from_hex(to or "0x"),
        value,
        data,
        gas,
        max_fee,
        max_tip,
        salt,
    ]
    digest = to_hex(keccak(rlp.encode(body)))
    return Transaction(digest, 2, sender, nonce, to, value, data, gas, max_fee, max_tip, chain_id)


def renumbered(transaction: Transaction, nonce: int, salt: int) -> Transaction:
    """The same unlocked transaction with another nonce, as its sender would send it again."""
    if transaction.is_signed or transaction.nonce == nonce:
        return transaction
    body = [from_hex(transaction.hash), nonce, salt]
    return replace(transaction, nonce=nonce, hash=to_hex(keccak(rlp.encode(body))))


def decode_raw(raw: bytes) -> Transaction:
    """A signed legacy, EIP-2930 or EIP-1559 transaction; its sender comes from the signature."""
    if not raw:
        raise RpcError(-32000, "typed transaction too short")
    try:
        if raw[0] >= 0xC0:
            return _decode_legacy(raw)
        if raw[0] in (1, 2):
            return _decode_typed(raw)
    except (ValueError, IndexError, TypeError, rlp.exceptions.RLPException) as error:
        raise RpcError(-32000, f"rlp: {error}") from error
    raise RpcError(-32000, "transaction type not supported")


def _decode_legacy(raw: bytes) -> Transaction:
    fields = rlp.decode(raw)
    nonce, price, gas, to, value, data, v, r, s = fields
    v = _integer(v)
    if v in (27, 28):
        chain_id, parity, signed = None, v - 27, fields[:6]
    else:
        chain_id, parity = (v - 35) // 2, (v - 35) % 2
        signed = fields[:6] + [minimal_bytes(chain_id), b"", b""]
    return _build(
        raw,
        0,
        rlp.encode(signed),
        (parity, r, s),
        chain_id,
        nonce,
        price,
        price,
        gas,
        to,
        value,
        data,
    )


def _decode_typed(raw: bytes) -> Transaction:
    kind, fields = raw[0], rlp.decode(raw[1:])
    if kind == 1:
        chain_id, nonce, tip, gas, to, value, data, _, parity, r, s = fields
        fee, unsigned = tip, fields[:8]
    else:
        chain_id, nonce, tip, fee, gas, to, value, data, _, parity, r, s = fields
        unsigned = fields[:9]
    signed = bytes([kind]) + rlp.encode(unsigned)
    return _build(
        raw,
        kind,
        signed,
        (_integer(parity), r, s),
        _integer(chain_id),
        nonce,
        fee,
        tip,
        gas,
        to,
        value,
        data,
    )


def _build(
    raw: bytes,
    kind: int,
    signed: bytes,
    signature: tuple[int, bytes, bytes],
    chain_id: int | None,
    nonce: bytes,
    fee: bytes,
    tip: bytes,
    gas: bytes,
    to: bytes,
    value: bytes,
    data: bytes,
) -> Transaction:
    parity, r, s = signature
    if _integer(s) > _HALF_CURVE_ORDER:
        raise RpcError(-32000, "invalid sender")
    compact = r.rjust(32, b"\0") + s.rjust(32, b"\0") + bytes([parity])
    try:
        key = PublicKey.from_signature_and_message(compact, keccak(signed), hasher=None)
    except Exception as error:  # coincurve raises bare exceptions for bad signatures
        raise RpcError(-32000, "invalid sender") from error
    return Transaction(
        hash=to_hex(keccak(raw)),
        kind=kind,
        sender=to_hex(keccak(key.format(compressed=False)[1:])[12:]),
        nonce=_integer(nonce),
        to=to_hex(to) if to else None,
        value=_integer(value),
        data=bytes(data),
        gas=_integer(gas),
        max_fee=_integer(fee),
        max_tip=_integer(tip),
        chain_id=chain_id,
        raw=to_hex(raw),
        signature=(parity, _integer(r), _integer(s)),
    )


def _integer(data: bytes) -> int:
    return int.from_bytes(data, "big")
