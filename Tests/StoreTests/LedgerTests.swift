import Ethereum
import Postgres
import TestKit
import Testing

@testable import Store

/// What was read, as ranges, against the same said block by block.
@Suite struct LedgerTests {
  @Test func rangesSayOfEveryBlockWhatWasSaidLast() {
    for seed in 1...200 as ClosedRange<UInt64> {
      var generator = SeededGenerator(seed: seed)
      var coverage = Coverage()
      var blocks: [UInt64: LedgerRange.State] = [:]
      for _ in 0..<40 {
        let first = UInt64.random(in: 0...60, using: &generator)
        let range = first...first + UInt64.random(in: 0...20, using: &generator)
        if Int.random(in: 0..<8, using: &generator) == 0 {
          let isAbove = Bool.random(using: &generator)
          if isAbove { coverage.cut(above: first) } else { coverage.cut(below: first) }
          blocks = blocks.filter { isAbove ? $0.key <= first : $0.key >= first }
        } else {
          let states: [LedgerRange.State] = [.verified, .suspect, .failed, .missing]
          let state = states[Int.random(in: 0..<4, using: &generator)]
          coverage.set(LedgerRange(range, state))
          for block in range { blocks[block] = state }
        }
        var said: [UInt64: LedgerRange.State] = [:]
        for range in coverage.ranges {
          for block in range.blocks {
            #expect(said[block] == nil, "seed \(seed): block \(block) is in two ranges")
            said[block] = range.state
          }
        }
        #expect(said == blocks, "seed \(seed)")
        for (one, next) in zip(coverage.ranges, coverage.ranges.dropFirst()) {
          let touch = one.blocks.upperBound + 1 == next.blocks.lowerBound
          #expect(!touch || one.state != next.state, "seed \(seed): neighbours are joined")
        }
      }
    }
  }

  @Test func rangesThatSayDifferentThingsStayApart() {
    var coverage = Coverage()
    coverage.set(LedgerRange(1...5, .suspect, reason: "a", attempts: 1))
    coverage.set(LedgerRange(6...9, .suspect, reason: "b", attempts: 1))
    coverage.set(LedgerRange(10...10, .suspect, reason: "b", attempts: 2))
    #expect(coverage.ranges.count == 3)
    coverage.set(LedgerRange(0...UInt64.max, .verified))
    #expect(coverage.ranges == [LedgerRange(0...UInt64.max, .verified)])
  }

  @Test func aFilterVersionGoesOnInOneRow() throws {
    let ground = try Ground()
    let version = try ground.watch([Ground.core])
    try ground.note(LedgerRange(10...19, .verified), [version])
    try ground.note(LedgerRange(20...29, .verified), [version])
    #expect(try ground.ranges(version) == [LedgerRange(10...29, .verified)])
  }

