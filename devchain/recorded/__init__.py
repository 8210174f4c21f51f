"""A recorded chain served as a JSON-RPC node: logs as recorded, calls answered from the logs.

recording.py   reads a recording, or a bare stream of logs, into one form
mirror.py      what the logs say of markets and positions, at any block
answers.py     the contracts' views, computed from the mirror with the contracts' formulas
multicall.py   Multicall3 over those views
node.py        JSON-RPC, with faults, limits and reorgs
expect.py      the truth at a block, from recorded contract answers alone
"""
