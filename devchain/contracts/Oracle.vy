# @version 0.4.3
# Dollar prices by token, eight decimals: `peek` as Moolah's oracles have it. It can break down.

prices: HashMap[address, uint256]
broken: public(HashMap[address, bool])


@external
def setPrice(asset: address, price: uint256):
    self.prices[asset] = price


@external
def setBroken(asset: address, isBroken: bool):
    self.broken[asset] = isBroken


@view
@external
def peek(asset: address) -> uint256:
    assert not self.broken[asset], "invalid resilient oracle price"
    return self.prices[asset]