  /// The short way is only for versions that all end where the new blocks begin.
  @Test func aVersionThatLagsIsNotLengthenedOverItsGap() throws {
    let ground = try Ground()
    let one = try ground.watch([Ground.core])
    let two = try ground.watch([Address(tail: 1)])
    try ground.note(LedgerRange(10...19, .verified), [one])
    try ground.note(LedgerRange(10...12, .verified), [two])
    try ground.note(LedgerRange(20...29, .verified), [one, two])
    #expect(try ground.ranges(one) == [LedgerRange(10...29, .verified)])
    #expect(
      try ground.ranges(two) == [LedgerRange(10...12, .verified), LedgerRange(20...29, .verified)])
    #expect(try ground.verifiedEnd(from: 10) == 12)
    #expect(try ground.verifiedEnd(from: 20) == 29)
    #expect(try ground.verifiedEnd(from: 13) == nil)
    #expect(try ground.verifiedEnd(from: 30) == nil)
  }

  @Test func whatWasReadAheadIsNotCutOffByWhatComesBefore() throws {
    let ground = try Ground()
    let version = try ground.watch([Ground.core])
    try ground.note(LedgerRange(10...19, .verified), [version])
    try ground.note(LedgerRange(30...39, .failed, reason: "refused", attempts: 1), [version])
    try ground.note(LedgerRange(20...34, .verified), [version])
    #expect(
      try ground.ranges(version) == [
        LedgerRange(10...34, .verified),
        LedgerRange(35...39, .failed, reason: "refused", attempts: 1),
      ])
  }

  @Test func openRangesEndAtTheBlockThatIsAskedFor() throws {
    let ground = try Ground()
    let version = try ground.watch([Ground.core])
    try ground.note(LedgerRange(10...19, .missing), [version])
    try ground.note(LedgerRange(20...29, .verified), [version])
    try ground.note(LedgerRange(30...39, .suspect, reason: "bloom", attempts: 1), [version])
    let open = try ground.db.transaction(.readOnly) { tx in
      try Ledger.open(of: ground.deployment, through: 33, in: tx)
    }
    #expect(
      open == [
        Ledger.OpenRange(filterVersion: version, range: LedgerRange(10...19, .missing)),
        Ledger.OpenRange(
          filterVersion: version,
          range: LedgerRange(30...33, .suspect, reason: "bloom", attempts: 1)),
      ])
  }

  /// Complete is what is covered, not only what has no bad row.
  @Test func blocksThatNoRangeHoldsAreOpen() throws {
    let ground = try Ground()
    let one = try ground.watch([Ground.core])
    let two = try ground.watch([Address(tail: 1)])
    try ground.note(LedgerRange(10...12, .verified), [one])
    try ground.note(LedgerRange(15...20, .verified), [one])
    try ground.note(LedgerRange(8...19, .verified), [two])
    let open = try ground.db.transaction(.readOnly) { tx in
      try Ledger.open(of: ground.deployment, from: 10, through: 20, in: tx)
    }
    #expect(open.map(\.filterVersion) == [one, two])
    #expect(open.map(\.range.blocks) == [13...14, 20...20])
    #expect(open.allSatisfy { $0.range.state == .missing })
  }

  @Test func takingBackForgetsBlocksAndContracts() throws {
    let ground = try Ground()
    let one = try ground.watch([Ground.core])
    let two = try ground.watch([Address(tail: 1)])
    try ground.note(LedgerRange(10...29, .verified), [one, two])
    try ground.db.transaction { tx in
      try Ledger.takeBack(to: 15, watching: [Ground.core], of: ground.deployment, in: tx)
    }
    #expect(try ground.ranges(one) == [LedgerRange(10...15, .verified)])
    #expect(try ground.ranges(two) == [])
    #expect(try ground.watch([Address(tail: 2)]) == two)
    try ground.db.transaction { tx in
      try Ledger.takeBack(to: nil, watching: [Ground.core], of: ground.deployment, in: tx)
    }
    #expect(try ground.ranges(one) == [])
  }

  /// Two runs that find the same contract give it one version.
  @Test func aContractHasOneVersion() throws {
    let ground = try Ground()
    _ = try ground.watch([Ground.core])
    let two = try ground.watch([Address(tail: 1), Address(tail: 2)])
    #expect(try ground.watch([Address(tail: 1)]) == two)
    #expect(try ground.watch([Address(tail: 3)]) == two + 1)
  }
}

extension Ground {
  /// Watches contracts; returns the version of the first.
  func watch(_ addresses: [Address]) throws -> Int32 {
    let filters = try db.transaction { tx in
      try Ledger.watch(Set(addresses), of: deployment, in: tx)
    }
    return try #require(filters[addresses[0]])
  }

  func note(_ range: LedgerRange, _ versions: Set<Int32>) throws {
    try db.transaction { tx in
      try Ledger.note(range, of: versions, deployment: deployment, in: tx)
    }
  }

  func ranges(_ version: Int32) throws -> [LedgerRange] {
    try db.transaction(.readOnly) { tx in
      try Ledger.ranges(of: version, deployment: deployment, in: tx)
    }
  }

  func verifiedEnd(from first: UInt64) throws -> UInt64? {
    try db.transaction(.readOnly) { tx in
      try Ledger.verifiedEnd(from: first, of: deployment, in: tx)
    }
  }
}
