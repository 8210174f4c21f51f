"""A thin wrapper around pyrevm that adds what it lacks: sender nonces and revert data.

pyrevm 0.3.7 does not charge gas, does not raise the sender's nonce, and reports failures as
text. Its `snapshot()` deepens the journal and `commit()` pops exactly one level, so the two
must always be paired; an unpaired `commit()` makes every later call fail with `CallTooDeep`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pyrevm import EVM, AccountInfo, BlockEnv, CfgEnv, Env

from .encoding import from_hex

_GAS_USED = re.compile(r"gas_used: (\d+)")
_OUTPUT = re.compile(r"output: 0x([0-9a-f]*)")
_CODE_SIZE_LIMIT = 1 << 20


@dataclass(slots=True)
class Outcome:
    """What one message did. `halt` names a stop without revert data, such as `OutOfGas`."""

    succeeded: bool
    gas_used: int
    output: bytes = b""
    logs: list[tuple[str, list[str], bytes]] = field(default_factory=list)
    created: str | None = None
    halt: str | None = None


class Machine:
    """One EVM state, moved forward message by message. It cannot be copied."""

    def __init__(self, chain_id: int) -> None:
        config = CfgEnv(chain_id=chain_id, limit_contract_code_size=_CODE_SIZE_LIMIT)
        self._evm = EVM(spec_id="CANCUN", env=Env(cfg=config))

    def enter_block(self, number: int, timestamp: int, gas_limit: int, randao: str) -> None:
        """Makes later messages run in this block. The base fee is charged by the chain."""
        self._evm.set_block_env(
            BlockEnv(
                number=number,
                timestamp=timestamp,
                basefee=0,
                gas_limit=gas_limit,
                prevrandao=from_hex(randao),
            )
        )

    def transact(
        self, sender: str, to: str | None, data: bytes, value: int, gas: int, nonce: int
    ) -> Outcome:
        """Runs a transaction and keeps its effects when it succeeds."""
        if to is None:
            account = AccountInfo(balance=self._evm.get_balance(sender), nonce=nonce)
            self._evm.insert_account_info(sender, account)
        checkpoint = self._evm.snapshot()
        outcome = self._run(sender, to, data, value, gas)
        if outcome.succeeded:
            outcome.logs = [_log_parts(entry) for entry in self._evm.result.logs]
            self._evm.commit()
        else:
            self._evm.revert(checkpoint)
        return outcome

    def call(self, sender: str, to: str | None, data: bytes, value: int, gas: int) -> Outcome:
        """Runs a message and takes its effects back."""
        checkpoint = self._evm.snapshot()
        try:
            return self._run(sender, to, data, value, gas)
        finally:
            self._evm.revert(checkpoint)

    def balance(self, address: str) -> int:
        return self._evm.get_balance(address)

    def set_balance(self, address: str, value: int) -> None:
        self._evm.set_balance(address, value)

    def code(self, address: str) -> bytes:
        # pyrevm pads code with zero bytes.
        return bytes(self._evm.get_code(address) or b"").rstrip(b"\0")

    def set_code(self, address: str, code: bytes) -> None:
        self._evm.insert_account_info(address, AccountInfo(code=code, nonce=1))

    def storage(self, address: str, slot: int) -> int:
        return self._evm.storage(address, slot)

    def set_storage(self, address: str, slot: int, value: int) -> None:
        self._evm.insert_account_storage(address, slot, value)

    def _run(self, sender: str, to: str | None, data: bytes, value: int, gas: int) -> Outcome:
        try:
            if to is None:
                created = self._evm.deploy(sender, data, value=value, gas=gas).lower()
                return Outcome(True, self._evm.result.gas_used, created=created)
            output = self._evm.message_call(sender, to, calldata=data, value=value, gas=gas)
            return Outcome(True, self._evm.result.gas_used, output=bytes(output))
        except (RuntimeError, OverflowError) as error:
            return _failure(str(error), gas)


def _failure(text: str, gas: int) -> Outcome:
    used = _GAS_USED.search(text)
    gas_used = int(used.group(1)) if used else gas
    output = _OUTPUT.search(text)
    if output:
        return Outcome(False, gas_used, output=bytes.fromhex(output.group(1)))
    return Outcome(False, gas_used, halt=text)


def _log_parts(entry) -> tuple[str, list[str], bytes]:
    raw = entry.data[1]
    data = bytes(raw) if isinstance(raw, (bytes, bytearray)) else from_hex(raw or "0x")
    return entry.address.lower(), [item.lower() for item in entry.topics], data
