# @version 0.4.3
# How much of the underlying one staked token is worth, by its own contract.

rate: uint256


@deploy
def __init__(rate: uint256):
    self.rate = rate


@external
def setRate(rate: uint256):
    self.rate = rate


@view
@external
def stEthPerToken() -> uint256:
    return self.rate
