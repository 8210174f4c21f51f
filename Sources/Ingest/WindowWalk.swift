import Chain
import Ethereum
import Systems

/// Reads windows one after the other, each on top of the one before.
struct WindowWalk<System: OnChainSystem> {
  let system: System
  let deployment: Deployment
  let limits: IngestLimits
  let chain: Chain
  /// From here on every header is read.
  let everyHeaderFrom: UInt64
  /// Blocks before that whose headers are read as well.
  var also: Set<UInt64> = []

  var watched: Set<Address>
  /// The block before the next window, if it was read.
  var parent: (number: UInt64, hash: Bytes32)?
  /// Goes with the first window.
  var headersBefore: [BlockHeader] = []

  /// Reads a window, and reads it again for contracts that its own logs reveal.
  mutating func read(
    from first: UInt64, through last: UInt64
  ) throws -> ReadWindow {
    var last = min(last, first + (limits.windowBlocks - 1))
    for _ in 0..<limits.revelationsMax {
      let window = try chain.window(
        LogFilter(addresses: watched.sorted(), topics0: []), from: first, through: last,
        everyHeaderFrom: everyHeaderFrom, also: also, parent: parent)
      let revealed = system.addresses(revealedBy: window.logs, of: deployment)
        .subtracting(watched)
      if revealed.isEmpty {
        defer { headersBefore = [] }
        parent = window.headers.last.map { ($0.number, $0.hash) }
        return ReadWindow(
          window: window, headersBefore: headersBefore, watched: watched,
          everyHeaderFrom: everyHeaderFrom, also: also)
      }
      watched.formUnion(revealed)
      last = window.range.upperBound
    }
    throw IngestError.endlessRevelations(first: first)
  }
}

/// A window as it was read, and what it was read for.
struct ReadWindow {
  var window: Window
  /// The block before the window, if nothing was read before it.
  var headersBefore: [BlockHeader]
  /// The contracts whose logs it holds.
  var watched: Set<Address>
  var everyHeaderFrom: UInt64
  /// Blocks before that whose headers it holds in any case.
  var also: Set<UInt64> = []

  /// Says that it lacks logs which are stored: maybe more is missing.
  mutating func doubtAsWithheld() {
    window.doubts.append(
      Doubt(blocks: window.range, reason: .withheld, endpoint: window.endpoint))
  }

  /// Takes in the window that follows. What the later one watches, it watches as a whole only if
  /// both do.
  func canTake(_ next: ReadWindow, logsMax: Int) -> Bool {
    next.watched == watched && next.window.endpoint == window.endpoint
      && next.window.logs.count + window.logs.count <= logsMax
      && next.window.range.lowerBound == window.range.upperBound + 1
  }

  mutating func take(_ next: ReadWindow) {
    window.range = window.range.lowerBound...next.window.range.upperBound
    window.logs += next.window.logs
    window.headers += next.window.headers
    window.doubts += next.window.doubts
  }
}
