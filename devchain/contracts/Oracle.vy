# @version 0.4.3
# Dollar prices by token, eight decimals: `peek` as Moolah's oracles have it. It can break down, and a
# token's market can be closed.

prices: HashMap[address, uint256]
broken: public(HashMap[address, bool])
closed: public(HashMap[address, bool])


@external
def setPrice(asset: address, price: uint256):
    self.prices[asset] = price


@external
def setBroken(asset: address, isBroken: bool):
    self.broken[asset] = isBroken


@external
def setClosed(asset: address, isClosed: bool):
    self.closed[asset] = isClosed


@view
@external
def peek(asset: address) -> uint256:
    assert not self.broken[asset], "invalid resilient oracle price"
    if self.closed[asset]:
        raw_revert(method_id("StockMarketClosed()"))
    return self.prices[asset]
