# @version 0.4.3
# The books that Moolah and Morpho Blue share: markets, positions, accrual, and one internal
# function per operation. Who may do what, prices and health belong to the contracts above.

from modules import Maths

struct MarketParams:
    loanToken: address
    collateralToken: address
    oracle: address
    irm: address
    lltv: uint256

struct Market:
    totalSupplyAssets: uint128
    totalSupplyShares: uint128
    totalBorrowAssets: uint128
    totalBorrowShares: uint128
    lastUpdate: uint128
    fee: uint128

struct Position:
    supplyShares: uint256
    borrowShares: uint128
    collateral: uint128

struct Authorization:
    authorizer: address
    authorized: address
    isAuthorized: bool
    nonce: uint256
    deadline: uint256

struct Signature:
    v: uint8
    r: bytes32
    s: bytes32

interface Token:
    def transfer(receiver: address, amount: uint256) -> bool: nonpayable
    def transferFrom(sender: address, receiver: address, amount: uint256) -> bool: nonpayable

interface RateModel:
    def borrowRate(params: MarketParams, market: Market) -> uint256: nonpayable

event CreateMarket:
    id: indexed(bytes32)
    marketParams: MarketParams

event Supply:
    id: indexed(bytes32)
    caller: indexed(address)
    onBehalf: indexed(address)
    assets: uint256
    shares: uint256

event Withdraw:
    id: indexed(bytes32)
    caller: address
    onBehalf: indexed(address)
    receiver: indexed(address)
    assets: uint256
    shares: uint256

event Borrow:
    id: indexed(bytes32)
    caller: address
    onBehalf: indexed(address)
    receiver: indexed(address)
    assets: uint256
    shares: uint256

event Repay:
    id: indexed(bytes32)
    caller: indexed(address)
    onBehalf: indexed(address)
    assets: uint256
    shares: uint256

event SupplyCollateral:
    id: indexed(bytes32)
    caller: indexed(address)
    onBehalf: indexed(address)
    assets: uint256

event WithdrawCollateral:
    id: indexed(bytes32)
    caller: address
    onBehalf: indexed(address)
    receiver: indexed(address)
    assets: uint256

event Liquidate:
    id: indexed(bytes32)
    caller: indexed(address)
    borrower: indexed(address)
    repaidAssets: uint256
    repaidShares: uint256
    seizedAssets: uint256
    badDebtAssets: uint256
    badDebtShares: uint256

event AccrueInterest:
    id: indexed(bytes32)
    prevBorrowRate: uint256
    interest: uint256
    feeShares: uint256

event FlashLoan:
    caller: indexed(address)
    token: indexed(address)
    assets: uint256

event SetAuthorization:
    caller: indexed(address)
    authorizer: indexed(address)
    authorized: indexed(address)
    newIsAuthorized: bool

event IncrementNonce:
    caller: indexed(address)
    authorizer: indexed(address)
    usedNonce: uint256

event SetFee:
    id: indexed(bytes32)
    newFee: uint256

event SetFeeRecipient:
    newFeeRecipient: indexed(address)

event EnableIrm:
    irm: indexed(address)

event EnableLltv:
    lltv: uint256

WAD: constant(uint256) = 10**18
ORACLE_PRICE_SCALE: constant(uint256) = 10**36
MAX_FEE: constant(uint256) = 25 * 10**16
DOMAIN_TYPE: constant(bytes32) = keccak256("EIP712Domain(uint256 chainId,address verifyingContract)")
AUTHORIZATION_TYPE: constant(bytes32) = keccak256(
    "Authorization(address authorizer,address authorized,bool isAuthorized,uint256 nonce,uint256 deadline)"
)

market: public(HashMap[bytes32, Market])
position: public(HashMap[bytes32, HashMap[address, Position]])
idToMarketParams: public(HashMap[bytes32, MarketParams])
feeRecipient: public(address)
isIrmEnabled: public(HashMap[address, bool])
isLltvEnabled: public(HashMap[uint256, bool])
isAuthorized: public(HashMap[address, HashMap[address, bool]])
nonce: public(HashMap[address, uint256])


# ---------------------------------------------------------------- markets


@pure
@internal
def id_of(params: MarketParams) -> bytes32:
    return keccak256(abi_encode(params))


@internal
def created(params: MarketParams) -> bytes32:
    id: bytes32 = self.id_of(params)
    assert self.market[id].lastUpdate != 0, "market not created"
    return id


@internal
def create_market(params: MarketParams, fee: uint256):
    id: bytes32 = self.id_of(params)
    assert self.isIrmEnabled[params.irm], "IRM not enabled"
    assert self.isLltvEnabled[params.lltv], "LLTV not enabled"
    assert self.market[id].lastUpdate == 0, "market already created"
    self.market[id].lastUpdate = convert(block.timestamp, uint128)
    self.market[id].fee = convert(fee, uint128)
    self.idToMarketParams[id] = params
    log CreateMarket(id=id, marketParams=params)
    if params.irm != empty(address):
        extcall RateModel(params.irm).borrowRate(params, self.market[id])


