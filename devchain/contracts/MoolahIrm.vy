# @version 0.4.3
# Lista's InterestRateModel: the adaptive curve with a cap and a floor a market.

from modules import AdaptiveCurve
from modules import Ledger

event BorrowRateUpdate:
    id: indexed(bytes32)
    avgBorrowRate: uint256
    rateAtTarget: uint256

event BorrowRateCapUpdate:
    id: indexed(bytes32)
    oldRateCap: uint256
    newRateCap: uint256

event BorrowRateFloorUpdate:
    id: indexed(bytes32)
    oldRateFloor: uint256
    newRateFloor: uint256

event MinCapUpdate:
    oldMinCap: uint256
    newMinCap: uint256

DEFAULT_RATE_CAP: constant(uint256) = 3 * 10**17 // 31_536_000
STEEPNESS: constant(int256) = 4

MOOLAH: public(immutable(address))
rateAtTarget: public(HashMap[bytes32, int256])
rateCap: public(HashMap[bytes32, uint256])
rateFloor: public(HashMap[bytes32, uint256])
minCap: public(uint256)


@deploy
def __init__(moolah: address):
    MOOLAH = moolah


@view
@external
def borrowRateView(params: Ledger.MarketParams, market: Ledger.Market) -> uint256:
    average: int256 = 0
    end: int256 = 0
    average, end = self._rates(keccak256(abi_encode(params)), market)
    return convert(average, uint256)


@external
def borrowRate(params: Ledger.MarketParams, market: Ledger.Market) -> uint256:
    assert msg.sender == MOOLAH, "not moolah"
    id: bytes32 = keccak256(abi_encode(params))
    average: int256 = 0
    end: int256 = 0
    average, end = self._rates(id, market)
    self.rateAtTarget[id] = end
    log BorrowRateUpdate(
        id=id, avgBorrowRate=convert(average, uint256), rateAtTarget=convert(end, uint256)
    )
    return convert(average, uint256)


@external
def updateRateCap(id: bytes32, newRateCap: uint256):
    log BorrowRateCapUpdate(id=id, oldRateCap=self.rateCap[id], newRateCap=newRateCap)
    self.rateCap[id] = newRateCap


@external
def updateRateFloor(id: bytes32, newRateFloor: uint256):
    log BorrowRateFloorUpdate(id=id, oldRateFloor=self.rateFloor[id], newRateFloor=newRateFloor)
    self.rateFloor[id] = newRateFloor


@external
def updateMinCap(newMinCap: uint256):
    log MinCapUpdate(oldMinCap=self.minCap, newMinCap=newMinCap)
    self.minCap = newMinCap


@external
def setRateAtTarget(id: bytes32, amount: int256):
    # For tests of the curve only: a state that a market would need weeks to reach.
    self.rateAtTarget[id] = amount


@view
@internal
def _rates(id: bytes32, market: Ledger.Market) -> (int256, int256):
    average: int256 = 0
    end: int256 = 0
    average, end = AdaptiveCurve.rates(
        convert(market.totalSupplyAssets, uint256),
        convert(market.totalBorrowAssets, uint256),
        self.rateAtTarget[id],
        block.timestamp - convert(market.lastUpdate, uint256),
    )
    chosen: uint256 = self.rateCap[id]
    if chosen == 0:
        chosen = DEFAULT_RATE_CAP
    cap: int256 = convert(max(chosen, self.minCap), int256)
    lowest: int256 = convert(self.rateFloor[id], int256)
    # The floor wins over the cap for the rate, the cap over the floor for the rate at target.
    average = max(min(average, cap), lowest)
    end = min(max(end, lowest * STEEPNESS), cap // STEEPNESS)
    return average, end
