"""JSON-RPC 2.0: batches, errors, counters and planned faults, apart from any method's meaning."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .faults import Fault, FaultPlan

Buffer = bytes | memoryview

_INVALID_REQUEST = {"code": -32600, "message": "invalid request"}


class RpcError(Exception):
    """A JSON-RPC error object; `data` carries revert data where there is some."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data

    def as_object(self) -> dict[str, Any]:
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        return body if self.data is None else body | {"data": self.data}


@dataclass(frozen=True, slots=True)
class Serialised:
    """A result that is JSON text already, in parts that are joined only once."""

    parts: list[Buffer]

    @classmethod
    def array(cls, texts: list[bytes]) -> Serialised:
        """The JSON array of these texts."""
        return cls([b"[", b",".join(texts), b"]"])


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back over HTTP; a `body` of None closes the connection without an answer."""

    status: int
    body: bytes | None
    delay_seconds: float = 0.0
    rest: Sequence[Buffer] = ()  # what follows the body, in pieces that nobody has joined


class Dispatcher:
    """Answers HTTP bodies by named methods, after the faults that were planned for them."""

    def __init__(self) -> None:
        self.methods: dict[str, Callable[..., Any]] = {}
        self.plan = FaultPlan()
        self.active: list[Fault] = []
        self.counts: Counter[str] = Counter()
        self.unknown_methods: Counter[str] = Counter()

    def handle(self, body: bytes) -> Reply:
        """The reply to one HTTP request."""
        self.counts["requests"] += 1
        self.counts["bytes_in"] += len(body)
        try:
            request = json.loads(body)
        except ValueError:
            return Reply(200, _envelope("null", error={"code": -32700, "message": "parse error"}))
        entries = request if isinstance(request, list) else [request]
        names = {str(entry.get("method")) for entry in entries if isinstance(entry, dict)}
        self.active = [] if any(n.startswith("dev_") for n in names) else self.plan.take(names)
        delay = sum(fault.sleep_ms for fault in self.active) / 1000
        early = next((r for f in self.active if (r := _early_reply(f, request, delay))), None)
        if early:
            return early
        if not isinstance(request, list):
            answer = self._answer(request)
        elif not request:
            answer = _envelope("null", error=_INVALID_REQUEST)
        else:
            answer = b"[" + b",".join(self._answer(entry) for entry in request) + b"]"
        if any(fault.truncate for fault in self.active):
            answer = answer[: max(1, len(answer) // 2)]
        self.counts["bytes_out"] += len(answer)
        return Reply(200, answer, delay)

    def _answer(self, entry: Any) -> bytes:
        return b"".join(self.answer_parts(entry))

    def answer_parts(self, entry: Any) -> list[Buffer]:
        """The answer to one request object, not yet joined."""
        if not isinstance(entry, dict) or not isinstance(entry.get("method"), str):
            return [_envelope("null", error=_INVALID_REQUEST)]
        identifier, name = json.dumps(entry.get("id")), entry["method"]
        parameters = entry.get("params") or []
        self.counts[name] += 1
        try:
            result = self._perform(
                name, [parameters] if isinstance(parameters, dict) else parameters
            )
        except RpcError as error:
            return [_envelope(identifier, error=error.as_object())]
        except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
            refusal = {"code": -32602, "message": f"invalid params: {error!r}"}
            return [_envelope(identifier, error=refusal)]
        parts = result.parts if isinstance(result, Serialised) else [_compact(result).encode()]
        head = b'{"jsonrpc":"2.0","id":' + identifier.encode() + b',"result":'
        return [head, *parts, b"}"]

    def _perform(self, name: str, parameters: list[Any]) -> Any:
        method = self.methods.get(name)
        if method is None:
            self.unknown_methods[name] += 1
            raise RpcError(-32601, f"the method {name} does not exist/is not available")
        replaced = next((f for f in self.active if f.replaces(name)), None)
        return replaced.result if replaced else method(*parameters)


def _early_reply(fault: Fault, request: Any, delay: float) -> Reply | None:
    if fault.close:
        return Reply(0, None, delay)
    if fault.fill_mb:
        return Reply(
            200, b'{"jsonrpc":"2.0","id":1,"result":"' + b"0" * (fault.fill_mb << 20), delay
        )
    if fault.status:
        return Reply(fault.status, fault.body.encode(), delay)
    if fault.error:
        entries = request if isinstance(request, list) else [request]
        answers = [_envelope(json.dumps(_id_of(entry)), error=fault.error) for entry in entries]
        whole = b"[" + b",".join(answers) + b"]" if isinstance(request, list) else answers[0]
        return Reply(200, whole, delay)
    return None


def _id_of(entry: Any) -> Any:
    return entry.get("id") if isinstance(entry, dict) else None


def _envelope(identifier: str, *, error: dict[str, Any]) -> bytes:
    return f'{{"jsonrpc":"2.0","id":{identifier},"error":{_compact(error)}}}'.encode()


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
