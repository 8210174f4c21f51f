# @version 0.4.3
# Morpho's AdaptiveCurveIrm: the adaptive curve alone.

from modules import AdaptiveCurve
from modules import Ledger

event BorrowRateUpdate:
    id: indexed(bytes32)
    avgBorrowRate: uint256
    rateAtTarget: uint256

MORPHO: public(immutable(address))
rateAtTarget: public(HashMap[bytes32, int256])


@deploy
def __init__(morpho: address):
    MORPHO = morpho


@view
@external
def borrowRateView(params: Ledger.MarketParams, market: Ledger.Market) -> uint256:
    average: int256 = 0
    end: int256 = 0
    average, end = self._rates(keccak256(abi_encode(params)), market)
    return convert(average, uint256)


@external
def borrowRate(params: Ledger.MarketParams, market: Ledger.Market) -> uint256:
    assert msg.sender == MORPHO, "not morpho"
    id: bytes32 = keccak256(abi_encode(params))
    average: int256 = 0
    end: int256 = 0
    average, end = self._rates(id, market)
    self.rateAtTarget[id] = end
    log BorrowRateUpdate(
        id=id, avgBorrowRate=convert(average, uint256), rateAtTarget=convert(end, uint256)
    )
    return convert(average, uint256)


@view
@internal
def _rates(id: bytes32, market: Ledger.Market) -> (int256, int256):
    return AdaptiveCurve.rates(
        convert(market.totalSupplyAssets, uint256),
        convert(market.totalBorrowAssets, uint256),
        self.rateAtTarget[id],
        block.timestamp - convert(market.lastUpdate, uint256),
    )
