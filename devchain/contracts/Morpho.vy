# @version 0.4.3
# A Morpho-Blue-shaped lending core: the same books as Moolah, one `price()` oracle a market, one
# owner, no whitelists, no minimum loan, and a fee of zero at creation.

from modules import Ledger

initializes: Ledger

exports: (
    Ledger.market,
    Ledger.position,
    Ledger.idToMarketParams,
    Ledger.feeRecipient,
    Ledger.isIrmEnabled,
    Ledger.isLltvEnabled,
    Ledger.isAuthorized,
    Ledger.nonce,
)

interface PairOracle:
    def price() -> uint256: view

interface LiquidationCallback:
    def onMorphoLiquidate(repaidAssets: uint256, data: Bytes[1024]): nonpayable

interface FlashLoanCallback:
    def onMorphoFlashLoan(assets: uint256, data: Bytes[1024]): nonpayable

event SetOwner:
    newOwner: indexed(address)

owner: public(address)


@deploy
def __init__(newOwner: address):
    self.owner = newOwner
    log SetOwner(newOwner=newOwner)


@external
def supply(
    params: Ledger.MarketParams,
    assets: uint256,
    shares: uint256,
    onBehalf: address,
    data: Bytes[1024],
) -> (uint256, uint256):
    id: bytes32 = Ledger.created(params)
    Ledger.accrue(params, id)
    return Ledger.supply(params, id, assets, shares, onBehalf)


@external
def withdraw(
    params: Ledger.MarketParams,
    assets: uint256,
    shares: uint256,
    onBehalf: address,
    receiver: address,
) -> (uint256, uint256):
    id: bytes32 = Ledger.created(params)
    Ledger.accrue(params, id)
    return Ledger.withdraw(params, id, assets, shares, onBehalf, receiver)


@external
def borrow(
    params: Ledger.MarketParams,
    assets: uint256,
    shares: uint256,
    onBehalf: address,
    receiver: address,
) -> (uint256, uint256):
    id: bytes32 = Ledger.created(params)
    Ledger.check_authorized(onBehalf)
    Ledger.accrue(params, id)
    borrowed: uint256 = 0
    minted: uint256 = 0
    borrowed, minted = Ledger.borrow(id, assets, shares, onBehalf, receiver)
    assert self._is_healthy(params, id, onBehalf), "insufficient collateral"
    Ledger.check_liquidity(id)
    Ledger.log_borrow(id, borrowed, minted, onBehalf, receiver)
    Ledger.push(params.loanToken, receiver, borrowed)
    return borrowed, minted


@external
def repay(
    params: Ledger.MarketParams,
    assets: uint256,
    shares: uint256,
    onBehalf: address,
    data: Bytes[1024],
) -> (uint256, uint256):
    id: bytes32 = Ledger.created(params)
    Ledger.accrue(params, id)
    return Ledger.repay(params, id, assets, shares, onBehalf)


@external
def supplyCollateral(
    params: Ledger.MarketParams, assets: uint256, onBehalf: address, data: Bytes[1024]
):
    Ledger.supply_collateral(params, Ledger.created(params), assets, onBehalf)


@external
def withdrawCollateral(
    params: Ledger.MarketParams, assets: uint256, onBehalf: address, receiver: address
):
    id: bytes32 = Ledger.created(params)
    Ledger.accrue(params, id)
    Ledger.withdraw_collateral(id, assets, onBehalf, receiver)
    assert self._is_healthy(params, id, onBehalf), "insufficient collateral"
    Ledger.log_withdraw_collateral(id, assets, onBehalf, receiver)
    Ledger.push(params.collateralToken, receiver, assets)


@external
def liquidate(
    params: Ledger.MarketParams,
    borrower: address,
    seizedAssets: uint256,
    repaidShares: uint256,
    data: Bytes[1024],
) -> (uint256, uint256):
    id: bytes32 = Ledger.created(params)
    assert (seizedAssets == 0) != (repaidShares == 0), "inconsistent input"
    Ledger.accrue(params, id)
    price: uint256 = staticcall PairOracle(params.oracle).price()
    assert not self._is_healthy(params, id, borrower), "position is healthy"
    seized: uint256 = 0
    repaid: uint256 = 0
    seized, repaid = Ledger.liquidate(params, id, borrower, seizedAssets, repaidShares, price)
    if len(data) > 0:
        extcall LiquidationCallback(msg.sender).onMorphoLiquidate(repaid, data)
    Ledger.pull(params.loanToken, repaid)
    return seized, repaid


@external
def flashLoan(token: address, assets: uint256, data: Bytes[1024]):
    assert assets != 0, "zero assets"
    log Ledger.FlashLoan(caller=msg.sender, token=token, assets=assets)
    Ledger.push(token, msg.sender, assets)
    extcall FlashLoanCallback(msg.sender).onMorphoFlashLoan(assets, data)
    Ledger.pull(token, assets)


@external
def accrueInterest(params: Ledger.MarketParams):
    Ledger.accrue(params, Ledger.created(params))


@external
def setAuthorization(authorized: address, newIsAuthorized: bool):
    assert Ledger.isAuthorized[msg.sender][authorized] != newIsAuthorized, "already set"
    Ledger.authorize(msg.sender, authorized, newIsAuthorized)


@external
def setAuthorizationWithSig(authorization: Ledger.Authorization, signature: Ledger.Signature):
    Ledger.authorize_by_signature(authorization, signature)


@external
def createMarket(params: Ledger.MarketParams):
    Ledger.create_market(params, 0)


@external
def enableIrm(irm: address):
    self._check_owner()
    Ledger.enable_irm(irm)


@external
def enableLltv(lltv: uint256):
    self._check_owner()
    Ledger.enable_lltv(lltv)


@external
def setFee(params: Ledger.MarketParams, newFee: uint256):
    self._check_owner()
    Ledger.set_fee(params, newFee)


@external
def setFeeRecipient(recipient: address):
    self._check_owner()
    Ledger.set_fee_recipient(recipient)


@external
def setOwner(newOwner: address):
    self._check_owner()
    assert newOwner != self.owner, "already set"
    self.owner = newOwner
    log SetOwner(newOwner=newOwner)


@view
@internal
def _check_owner():
    assert msg.sender == self.owner, "not owner"


@view
@internal
def _is_healthy(params: Ledger.MarketParams, id: bytes32, user: address) -> bool:
    if Ledger.position[id][user].borrowShares == 0:
        return True
    price: uint256 = staticcall PairOracle(params.oracle).price()
    return Ledger.covers(params.lltv, id, user, price, Ledger.debt_of(id, user))
