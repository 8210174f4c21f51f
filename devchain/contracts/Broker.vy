# @version 0.4.3
# A market's broker: the only one that may borrow and repay there. Its users owe a little more
# than the core knows of, and it can write a position down, as Lista's CreditBroker does.

from modules import Ledger
from modules import Maths

interface Core:
    def borrow(
        params: Ledger.MarketParams,
        assets: uint256,
        shares: uint256,
        onBehalf: address,
        receiver: address,
    ) -> (uint256, uint256): nonpayable
    def repay(
        params: Ledger.MarketParams,
        assets: uint256,
        shares: uint256,
        onBehalf: address,
        data: Bytes[1024],
    ) -> (uint256, uint256): nonpayable
    def liquidateBrokerPosition(
        params: Ledger.MarketParams, borrower: address, badDebtShares: uint256
    ) -> (uint256, uint256): nonpayable
    def market(id: bytes32) -> Ledger.Market: view
    def position(id: bytes32, user: address) -> Ledger.Position: view

interface PriceOracle:
    def peek(asset: address) -> uint256: view

interface Token:
    def approve(spender: address, amount: uint256) -> bool: nonpayable
    def transfer(receiver: address, amount: uint256) -> bool: nonpayable
    def transferFrom(sender: address, receiver: address, amount: uint256) -> bool: nonpayable

CORE: immutable(address)
ORACLE: immutable(address)
MARKET_ID: public(bytes32)
params: Ledger.MarketParams
extraDebt: public(HashMap[address, uint256])


@deploy
def __init__(core: address, oracle: address):
    CORE = core
    ORACLE = oracle


@external
def setMarket(params: Ledger.MarketParams):
    self.params = params
    self.MARKET_ID = keccak256(abi_encode(params))


@external
def borrow(assets: uint256):
    extcall Core(CORE).borrow(self.params, assets, 0, msg.sender, self)
    self.extraDebt[msg.sender] += assets // 1000
    extcall Token(self.params.loanToken).transfer(msg.sender, assets)


@external
def repay(assets: uint256):
    extcall Token(self.params.loanToken).transferFrom(msg.sender, self, assets)
    extcall Token(self.params.loanToken).approve(CORE, assets)
    extcall Core(CORE).repay(self.params, assets, 0, msg.sender, b"")


@external
def writeDown(user: address):
    p: Ledger.Position = staticcall Core(CORE).position(self.MARKET_ID, user)
    shares: uint256 = convert(p.borrowShares, uint256)
    extcall Core(CORE).liquidateBrokerPosition(self.params, user, shares)
    self.extraDebt[user] = 0


@view
@external
def getUserTotalDebt(user: address) -> uint256:
    m: Ledger.Market = staticcall Core(CORE).market(self.MARKET_ID)
    p: Ledger.Position = staticcall Core(CORE).position(self.MARKET_ID, user)
    known: uint256 = Maths.to_assets_up(
        convert(p.borrowShares, uint256),
        convert(m.totalBorrowAssets, uint256),
        convert(m.totalBorrowShares, uint256),
    )
    return known + self.extraDebt[user]


@view
@external
def peek(asset: address, user: address = empty(address)) -> uint256:
    return staticcall PriceOracle(ORACLE).peek(asset)
