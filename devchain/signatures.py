"""Function and event signatures of the lending cores and what stands around them."""

from __future__ import annotations

PARAMS = "(address,address,address,address,uint256)"
MARKET = "(uint128,uint128,uint128,uint128,uint128,uint128)"
MARKET_WORDS = "uint128,uint128,uint128,uint128,uint128,uint128"
POSITION_WORDS = "uint256,uint128,uint128"
MULTICALL3_ADDRESS = "0xca11bde05977b3631167028862be2a173976ca11"

CREATE_MARKET = f"createMarket({PARAMS})"
SUPPLY = f"supply({PARAMS},uint256,uint256,address,bytes)"
WITHDRAW = f"withdraw({PARAMS},uint256,uint256,address,address)"
BORROW = f"borrow({PARAMS},uint256,uint256,address,address)"
REPAY = f"repay({PARAMS},uint256,uint256,address,bytes)"
SUPPLY_COLLATERAL = f"supplyCollateral({PARAMS},uint256,address,bytes)"
WITHDRAW_COLLATERAL = f"withdrawCollateral({PARAMS},uint256,address,address)"
LIQUIDATE = f"liquidate({PARAMS},address,uint256,uint256,bytes)"
ACCRUE_INTEREST = f"accrueInterest({PARAMS})"
SET_FEE = f"setFee({PARAMS},uint256)"
BORROW_RATE_VIEW = f"borrowRateView({PARAMS},{MARKET})"
GET_PRICE = f"getPrice({PARAMS})"
IS_HEALTHY = f"isHealthy({PARAMS},bytes32,address)"
AUTHORIZE_BY_SIGNATURE = (
    "setAuthorizationWithSig((address,address,bool,uint256,uint256),(uint8,bytes32,bytes32))"
)

# Events that move the mirror: name to signature.
EVENTS = {
    signature.split("(")[0]: signature
    for signature in (
        f"CreateMarket(bytes32,{PARAMS})",
        "Supply(bytes32,address,address,uint256,uint256)",
        "Withdraw(bytes32,address,address,address,uint256,uint256)",
        "Borrow(bytes32,address,address,address,uint256,uint256)",
        "Repay(bytes32,address,address,uint256,uint256)",
        "SupplyCollateral(bytes32,address,address,uint256)",
        "WithdrawCollateral(bytes32,address,address,address,uint256)",
        "Liquidate(bytes32,address,address,uint256,uint256,uint256,uint256,uint256)",
        "AccrueInterest(bytes32,uint256,uint256,uint256)",
        "SetFee(bytes32,uint256)",
        "SetFeeRecipient(address)",
        "SetOwner(address)",
        "EnableIrm(address)",
        "EnableLltv(uint256)",
        "SetDefaultMarketFee(uint256)",
        "SetMinLoanValue(uint256)",
        "SetMarketBroker(bytes32,address,bool)",
        "AddProvider(bytes32,address,address)",
        "RemoveProvider(bytes32,address,address)",
        "AddLiquidationWhitelist(bytes32,address)",
        "RemoveLiquidationWhitelist(bytes32,address)",
        "AddWhiteList(bytes32,address)",
        "RemoveWhiteList(bytes32,address)",
        "SetVaultBlacklist(address,bool)",
        "SetFlashLoanTokenBlacklist(address,bool)",
        "SetAuthorization(address,address,address,bool)",
        "IncrementNonce(address,address,uint256)",
        "FlashLoan(address,address,uint256)",
        "Paused(address)",
        "Unpaused(address)",
        "BorrowRateUpdate(bytes32,uint256,uint256)",
        "SetBorrowRate(bytes32,int256)",
        "BorrowRateCapUpdate(bytes32,uint256,uint256)",
        "BorrowRateFloorUpdate(bytes32,uint256,uint256)",
        "MinCapUpdate(uint256,uint256)",
        "AnswerUpdated(int256,uint256,uint256)",
    )
}
