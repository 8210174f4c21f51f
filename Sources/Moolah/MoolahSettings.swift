import Ethereum
import Quantities
import Systems

/// A log that changes what a market allows, not what it holds: who may do what, how small a loan
/// may be, whether the contract is paused, and which code answers for it.
///
/// Each stands for itself and is stored by its place, so that late ones need no order.
enum MoolahSetting: Hashable, Sendable {
  case fact(FactName, U256)
  case member(MarketMember)
  /// Another implementation stands behind the contract.
  case upgraded(Address)

  /// Nil for other logs. The core's own settings count only from the core; an upgrade is that of
  /// the contract which emits it.
  ///
  /// - Throws: `ABIError` or `EventError` if the log does not have the shape of its event.
  init?(_ log: Log, core: Address) throws {
    guard let topic = log.topics.first, let event = Self.events[topic],
      log.address == core || event == .upgraded
    else { return nil }
    let data = ABIWords(log.data)
    switch event {
    case .setMinLoanValue: self = .fact(.minLoanValue, try data.word(0))
    case .paused: self = .fact(.paused, .one)
    case .unpaused: self = .fact(.paused, .zero)
    case .addLiquidator, .removeLiquidator:
      self = .member(try log.member(.liquidator, isIn: event == .addLiquidator))
    case .addUser, .removeUser: self = .member(try log.member(.user, isIn: event == .addUser))
    case .addProvider, .removeProvider:
      self = .member(
        MarketMember(
          list: .provider, market: try data.bytes32(0), address: try data.address(1),
          provider: try data.address(2), isIn: event == .addProvider))
    case .upgraded:
      guard log.topics.count == 2, let implementation = log.topics[1].address else {
        throw EventError.malformed("an implementation is not an address")
      }
      self = .upgraded(implementation)
    }
  }

  private enum Event: String, CaseIterable {
    case setMinLoanValue = "SetMinLoanValue(uint256)"
    case paused = "Paused(address)"
    case unpaused = "Unpaused(address)"
    case addLiquidator = "AddLiquidationWhitelist(bytes32,address)"
    case removeLiquidator = "RemoveLiquidationWhitelist(bytes32,address)"
    case addUser = "AddWhiteList(bytes32,address)"
    case removeUser = "RemoveWhiteList(bytes32,address)"
    case addProvider = "AddProvider(bytes32,address,address)"
    case removeProvider = "RemoveProvider(bytes32,address,address)"
    case upgraded = "Upgraded(address)"
  }

  private static let events = Dictionary(
    uniqueKeysWithValues: Event.allCases.map { (ABI.topic($0.rawValue), $0) })
}

/// That someone comes into or leaves a list of a market.
struct MarketMember: Hashable, Sendable {
  enum List: String, Sendable {
    /// Who may liquidate; nobody listed: everybody may.
    case liquidator
    /// Who may supply and borrow; nobody listed: everybody may.
    case user
    /// Who alone moves a token of the market on behalf of its users.
    case provider
  }
  let list: List
  let market: Bytes32
  /// The listed one; of a provider the token that it provides.
  let address: Address
  var provider: Address?
  let isIn: Bool
}

/// Who may do what in a market, at a book's block.
public struct MarketMembers: Hashable, Sendable {
  /// Nobody: everybody may liquidate.
  public var liquidators: Set<Address> = []
  /// Nobody: everybody may supply and borrow.
  public var users: Set<Address> = []
  /// By the token that each provides.
  public var providers: [Address: Address] = [:]
}

/// A setting with the log that told it.
struct PlacedSetting: Sendable {
  let setting: MoolahSetting
  let contract: Address
  let block: UInt64
  let hash: Bytes32
  let index: UInt32
  let transaction: Bytes32

  /// Nil for a log that is none.
  init?(_ log: Log, core: Address) throws {
    guard let setting = try MoolahSetting(log, core: core) else { return nil }
    self.setting = setting
    contract = log.address
    block = log.blockNumber
    hash = log.blockHash
    index = log.logIndex
    transaction = log.transactionHash
  }
}

extension MoolahMirror {
  /// Keeps a log that is a setting; says whether it is one.
  mutating func noteSetting(
    _ log: Log, core: Address, in report: inout ApplyReport
  ) -> Bool {
    do {
      guard let placed = try PlacedSetting(log, core: core) else { return false }
      if keepsHistory { settings.append(placed) }
      if case .upgraded = placed.setting {
        report.upgrades.append(ContractUpgrade(contract: log.address, block: log.blockNumber))
      }
      report.applied += 1
    } catch {
      report.malformed += 1
    }
    return true
  }
}

extension Log {
  fileprivate func member(
    _ list: MarketMember.List, isIn: Bool
  ) throws -> MarketMember {
    guard topics.count == 3, let address = topics[2].address else {
      throw EventError.malformed("the listed one is not an address")
    }
    return MarketMember(list: list, market: topics[1], address: address, isIn: isIn)
  }
}
