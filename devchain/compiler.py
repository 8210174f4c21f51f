"""Compiles the Vyper contracts beside this file, and remembers the results by source hash."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parent / "contracts"
_CACHE = Path(os.environ.get("PLIMSOLL_VYPER_CACHE", SOURCES / "__pycache__"))


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled contract."""

    name: str
    creation: bytes
    runtime: bytes
    abi: tuple[dict[str, Any], ...]

    def events(self) -> list[str]:
        """The canonical signatures of the contract's events."""
        return [_signature(entry) for entry in self.abi if entry["type"] == "event"]

    def functions(self) -> list[str]:
        """The canonical signatures of the contract's external functions."""
        return [_signature(entry) for entry in self.abi if entry["type"] == "function"]


@cache
def artifact(name: str) -> Artifact:
    """The contract `contracts/NAME.vy`, compiled now or before."""
    cached = _CACHE / f"{name}-{_source_hash()}.json"
    if not cached.exists():
        _write_atomically(cached, json.dumps(_compile(name)))
    stored = json.loads(cached.read_text())
    return Artifact(
        name,
        bytes.fromhex(stored["bytecode"][2:]),
        bytes.fromhex(stored["bytecode_runtime"][2:]),
        tuple(stored["abi"]),
    )


@cache
def _source_hash() -> str:
    """One hash over all sources, since contracts import modules from each other."""
    digest = hashlib.sha256()
    for path in sorted(SOURCES.rglob("*.vy")):
        digest.update(path.relative_to(SOURCES).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _compile(name: str) -> dict[str, Any]:
    # Imported late: it takes a fifth of a second, and a warm cache does not need it.
    from vyper.compiler import compile_from_file_input
    from vyper.compiler.input_bundle import FilesystemInputBundle
    from vyper.compiler.settings import OptimizationLevel, Settings

    bundle = FilesystemInputBundle([SOURCES])
    source = bundle.load_file(f"{name}.vy")
    formats = ["bytecode", "bytecode_runtime", "abi"]
    settings = Settings(optimize=OptimizationLevel.CODESIZE, evm_version="cancun")
    return compile_from_file_input(
        source, input_bundle=bundle, settings=settings, output_formats=formats
    )


def _write_atomically(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as handle:
        handle.write(text)
    Path(handle.name).replace(path)


def _signature(entry: dict[str, Any]) -> str:
    return f"{entry['name']}({','.join(_canonical(item) for item in entry['inputs'])})"


def _canonical(item: dict[str, Any]) -> str:
    if not item["type"].startswith("tuple"):
        return item["type"]
    inner = ",".join(_canonical(part) for part in item["components"])
    return f"({inner}){item['type'][5:]}"
