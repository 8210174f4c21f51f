import Ethereum
import Quantities

@testable import Moolah

extension LogStream {
  /// The stream with events that it lacks (fees, brokers, bounds of rates, the core contract's own)
  /// put after the last log of random blocks.
  func chainWithRareEvents(
    _ count: Int = 60, using generator: inout some RandomNumberGenerator
  ) throws -> (logs: [Log], times: [UInt64: UInt64]) {
    let (logs, times) = chain()
    var byBlock = Dictionary(grouping: logs, by: \.blockNumber)
    var created: [UInt64: [(Bytes32, MarketParameters)]] = [:]
    var markets: [(Bytes32, MarketParameters)] = []
    for block in byBlock.keys.sorted() {
      for log in byBlock[block] ?? [] {
        if case .createMarket(let id, let p)? = try MoolahEvent(log) { markets.append((id, p)) }
      }
      created[block] = markets
    }
    for _ in 0..<count {
      guard let block = byBlock.keys.sorted().randomElement(using: &generator),
        let last = byBlock[block]?.last,
        let (market, parameters) = created[block]?.randomElement(using: &generator)
      else { continue }
      let event = RareEvent.allCases.randomElement(using: &generator) ?? .setFee
      byBlock[block]?.append(
        event.log(of: market, irm: parameters.irm, after: last, using: &generator))
    }
    return (byBlock.keys.sorted().flatMap { byBlock[$0] ?? [] }, times)
  }
}

/// Events that the recorded streams lack.
private enum RareEvent: CaseIterable {
  case setFee, setBroker, unsetBroker, rateCap, rateFloor, fixedRate, minCap
  case setFeeRecipient, setDefaultMarketFee

  private var signature: String {
    switch self {
    case .setFee: "SetFee(bytes32,uint256)"
    case .setBroker, .unsetBroker: "SetMarketBroker(bytes32,address,bool)"
    case .rateCap: "BorrowRateCapUpdate(bytes32,uint256,uint256)"
    case .rateFloor: "BorrowRateFloorUpdate(bytes32,uint256,uint256)"
    case .fixedRate: "SetBorrowRate(bytes32,int256)"
    case .minCap: "MinCapUpdate(uint256,uint256)"
    case .setFeeRecipient: "SetFeeRecipient(address)"
    case .setDefaultMarketFee: "SetDefaultMarketFee(uint256)"
    }
  }

  func log(
    of market: Bytes32, irm: Address, after last: Log,
    using generator: inout some RandomNumberGenerator
  ) -> Log {
    let number = U256(UInt64.random(in: 1...250_000_000_000, using: &generator))
    let someone = Bytes32(U256(UInt64.random(in: 1...6, using: &generator)))
    let (emitter, indexed, words): (Address, [Bytes32], [U256]) =
      switch self {
      case .setFee: (LogStream.core, [market], [number])
      case .setBroker: (LogStream.core, [market, someone], [.one])
      case .unsetBroker: (LogStream.core, [market, someone], [.zero])
      case .rateCap, .rateFloor: (irm, [market], [.zero, number])
      case .fixedRate: (irm, [market], [number])
      case .minCap: (irm, [], [.zero, number])
      case .setFeeRecipient: (LogStream.core, [someone], [])
      case .setDefaultMarketFee: (LogStream.core, [], [number])
      }
    return Log(
      address: emitter, topics: [ABI.topic(signature)] + indexed,
      data: words.flatMap(\.bigEndianBytes), blockNumber: last.blockNumber,
      blockHash: last.blockHash, transactionHash: last.transactionHash,
      transactionIndex: last.transactionIndex, logIndex: last.logIndex + 1)
  }
}
