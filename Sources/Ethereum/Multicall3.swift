/// The contract that runs many calls in one and answers for each.
///
/// Source: mds1/multicall3, `Multicall3.aggregate3((address,bool,bytes)[])`, which returns
/// `(bool success, bytes returnData)[]`.
public enum Multicall3 {
  /// Where the contract stands on almost every chain: `0xcA11…CA11`.
  public static let canonicalAddress = Address(
    word0: 0xca11_bde0_5977_b363, word1: 0x1167_0288_62be_2a17, word2: 0x3976_ca11)

  /// The data of a call to `aggregate3`.
  ///
  /// With `allowFailure` a call that reverts is one failed result; without, it reverts the whole.
  public static func aggregate3(_ calls: [Call], allowFailure: Bool) -> [UInt8] {
    let encodedCalls = calls.map { call in
      ABIValue.tuple([.address(call.to), .bool(allowFailure), .bytes(call.data)])
    }
    return selector + ABI.encode([.array(encodedCalls)])
  }

  /// The results of an `aggregate3`, one for each of `count` calls and in their order.
  ///
  /// Throws `wrongCount` when there are more or fewer, since then none can be told apart.
  public static func decodeAggregate3(
    _ bytes: [UInt8], count: Int
  ) throws(ABIError) -> [CallResult] {
    let values = try ABI.decode([.array(.tuple([.bool, .bytes]))], bytes)
    guard case .array(let answers)? = values.first else {
      preconditionFailure("Decoding gives one value for each type.")
    }
    guard answers.count == count else {
      throw .wrongCount(expected: count, found: answers.count)
    }
    return answers.map(result)
  }

  private static func result(of answer: ABIValue) -> CallResult {
    guard case .tuple(let members) = answer, members.count == 2,
      case .bool(let succeeded) = members[0], case .bytes(let data) = members[1]
    else { preconditionFailure("Decoding gives values of the types asked for.") }
    return CallResult(succeeded: succeeded, data: data)
  }

  private static let selector = ABI.selector("aggregate3((address,bool,bytes)[])")
}
