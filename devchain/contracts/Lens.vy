# @version 0.4.3
# Accrue, then read: only ever called by eth_call, so that nothing is kept.

from modules import Ledger

interface Core:
    def accrueInterest(params: Ledger.MarketParams): nonpayable
    def market(id: bytes32) -> Ledger.Market: view
    def isHealthy(params: Ledger.MarketParams, id: bytes32, user: address) -> bool: view


@external
def accruedMarket(core: address, params: Ledger.MarketParams, id: bytes32) -> Ledger.Market:
    extcall Core(core).accrueInterest(params)
    return staticcall Core(core).market(id)


@external
def healthyNow(
    core: address, params: Ledger.MarketParams, id: bytes32, user: address
) -> bool:
    extcall Core(core).accrueInterest(params)
    return staticcall Core(core).isHealthy(params, id, user)
