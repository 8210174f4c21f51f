# @version 0.4.3
# A price feed as Chainlink's are read: the last round with its time, and the answers beyond which it
# cannot go. It can break down.

answer: int256
updatedAt: uint256
broken: bool
minAnswer: public(int192)
maxAnswer: public(int192)


@deploy
def __init__(answer: int256, lowest: int192, highest: int192):
    self.answer = answer
    self.updatedAt = block.timestamp
    self.minAnswer = lowest
    self.maxAnswer = highest


@external
def setAnswer(answer: int256):
    """An answer of now."""
    self.answer = answer
    self.updatedAt = block.timestamp


@external
def setUpdatedAt(timestamp: uint256):
    self.updatedAt = timestamp


@external
def setBroken(isBroken: bool):
    self.broken = isBroken


@view
@external
def latestRoundData() -> (uint80, int256, uint256, uint256, uint80):
    assert not self.broken, "no round"
    return 1, self.answer, self.updatedAt, self.updatedAt, 1
