# @version 0.4.3
# A Moolah-shaped lending core, written from the formulas: floating-rate markets, whitelists,
# providers, brokers, the minimum loan, the check after a liquidation, and every core event.
# One owner stands for all of the real contract's roles.

from modules import Ledger
from modules import Maths

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

interface PriceOracle:
    def peek(asset: address) -> uint256: view

interface Decimals:
    def decimals() -> uint8: view

interface Broker:
    def getUserTotalDebt(user: address) -> uint256: view
    def peek(asset: address, user: address) -> uint256: view

interface Provider:
    def liquidate(id: bytes32, borrower: address): nonpayable

interface LiquidationCallback:
    def onMoolahLiquidate(repaidAssets: uint256, data: Bytes[1024]): nonpayable

interface FlashLoanCallback:
    def onMoolahFlashLoan(assets: uint256, data: Bytes[1024]): nonpayable

event SetDefaultMarketFee:
    newFee: uint256

event SetMinLoanValue:
    minLoanValue: uint256

event SetMarketBroker:
    id: indexed(bytes32)
    broker: indexed(address)
    isAddition: bool

event AddProvider:
    id: bytes32
    token: address
    provider: address

event RemoveProvider:
    id: bytes32
    token: address
    provider: address

event AddLiquidationWhitelist:
    id: indexed(bytes32)
    account: indexed(address)

event RemoveLiquidationWhitelist:
    id: indexed(bytes32)
    account: indexed(address)

event AddWhiteList:
    id: indexed(bytes32)
    account: indexed(address)

event RemoveWhiteList:
    id: indexed(bytes32)
    account: indexed(address)

event SetVaultBlacklist:
    account: indexed(address)
    isBlacklisted: bool

event SetFlashLoanTokenBlacklist:
    token: indexed(address)
    isBlacklisted: bool

event Paused:
    account: address

event Unpaused:
    account: address

WAD: constant(uint256) = 10**18
MAX_FEE: constant(uint256) = 25 * 10**16
LIST_LIMIT: constant(uint256) = 32

owner: public(address)
paused: public(bool)
minLoanValue: public(uint256)
defaultMarketFee: public(uint256)
brokers: public(HashMap[bytes32, address])
providers: public(HashMap[bytes32, HashMap[address, address]])
vaultBlacklist: public(HashMap[address, bool])
flashLoanTokenBlacklist: public(HashMap[address, bool])
liquidators: HashMap[bytes32, DynArray[address, LIST_LIMIT]]
members: HashMap[bytes32, DynArray[address, LIST_LIMIT]]


@deploy
def __init__():
    self.owner = msg.sender
    # Like the real contract's initialiser: fifteen dollars, and no event.
    self.minLoanValue = 15 * 10**8


# ---------------------------------------------------------------- operations


@nonreentrant
@external
def supply(
    params: Ledger.MarketParams,
    assets: uint256,
    shares: uint256,
    onBehalf: address,
    data: Bytes[1024],
) -> (uint256, uint256):
    id: bytes32 = self._enter(params)
    assert not self.vaultBlacklist[onBehalf], "blacklisted"
    assert self._is_member(id, onBehalf), "not whitelist"
    Ledger.accrue(params, id)
    supplied: uint256 = 0
    minted: uint256 = 0
    supplied, minted = Ledger.supply(params, id, assets, shares, onBehalf)
    self._check_remaining_supply(params, id, onBehalf)
    return supplied, minted


@nonreentrant
@external
def withdraw(
    params: Ledger.MarketParams,
    assets: uint256,
    shares: uint256,
    onBehalf: address,
    receiver: address,
) -> (uint256, uint256):
    id: bytes32 = self._enter(params)
    Ledger.accrue(params, id)
    return Ledger.withdraw(params, id, assets, shares, onBehalf, receiver)


@nonreentrant
@external
def borrow(
    params: Ledger.MarketParams,
    assets: uint256,
    shares: uint256,
    onBehalf: address,
    receiver: address,
) -> (uint256, uint256):
    id: bytes32 = self._enter(params)
    assert self._is_member(id, onBehalf), "not whitelist"
    self._check_borrower(params, id, onBehalf, receiver)
    Ledger.accrue(params, id)
    borrowed: uint256 = 0
    minted: uint256 = 0
    borrowed, minted = Ledger.borrow(id, assets, shares, onBehalf, receiver)
    assert self._is_healthy(params, id, onBehalf), "insufficient collateral"
    Ledger.check_liquidity(id)
    Ledger.log_borrow(id, borrowed, minted, onBehalf, receiver)
    self._check_remaining_borrow(params, id, onBehalf)
    Ledger.push(params.loanToken, receiver, borrowed)
    return borrowed, minted


