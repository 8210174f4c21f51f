# @version 0.4.3
# Lista's FixedRateIrm: a rate set by hand, between floor and cap. It logs no accrual.

from modules import Ledger

event SetBorrowRate:
    id: indexed(bytes32)
    newBorrowRate: int256

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

MAX_BORROW_RATE: public(constant(uint256)) = 8 * 10**18 // 31_536_000

borrowRateStored: public(HashMap[bytes32, int256])
rateCap: public(HashMap[bytes32, uint256])
rateFloor: public(HashMap[bytes32, uint256])
minCap: public(uint256)


@view
@external
def borrowRateView(params: Ledger.MarketParams, market: Ledger.Market) -> uint256:
    return self._rate(keccak256(abi_encode(params)))


@view
@external
def borrowRate(params: Ledger.MarketParams, market: Ledger.Market) -> uint256:
    return self._rate(keccak256(abi_encode(params)))


@external
def setBorrowRate(id: bytes32, newBorrowRate: int256):
    assert newBorrowRate >= 0, "rate negative"
    self.borrowRateStored[id] = newBorrowRate
    log SetBorrowRate(id=id, newBorrowRate=newBorrowRate)


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


@view
@internal
def _rate(id: bytes32) -> uint256:
    cap: uint256 = self.rateCap[id]
    if cap == 0:
        cap = MAX_BORROW_RATE
    rate: uint256 = min(convert(self.borrowRateStored[id], uint256), MAX_BORROW_RATE)
    return max(min(rate, max(cap, self.minCap)), self.rateFloor[id])
