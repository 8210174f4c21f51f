# @version 0.4.3
# Takes a flash loan from either core and gives it back.

interface Core:
    def flashLoan(token: address, assets: uint256, data: Bytes[1024]): nonpayable

interface Token:
    def approve(spender: address, amount: uint256) -> bool: nonpayable

token: transient(address)


@external
def borrow(core: address, token: address, assets: uint256):
    self.token = token
    extcall Core(core).flashLoan(token, assets, b"")


@external
def onMoolahFlashLoan(assets: uint256, data: Bytes[1024]):
    extcall Token(self.token).approve(msg.sender, assets)


@external
def onMorphoFlashLoan(assets: uint256, data: Bytes[1024]):
    extcall Token(self.token).approve(msg.sender, assets)