@nonreentrant
@external
def repay(
    params: Ledger.MarketParams,
    assets: uint256,
    shares: uint256,
    onBehalf: address,
    data: Bytes[1024],
) -> (uint256, uint256):
    id: bytes32 = self._enter(params)
    broker: address = self.brokers[id]
    assert broker == empty(address) or msg.sender == broker, "not broker"
    Ledger.accrue(params, id)
    repaid: uint256 = 0
    burnt: uint256 = 0
    repaid, burnt = Ledger.repay(params, id, assets, shares, onBehalf)
    self._check_remaining_borrow(params, id, onBehalf)
    return repaid, burnt


@nonreentrant
@external
def supplyCollateral(
    params: Ledger.MarketParams, assets: uint256, onBehalf: address, data: Bytes[1024]
):
    id: bytes32 = self._enter(params)
    assert self._is_member(id, onBehalf), "not whitelist"
    self._check_provider(id, params.collateralToken)
    Ledger.supply_collateral(params, id, assets, onBehalf)


@nonreentrant
@external
def withdrawCollateral(
    params: Ledger.MarketParams, assets: uint256, onBehalf: address, receiver: address
):
    id: bytes32 = self._enter(params)
    self._check_provider(id, params.collateralToken)
    Ledger.accrue(params, id)
    Ledger.withdraw_collateral(id, assets, onBehalf, receiver)
    assert self._is_healthy(params, id, onBehalf), "insufficient collateral"
    Ledger.log_withdraw_collateral(id, assets, onBehalf, receiver)
    Ledger.push(params.collateralToken, receiver, assets)


@nonreentrant
@external
def liquidate(
    params: Ledger.MarketParams,
    borrower: address,
    seizedAssets: uint256,
    repaidShares: uint256,
    data: Bytes[1024],
) -> (uint256, uint256):
    id: bytes32 = self._enter(params)
    assert (seizedAssets == 0) != (repaidShares == 0), "inconsistent input"
    assert self._may_liquidate(id, msg.sender), "not liquidation whitelist"
    Ledger.accrue(params, id)
    price: uint256 = self._price(params, id, borrower)
    assert not self._is_healthy(params, id, borrower), "position is healthy"
    seized: uint256 = 0
    repaid: uint256 = 0
    seized, repaid = Ledger.liquidate(params, id, borrower, seizedAssets, repaidShares, price)
    provider: address = self.providers[id][params.collateralToken]
    if provider != empty(address):
        extcall Provider(provider).liquidate(id, borrower)
    if len(data) > 0:
        extcall LiquidationCallback(msg.sender).onMoolahLiquidate(repaid, data)
    Ledger.pull(params.loanToken, repaid)
    assert self._is_acceptable_after_liquidation(params, id, borrower), "position is unhealthy"
    return seized, repaid


@nonreentrant
@external
def liquidateBrokerPosition(
    params: Ledger.MarketParams, borrower: address, badDebtShares: uint256
) -> (uint256, uint256):
    # A write-down by the market's broker; it tells both halves of the event the same amounts.
    id: bytes32 = self._enter(params)
    assert msg.sender == self.brokers[id], "not broker"
    Ledger.accrue(params, id)
    m: Ledger.Market = Ledger.market[id]
    total: uint256 = convert(m.totalBorrowAssets, uint256)
    bad: uint256 = min(
        total, Maths.to_assets_up(badDebtShares, total, convert(m.totalBorrowShares, uint256))
    )
    shares: uint128 = convert(badDebtShares, uint128)
    assert shares <= Ledger.position[id][borrower].borrowShares, "exceed borrow shares"
    Ledger.position[id][borrower].borrowShares -= shares
    Ledger.market[id].totalBorrowShares -= shares
    Ledger.market[id].totalBorrowAssets -= convert(bad, uint128)
    Ledger.market[id].totalSupplyAssets -= convert(bad, uint128)
    Ledger.log_liquidate(id, borrower, bad, badDebtShares, 0, bad, badDebtShares)
    return bad, badDebtShares


@external
def flashLoan(token: address, assets: uint256, data: Bytes[1024]):
    self._check_running()
    assert not self.flashLoanTokenBlacklist[token], "blacklisted"
    assert assets != 0, "zero assets"
    log Ledger.FlashLoan(caller=msg.sender, token=token, assets=assets)
    Ledger.push(token, msg.sender, assets)
    extcall FlashLoanCallback(msg.sender).onMoolahFlashLoan(assets, data)
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


# ---------------------------------------------------------------- views