@internal
def enable_irm(irm: address):
    assert not self.isIrmEnabled[irm], "already set"
    self.isIrmEnabled[irm] = True
    log EnableIrm(irm=irm)


@internal
def enable_lltv(lltv: uint256):
    assert not self.isLltvEnabled[lltv], "already set"
    assert lltv <= WAD, "max LLTV exceeded"
    self.isLltvEnabled[lltv] = True
    log EnableLltv(lltv=lltv)


@internal
def set_fee(params: MarketParams, fee: uint256):
    id: bytes32 = self.created(params)
    assert fee != convert(self.market[id].fee, uint256), "already set"
    assert fee <= MAX_FEE, "max fee exceeded"
    self.accrue(params, id)
    self.market[id].fee = convert(fee, uint128)
    log SetFee(id=id, newFee=fee)


@internal
def set_fee_recipient(recipient: address):
    assert recipient != self.feeRecipient, "already set"
    self.feeRecipient = recipient
    log SetFeeRecipient(newFeeRecipient=recipient)


# ---------------------------------------------------------------- interest


@internal
def accrue(params: MarketParams, id: bytes32):
    m: Market = self.market[id]
    elapsed: uint256 = block.timestamp - convert(m.lastUpdate, uint256)
    if elapsed == 0:
        return
    if params.irm != empty(address):
        rate: uint256 = extcall RateModel(params.irm).borrowRate(params, m)
        growth: uint256 = Maths.taylor_compounded(rate, elapsed)
        interest: uint256 = Maths.mul_div_down(convert(m.totalBorrowAssets, uint256), growth, WAD)
        m.totalBorrowAssets += convert(interest, uint128)
        m.totalSupplyAssets += convert(interest, uint128)
        fee_shares: uint256 = 0
        if m.fee != 0:
            fee: uint256 = Maths.mul_div_down(interest, convert(m.fee, uint256), WAD)
            # The fee belongs to the assets already, so the price of its shares leaves it out.
            fee_shares = Maths.to_shares_down(
                fee,
                convert(m.totalSupplyAssets, uint256) - fee,
                convert(m.totalSupplyShares, uint256),
            )
            self.position[id][self.feeRecipient].supplyShares += fee_shares
            m.totalSupplyShares += convert(fee_shares, uint128)
        log AccrueInterest(id=id, prevBorrowRate=rate, interest=interest, feeShares=fee_shares)
    m.lastUpdate = convert(block.timestamp, uint128)
    self.market[id] = m


# ---------------------------------------------------------------- lending side


@internal
def supply(
    params: MarketParams, id: bytes32, assets_in: uint256, shares_in: uint256, on_behalf: address
) -> (uint256, uint256):
    assert (assets_in == 0) != (shares_in == 0), "inconsistent input"
    assert on_behalf != empty(address), "zero address"
    assets: uint256 = assets_in
    shares: uint256 = shares_in
    total_assets: uint256 = convert(self.market[id].totalSupplyAssets, uint256)
    total_shares: uint256 = convert(self.market[id].totalSupplyShares, uint256)
    if assets > 0:
        shares = Maths.to_shares_down(assets, total_assets, total_shares)
    else:
        assets = Maths.to_assets_up(shares, total_assets, total_shares)
    self.position[id][on_behalf].supplyShares += shares
    self.market[id].totalSupplyShares += convert(shares, uint128)
    self.market[id].totalSupplyAssets += convert(assets, uint128)
    log Supply(id=id, caller=msg.sender, onBehalf=on_behalf, assets=assets, shares=shares)
    self.pull(params.loanToken, assets)
    return assets, shares


@internal
def withdraw(
    params: MarketParams,
    id: bytes32,
    assets_in: uint256,
    shares_in: uint256,
    on_behalf: address,
    receiver: address,
) -> (uint256, uint256):
    assert (assets_in == 0) != (shares_in == 0), "inconsistent input"
    assert receiver != empty(address), "zero address"
    self.check_authorized(on_behalf)
    assets: uint256 = assets_in
    shares: uint256 = shares_in
    total_assets: uint256 = convert(self.market[id].totalSupplyAssets, uint256)
    total_shares: uint256 = convert(self.market[id].totalSupplyShares, uint256)
    if assets > 0:
        shares = Maths.to_shares_up(assets, total_assets, total_shares)
    else:
        assets = Maths.to_assets_down(shares, total_assets, total_shares)
    self.position[id][on_behalf].supplyShares -= shares
    self.market[id].totalSupplyShares -= convert(shares, uint128)
    self.market[id].totalSupplyAssets -= convert(assets, uint128)
    self.check_liquidity(id)
    log Withdraw(
        id=id,
        caller=msg.sender,
        onBehalf=on_behalf,
        receiver=receiver,
        assets=assets,
        shares=shares,
    )
    self.push(params.loanToken, receiver, assets)
    return assets, shares


