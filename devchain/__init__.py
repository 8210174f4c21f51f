"""A local EVM chain for Plimsoll's tests and demo, and servers of recorded chains.

Every program here speaks Ethereum JSON-RPC over HTTP on 127.0.0.1 and ends with its parent:

    python -m devchain.node        a dev node on pyrevm (real EVM, real logs, reorgs, faults)
    python -m devchain.scenario    the dev node plus a seeded story of random transactions
    python -m devchain.recorded    a recorded chain, answered from its logs
    python -m devchain.logserver   a million distinct logs, for backfill figures
    python -m devchain.demo        the demo that `make demo` shows
"""