@view
@external
def isHealthy(params: Ledger.MarketParams, id: bytes32, borrower: address) -> bool:
    # On stored totals: interest since the last touch is not in it.
    return self._is_healthy(params, id, borrower)


@view
@external
def getPrice(params: Ledger.MarketParams) -> uint256:
    return self._price(params, Ledger.id_of(params), empty(address))


@view
@external
def _getPrice(params: Ledger.MarketParams, user: address) -> uint256:
    return self._price(params, Ledger.id_of(params), user)


@view
@external
def minLoan(params: Ledger.MarketParams) -> uint256:
    return self._min_loan(params)


@view
@external
def isLiquidationWhitelist(id: bytes32, account: address) -> bool:
    return self._may_liquidate(id, account)


@view
@external
def getLiquidationWhitelist(id: bytes32) -> DynArray[address, LIST_LIMIT]:
    return self.liquidators[id]


@view
@external
def isWhiteList(id: bytes32, account: address) -> bool:
    return self._is_member(id, account)


@view
@external
def getWhiteList(id: bytes32) -> DynArray[address, LIST_LIMIT]:
    return self.members[id]


# ---------------------------------------------------------------- administration


@external
def createMarket(params: Ledger.MarketParams):
    self._check_owner()
    Ledger.create_market(params, self.defaultMarketFee)


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
def setDefaultMarketFee(newFee: uint256):
    self._check_owner()
    assert newFee <= MAX_FEE, "max fee exceeded"
    self.defaultMarketFee = newFee
    log SetDefaultMarketFee(newFee=newFee)


@external
def setFeeRecipient(recipient: address):
    self._check_owner()
    Ledger.set_fee_recipient(recipient)


@external
def setMinLoanValue(amount: uint256):
    self._check_owner()
    self.minLoanValue = amount
    log SetMinLoanValue(minLoanValue=amount)


@external
def setMarketBroker(id: bytes32, broker: address, isAddition: bool):
    self._check_owner()
    assert broker != empty(address), "zero address"
    if isAddition:
        assert self.brokers[id] == empty(address), "already set"
        self.brokers[id] = broker
    else:
        assert self.brokers[id] == broker, "not set"
        self.brokers[id] = empty(address)
    log SetMarketBroker(id=id, broker=broker, isAddition=isAddition)


@external
def addProvider(id: bytes32, token: address, provider: address):
    self._check_owner()
    assert self.providers[id][token] == empty(address), "already set"
    self.providers[id][token] = provider
    log AddProvider(id=id, token=token, provider=provider)


@external
def removeProvider(id: bytes32, token: address):
    self._check_owner()
    provider: address = self.providers[id][token]
    assert provider != empty(address), "not set"
    self.providers[id][token] = empty(address)
    log RemoveProvider(id=id, token=token, provider=provider)


@external
def addLiquidationWhitelist(id: bytes32, account: address):
    self._check_owner()
    assert account not in self.liquidators[id], "already set"
    self.liquidators[id].append(account)
    log AddLiquidationWhitelist(id=id, account=account)


@external
def removeLiquidationWhitelist(id: bytes32, account: address):
    self._check_owner()
    self.liquidators[id] = self._without(self.liquidators[id], account)
    log RemoveLiquidationWhitelist(id=id, account=account)


@external
def addWhiteList(id: bytes32, account: address):
    self._check_owner()
    assert account not in self.members[id], "already set"
    self.members[id].append(account)
    log AddWhiteList(id=id, account=account)


@external
def removeWhiteList(id: bytes32, account: address):
    self._check_owner()
    self.members[id] = self._without(self.members[id], account)
    log RemoveWhiteList(id=id, account=account)


@external
def setVaultBlacklist(account: address, isBlacklisted: bool):
    self._check_owner()
    self.vaultBlacklist[account] = isBlacklisted
    log SetVaultBlacklist(account=account, isBlacklisted=isBlacklisted)


@external
def setFlashLoanTokenBlacklist(token: address, isBlacklisted: bool):
    self._check_owner()
    self.flashLoanTokenBlacklist[token] = isBlacklisted
    log SetFlashLoanTokenBlacklist(token=token, isBlacklisted=isBlacklisted)


@external
def pause():
    self._check_owner()
    self._check_running()
    self.paused = True
    log Paused(account=msg.sender)


@external
def unpause():
    self._check_owner()
    assert self.paused, "not paused"
    self.paused = False
    log Unpaused(account=msg.sender)


# ---------------------------------------------------------------- rules


@internal
def _enter(params: Ledger.MarketParams) -> bytes32:
    self._check_running()
    return Ledger.created(params)


@view
@internal
def _check_running():
    if self.paused:
        raw_revert(method_id("EnforcedPause()"))


