# @version 0.4.3
# The part of Multicall3 that readers use: aggregate3, and the block it ran in.

CALLS: constant(uint256) = 1024
BYTES: constant(uint256) = 512

struct Call3:
    target: address
    allowFailure: bool
    callData: Bytes[BYTES]

struct Result:
    success: bool
    returnData: Bytes[BYTES]


@payable
@external
def aggregate3(calls: DynArray[Call3, CALLS]) -> DynArray[Result, CALLS]:
    results: DynArray[Result, CALLS] = []
    for c: Call3 in calls:
        success: bool = False
        answer: Bytes[BYTES] = b""
        success, answer = raw_call(
            c.target, c.callData, max_outsize=BYTES, revert_on_failure=False
        )
        assert success or c.allowFailure, "Multicall3: call failed"
        results.append(Result(success=success, returnData=answer))
    return results


@view
@external
def getBlockNumber() -> uint256:
    return block.number


@view
@external
def getCurrentBlockTimestamp() -> uint256:
    return block.timestamp


@view
@external
def getChainId() -> uint256:
    return chain.id
