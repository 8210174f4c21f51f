import Ethereum
import Postgres
import TestKit
import Testing

@testable import Store

@Suite struct WriterTests {
  let ground: Ground

  init() throws { ground = try Ground() }

  private func take(_ holder: String, on db: Connection) throws -> Writer {
    guard case .mine(let writer) = try Writer.take(ground.deployment, holder: holder, on: db) else {
      throw Abandoned()
    }
    return writer
  }

  @Test func theSecondIsToldWhoTheFirstIs() throws {
    let second = try ground.database.connection()
    _ = try take("first of host a", on: ground.db)
    #expect(
      try Writer.take(ground.deployment, holder: "second", on: second)
        == .taken(by: "first of host a"))
  }

  @Test func whoeverComesAfterTheFirstHasGoneHasAHigherEpoch() throws {
    let first = try ground.database.connection()
    let one = try take("first", on: first)
    first.close()
    // The server ends the session a moment after the client has gone.
    let two = try Waiting.until { try? take("second", on: ground.db) }
    #expect(two.epoch > one.epoch)
  }

  @Test func aReleasedWriterLeavesTheTurnToTheNext() throws {
    let second = try ground.database.connection()
    let one = try take("first", on: ground.db)
    try one.release(on: ground.db)
    #expect(try take("second", on: second).epoch == one.epoch + 1)
    #expect(
      try Writer.take(ground.deployment, holder: "first", on: ground.db) == .taken(by: "second"))
  }

  @Test func eachDeploymentHasAWriterOfItsOwn() throws {
    let other = try ground.db.transaction { tx in
      try Deployments.register(
        name: "other", chainID: 1, system: "moolah", address: Ground.core, firstBlock: 0, in: tx)
    }
    _ = try take("first", on: ground.db)
    let second = try ground.database.connection()
    #expect(
      try Writer.take(other, holder: "second", on: second)
        == .mine(Writer(deployment: other, epoch: 1)))
  }

  @Test func whatAReplacedWriterWritesIsNotKept() throws {
    let old = try ground.database.connection()
    let replaced = try take("old", on: old)
    // Its session lives on, but the lock was lost as with a broken connection.
    try replaced.release(on: old)
    let new = try take("new", on: ground.db)

    #expect(throws: WriterError.replaced) {
      try old.transaction { tx in
        try Blocks.append([BlockHeader(11)], chainID: Ground.chainID, in: tx)
        try replaced.check(in: tx)
      }
    }
    #expect(try ground.value(Int.self, "select count(*) from block") == 0)
    try ground.db.transaction { tx in
      try new.check(in: tx)
      try Blocks.append([BlockHeader(11)], chainID: Ground.chainID, in: tx)
    }
    #expect(try ground.value(Int.self, "select count(*) from block") == 1)
  }

  /// Between its check and its commit nobody can become the writer.
  @Test func aWriterIsNotReplacedInTheMiddleOfATransaction() throws {
    let old = try ground.database.connection()
    let writer = try take("old", on: old)
    try writer.release(on: old)
    let hasty = try ground.database.connection(
      settings: SessionSettings(lockTimeout: .milliseconds(100)))
    try old.transaction { tx in
      try writer.check(in: tx)
      let error = #expect(throws: PostgresError.self) {
        try Writer.take(ground.deployment, holder: "new", on: hasty)
      }
      #expect(error?.sqlState == "55P03")
    }
  }

  @Test func aWriterWithoutARowIsReplaced() throws {
    let writer = try take("first", on: ground.db)
    try ground.db.transaction { tx in try tx.execute("delete from writer") }
    #expect(throws: WriterError.replaced) { try ground.db.transaction { try writer.check(in: $0) } }
  }
}