# ---------------------------------------------------------------- borrowing side


@internal
def borrow(
    id: bytes32, assets_in: uint256, shares_in: uint256, on_behalf: address, receiver: address
) -> (uint256, uint256):
    # The caller checks health, then sends the assets.
    assert (assets_in == 0) != (shares_in == 0), "inconsistent input"
    assert receiver != empty(address), "zero address"
    assets: uint256 = assets_in
    shares: uint256 = shares_in
    total_assets: uint256 = convert(self.market[id].totalBorrowAssets, uint256)
    total_shares: uint256 = convert(self.market[id].totalBorrowShares, uint256)
    if assets > 0:
        shares = Maths.to_shares_up(assets, total_assets, total_shares)
    else:
        assets = Maths.to_assets_down(shares, total_assets, total_shares)
    self.position[id][on_behalf].borrowShares += convert(shares, uint128)
    self.market[id].totalBorrowShares += convert(shares, uint128)
    self.market[id].totalBorrowAssets += convert(assets, uint128)
    return assets, shares


@internal
def log_borrow(id: bytes32, assets: uint256, shares: uint256, on_behalf: address, receiver: address):
    log Borrow(
        id=id,
        caller=msg.sender,
        onBehalf=on_behalf,
        receiver=receiver,
        assets=assets,
        shares=shares,
    )


@internal
def repay(
    params: MarketParams, id: bytes32, assets_in: uint256, shares_in: uint256, on_behalf: address
) -> (uint256, uint256):
    assert (assets_in == 0) != (shares_in == 0), "inconsistent input"
    assert on_behalf != empty(address), "zero address"
    assets: uint256 = assets_in
    shares: uint256 = shares_in
    total_assets: uint256 = convert(self.market[id].totalBorrowAssets, uint256)
    total_shares: uint256 = convert(self.market[id].totalBorrowShares, uint256)
    if assets > 0:
        shares = Maths.to_shares_down(assets, total_assets, total_shares)
    else:
        assets = Maths.to_assets_up(shares, total_assets, total_shares)
    self.position[id][on_behalf].borrowShares -= convert(shares, uint128)
    self.market[id].totalBorrowShares -= convert(shares, uint128)
    # Rounding up may ask for one unit more than all assets.
    self.market[id].totalBorrowAssets = convert(total_assets - min(total_assets, assets), uint128)
    log Repay(id=id, caller=msg.sender, onBehalf=on_behalf, assets=assets, shares=shares)
    self.pull(params.loanToken, assets)
    return assets, shares


@internal
def supply_collateral(params: MarketParams, id: bytes32, assets: uint256, on_behalf: address):
    assert assets != 0, "zero assets"
    assert on_behalf != empty(address), "zero address"
    self.position[id][on_behalf].collateral += convert(assets, uint128)
    log SupplyCollateral(id=id, caller=msg.sender, onBehalf=on_behalf, assets=assets)
    self.pull(params.collateralToken, assets)


@internal
def withdraw_collateral(id: bytes32, assets: uint256, on_behalf: address, receiver: address):
    # The caller checks health, then sends the collateral.
    assert assets != 0, "zero assets"
    assert receiver != empty(address), "zero address"
    self.check_authorized(on_behalf)
    self.position[id][on_behalf].collateral -= convert(assets, uint128)


@internal
def log_withdraw_collateral(id: bytes32, assets: uint256, on_behalf: address, receiver: address):
    log WithdrawCollateral(
        id=id, caller=msg.sender, onBehalf=on_behalf, receiver=receiver, assets=assets
    )


# ---------------------------------------------------------------- health and liquidation


@view
@internal
def debt_of(id: bytes32, user: address) -> uint256:
    return Maths.to_assets_up(
        convert(self.position[id][user].borrowShares, uint256),
        convert(self.market[id].totalBorrowAssets, uint256),
        convert(self.market[id].totalBorrowShares, uint256),
    )


@view
@internal
def covers(lltv: uint256, id: bytes32, user: address, price: uint256, debt: uint256) -> bool:
    collateral: uint256 = convert(self.position[id][user].collateral, uint256)
    worth: uint256 = Maths.mul_div_down(collateral, price, ORACLE_PRICE_SCALE)
    return Maths.mul_div_down(worth, lltv, WAD) >= debt