@view
@internal
def _check_owner():
    assert msg.sender == self.owner, "unauthorized"


@view
@internal
def _may_liquidate(id: bytes32, account: address) -> bool:
    return len(self.liquidators[id]) == 0 or account in self.liquidators[id]


@view
@internal
def _is_member(id: bytes32, account: address) -> bool:
    return len(self.members[id]) == 0 or account in self.members[id]


@view
@internal
def _check_provider(id: bytes32, token: address):
    provider: address = self.providers[id][token]
    assert provider == empty(address) or msg.sender == provider, "not provider"


@view
@internal
def _check_borrower(
    params: Ledger.MarketParams, id: bytes32, on_behalf: address, receiver: address
):
    broker: address = self.brokers[id]
    if broker != empty(address):
        assert msg.sender == broker and receiver == broker, "not broker"
        return
    provider: address = self.providers[id][params.loanToken]
    if msg.sender == provider and receiver == provider:
        return
    Ledger.check_authorized(on_behalf)


@view
@internal
def _price(params: Ledger.MarketParams, id: bytes32, user: address) -> uint256:
    base: uint256 = 0
    quote: uint256 = 0
    broker: address = self.brokers[id]
    if broker != empty(address) and user != empty(address):
        base = staticcall Broker(broker).peek(params.collateralToken, user)
        quote = staticcall Broker(broker).peek(params.loanToken, user)
    else:
        base = staticcall PriceOracle(params.oracle).peek(params.collateralToken)
        quote = staticcall PriceOracle(params.oracle).peek(params.loanToken)
    loan_decimals: uint256 = convert(staticcall Decimals(params.loanToken).decimals(), uint256)
    decimals: uint256 = convert(staticcall Decimals(params.collateralToken).decimals(), uint256)
    return Maths.mul_div_down(10 ** (36 + loan_decimals - decimals), base, quote)


@view
@internal
def _debt(id: bytes32, user: address) -> uint256:
    broker: address = self.brokers[id]
    if broker != empty(address):
        return staticcall Broker(broker).getUserTotalDebt(user)
    return Ledger.debt_of(id, user)


@view
@internal
def _is_healthy(params: Ledger.MarketParams, id: bytes32, user: address) -> bool:
    if Ledger.position[id][user].borrowShares == 0:
        return True
    price: uint256 = self._price(params, id, empty(address))
    return Ledger.covers(params.lltv, id, user, price, self._debt(id, user))


@view
@internal
def _min_loan(params: Ledger.MarketParams) -> uint256:
    price: uint256 = staticcall PriceOracle(params.oracle).peek(params.loanToken)
    if price == 0:
        return 0
    decimals: uint256 = convert(staticcall Decimals(params.loanToken).decimals(), uint256)
    return Maths.mul_div_down(self.minLoanValue, 10**decimals, price)


@view
@internal
def _remaining_borrow(id: bytes32, user: address) -> uint256:
    return Maths.to_assets_down(
        convert(Ledger.position[id][user].borrowShares, uint256),
        convert(Ledger.market[id].totalBorrowAssets, uint256),
        convert(Ledger.market[id].totalBorrowShares, uint256),
    )


@view
@internal
def _check_remaining_borrow(params: Ledger.MarketParams, id: bytes32, user: address):
    if Ledger.position[id][user].borrowShares != 0:
        assert self._remaining_borrow(id, user) >= self._min_loan(params), "remain borrow too low"


@view
@internal
def _check_remaining_supply(params: Ledger.MarketParams, id: bytes32, user: address):
    shares: uint256 = Ledger.position[id][user].supplyShares
    if shares != 0:
        assets: uint256 = Maths.to_assets_down(
            shares,
            convert(Ledger.market[id].totalSupplyAssets, uint256),
            convert(Ledger.market[id].totalSupplyShares, uint256),
        )
        assert assets >= self._min_loan(params), "remain supply too low"


@view
@internal
def _is_acceptable_after_liquidation(
    params: Ledger.MarketParams, id: bytes32, user: address
) -> bool:
    p: Ledger.Position = Ledger.position[id][user]
    if p.borrowShares == 0 or p.collateral == 0:
        return True
    if self._remaining_borrow(id, user) >= self._min_loan(params):
        return True
    return self._is_healthy(params, id, user)


@pure
@internal
def _without(
    accounts: DynArray[address, LIST_LIMIT], leaving: address
) -> DynArray[address, LIST_LIMIT]:
    assert leaving in accounts, "not set"
    kept: DynArray[address, LIST_LIMIT] = []
    for account: address in accounts:
        if account != leaving:
            kept.append(account)
    return kept
