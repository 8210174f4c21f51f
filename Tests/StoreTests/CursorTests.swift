import Ethereum
import Foundation
import Postgres
import Synchronization
import TestKit
import Testing

@testable import Store

@Suite struct CursorTests {
  let ground: Ground

  init() throws { ground = try Ground() }

  private static let job = "consume-events"

  private func read() throws -> Cursor {
    try ground.db.transaction(.readOnly) {
      try Cursor.read(Self.job, of: ground.deployment, in: $0)
    }
  }

  @discardableResult
  private func move(_ cursor: Cursor, to block: UInt64) throws -> Cursor {
    try ground.db.transaction { tx in
      try cursor.move(
        Self.job, of: ground.deployment, to: block, hash: BlockHeader.hash(block), in: tx)
    }
  }

  @Test func isAtTheStartBeforeTheFirstBlock() throws {
    #expect(try read() == .start)
    #expect(Cursor.start.block == nil)
  }

  @Test func countsEveryMoveAlsoOneThatStaysWhereItIs() throws {
    let first = try move(.start, to: 20)
    #expect(first == Cursor(block: 20, hash: BlockHeader.hash(20), revision: 1))
    #expect(try read() == first)
    let second = try move(first, to: 20)
    #expect(second.revision == 2)
    let back = try move(second, to: 15)
    #expect(try read() == back)
    #expect(back == Cursor(block: 15, hash: BlockHeader.hash(15), revision: 3))
  }

  @Test func jobsAndDeploymentsHaveCursorsOfTheirOwn() throws {
    let other = try ground.db.transaction { tx in
      try Deployments.register(
        name: "other", chainID: 1, system: "moolah", address: Ground.core, firstBlock: 0, in: tx)
    }
    try move(.start, to: 20)
    let (elsewhere, otherJob) = try ground.db.transaction(.readOnly) { tx in
      (
        try Cursor.read(Self.job, of: other, in: tx),
        try Cursor.read("refresh-debt", of: ground.deployment, in: tx)
      )
    }
    #expect(elsewhere == .start)
    #expect(otherJob == .start)
  }

  @Test func movesOnlyFromWhereItWasRead() throws {
    let first = try move(.start, to: 20)
    try move(first, to: 21)
    #expect(throws: CursorError.moved) { try move(first, to: 22) }
    #expect(throws: CursorError.moved) { try move(.start, to: 22) }
    #expect(try read().block == 21)
  }

  @Test func whatIsWrittenBesideAMoveThatFailsIsNotKept() throws {
    let first = try move(.start, to: 20)
    try move(first, to: 21)
    #expect(throws: CursorError.moved) {
      try ground.db.transaction { tx -> Void in
        try Blocks.append([BlockHeader(22)], chainID: Ground.chainID, in: tx)
        try first.move(
          Self.job, of: ground.deployment, to: 22, hash: BlockHeader.hash(22), in: tx)
      }
    }
    #expect(try ground.value(Int.self, "select count(*) from block") == 0)
  }

  // MARK: Holding

  @Test func holdsOnlyWhatHasNotMoved() throws {
    let first = try move(.start, to: 20)
    try ground.db.transaction { try first.hold(Self.job, of: ground.deployment, in: $0) }
    try move(first, to: 20)
    #expect(throws: CursorError.moved) {
      try ground.db.transaction { try first.hold(Self.job, of: ground.deployment, in: $0) }
    }
    #expect(throws: CursorError.moved) {
      try ground.db.transaction { try Cursor.start.hold(Self.job, of: ground.deployment, in: $0) }
    }
  }

  @Test func aMoverWaitsUntilTheHolderHasCommitted() throws {
    let first = try move(.start, to: 20)
    let moved = Mutex<Result<Cursor, any Error>?>(nil)
    let done = DispatchSemaphore(value: 0)
    let (database, deployment) = (ground.database, ground.deployment)
    try ground.db.transaction { tx in
      try first.hold(Self.job, of: deployment, in: tx)
      Thread.detachNewThread {
        let result = Result { () throws -> Cursor in
          let db = try database.connection()
          return try db.transaction { tx in
            try first.move(Self.job, of: deployment, to: 21, hash: BlockHeader.hash(21), in: tx)
          }
        }
        moved.withLock { $0 = result }
        done.signal()
      }
      try Waiting.untilALockIsWaitedFor(in: database)
      #expect(moved.withLock { $0 == nil })
      // What the holder sees has not moved while it held.
      #expect(try Cursor.read(Self.job, of: deployment, in: tx) == first)
    }
    #expect(done.wait(timeout: .now() + 10) == .success)
    #expect(try moved.withLock { try $0?.get() }?.block == 21)
    #expect(try read().block == 21)
  }

  @Test func twoMayHoldAtOnce() throws {
    let first = try move(.start, to: 20)
    let other = try ground.database.connection(
      settings: SessionSettings(lockTimeout: .milliseconds(500)))
    try ground.db.transaction { tx in
      try first.hold(Self.job, of: ground.deployment, in: tx)
      try other.transaction { try first.hold(Self.job, of: ground.deployment, in: $0) }
    }
  }
}