@internal
def liquidate(
    params: MarketParams,
    id: bytes32,
    borrower: address,
    seized_in: uint256,
    shares_in: uint256,
    price: uint256,
) -> (uint256, uint256):
    # Returns (seized, repaid); the caller of this pulls the repaid assets afterwards.
    seized: uint256 = seized_in
    repaid_shares: uint256 = shares_in
    total_assets: uint256 = convert(self.market[id].totalBorrowAssets, uint256)
    total_shares: uint256 = convert(self.market[id].totalBorrowShares, uint256)
    incentive: uint256 = Maths.incentive_factor(params.lltv)
    if seized > 0:
        quoted: uint256 = Maths.mul_div_up(seized, price, ORACLE_PRICE_SCALE)
        repaid_shares = Maths.to_shares_up(
            Maths.mul_div_up(quoted, WAD, incentive), total_assets, total_shares
        )
    else:
        assets: uint256 = Maths.to_assets_down(repaid_shares, total_assets, total_shares)
        seized = Maths.mul_div_down(
            Maths.mul_div_down(assets, incentive, WAD), ORACLE_PRICE_SCALE, price
        )
    repaid: uint256 = Maths.to_assets_up(repaid_shares, total_assets, total_shares)

    self.position[id][borrower].borrowShares -= convert(repaid_shares, uint128)
    self.market[id].totalBorrowShares -= convert(repaid_shares, uint128)
    self.market[id].totalBorrowAssets = convert(total_assets - min(total_assets, repaid), uint128)
    self.position[id][borrower].collateral -= convert(seized, uint128)

    bad_shares: uint256 = 0
    bad_assets: uint256 = 0
    if self.position[id][borrower].collateral == 0:
        bad_shares = convert(self.position[id][borrower].borrowShares, uint256)
        left: uint256 = convert(self.market[id].totalBorrowAssets, uint256)
        bad_assets = min(left, self.debt_of(id, borrower))
        self.market[id].totalBorrowAssets -= convert(bad_assets, uint128)
        self.market[id].totalSupplyAssets -= convert(bad_assets, uint128)
        self.market[id].totalBorrowShares -= convert(bad_shares, uint128)
        self.position[id][borrower].borrowShares = 0
    self.log_liquidate(id, borrower, repaid, repaid_shares, seized, bad_assets, bad_shares)
    self.push(params.collateralToken, msg.sender, seized)
    return seized, repaid


@internal
def log_liquidate(
    id: bytes32,
    borrower: address,
    repaid: uint256,
    repaid_shares: uint256,
    seized: uint256,
    bad_assets: uint256,
    bad_shares: uint256,
):
    log Liquidate(
        id=id,
        caller=msg.sender,
        borrower=borrower,
        repaidAssets=repaid,
        repaidShares=repaid_shares,
        seizedAssets=seized,
        badDebtAssets=bad_assets,
        badDebtShares=bad_shares,
    )


# ---------------------------------------------------------------- authorisation


@view
@internal
def check_authorized(on_behalf: address):
    assert msg.sender == on_behalf or self.isAuthorized[on_behalf][msg.sender], "unauthorized"


@internal
def authorize(authorizer: address, authorized: address, allowed: bool):
    self.isAuthorized[authorizer][authorized] = allowed
    log SetAuthorization(
        caller=msg.sender, authorizer=authorizer, authorized=authorized, newIsAuthorized=allowed
    )


@internal
def authorize_by_signature(a: Authorization, signature: Signature):
    assert block.timestamp <= a.deadline, "signature expired"
    assert a.nonce == self.nonce[a.authorizer], "invalid nonce"
    self.nonce[a.authorizer] += 1
    domain: bytes32 = keccak256(abi_encode(DOMAIN_TYPE, chain.id, self))
    content: bytes32 = keccak256(abi_encode(AUTHORIZATION_TYPE, a))
    digest: bytes32 = keccak256(concat(b"\x19\x01", domain, content))
    signer: address = ecrecover(digest, signature.v, signature.r, signature.s)
    assert signer != empty(address) and signer == a.authorizer, "invalid signature"
    log IncrementNonce(caller=msg.sender, authorizer=a.authorizer, usedNonce=a.nonce)
    self.authorize(a.authorizer, a.authorized, a.isAuthorized)


# ---------------------------------------------------------------- tokens


@view
@internal
def check_liquidity(id: bytes32):
    m: Market = self.market[id]
    assert m.totalBorrowAssets <= m.totalSupplyAssets, "insufficient liquidity"


@internal
def pull(token: address, assets: uint256):
    ok: bool = extcall Token(token).transferFrom(msg.sender, self, assets)
    assert ok, "transferFrom returned false"


@internal
def push(token: address, receiver: address, assets: uint256):
    ok: bool = extcall Token(token).transfer(receiver, assets)
    assert ok, "transfer returned false"
