import Ethereum
import Foundation
import Postgres
import Store
import Synchronization
import TestKit
import Testing

@Suite struct DeploymentTests {
  let ground: Ground

  init() throws { ground = try Ground() }

  private func register(
    _ name: String, chainID: UInt64 = Ground.chainID, system: String = "moolah",
    address: Address = Ground.core, firstBlock: UInt64 = 10, on db: Connection? = nil
  ) throws -> Int32 {
    try (db ?? ground.db).transaction { tx in
      try Deployments.register(
        name: name, chainID: chainID, system: system, address: address, firstBlock: firstBlock,
        in: tx)
    }
  }

  @Test func hasOneKeyHoweverOftenItIsRegistered() throws {
    #expect(try register("core") == ground.deployment)
    #expect(try register("core") == ground.deployment)
    let found = try ground.db.transaction(.readOnly) { try Deployments.find(name: "core", in: $0) }
    #expect(found == ground.deployment)
    #expect(try ground.value(Int.self, "select count(*) from deployment") == 1)
  }

  @Test func areReadWithAllTheirValues() throws {
    let other = try register("other", chainID: 1, system: "morpho-blue")
    let rows = try ground.db.transaction(.readOnly, together: [Deployments.all])
    let stored = try Deployments.stored(rows[0]).sorted { $0.id < $1.id }
    #expect(stored.map(\.id) == [ground.deployment, other])
    #expect(stored.first?.name == "core")
    #expect(stored.first?.chainID == Ground.chainID)
    #expect(stored.first?.system == "moolah")
    #expect(stored.first?.address == Ground.core)
  }

  /// What is complete is judged from the first block on.
  @Test func takesTheFirstBlockThatWasStatedLast() throws {
    #expect(try register("core", firstBlock: 4) == ground.deployment)
    #expect(try ground.value(Int.self, "select first_block::int8 from deployment") == 4)
  }

  @Test func isNilUntilItIsRegistered() throws {
    let found = try ground.db.transaction(.readOnly) { try Deployments.find(name: "other", in: $0) }
    #expect(found == nil)
  }

  @Test func refusesANameThatStandsForAnotherContract() throws {
    let taken = DeploymentError.taken(name: "core")
    #expect(throws: taken) { try register("core", address: Address(tail: 1)) }
    #expect(throws: taken) { try register("core", chainID: 1) }
    #expect(throws: taken) { try register("core", system: "morpho-blue") }
  }

  @Test func refusesAContractThatHasAnotherName() throws {
    #expect(throws: DeploymentError.taken(name: "again")) { try register("again") }
  }

  @Test func standsOnTheStateOfOneBlockAtMost() throws {
    func block() throws -> UInt64? {
      try ground.db.transaction(.readOnly) {
        try Deployments.bootstrapBlock(of: ground.deployment, in: $0)
      }
    }
    #expect(try block() == nil)
    try ground.db.transaction { try Deployments.bootstrap(ground.deployment, at: 17, in: $0) }
    #expect(throws: DeploymentError.begun(id: ground.deployment)) {
      try ground.db.transaction { try Deployments.bootstrap(ground.deployment, at: 18, in: $0) }
    }
    #expect(try block() == 17)
  }

  @Test func theSameContractOnAnotherChainIsAnotherDeployment() throws {
    #expect(try register("elsewhere", chainID: 1) != ground.deployment)
  }

  /// The second waits for the first to commit, and then finds what it has added.
  @Test func twoRunsThatRegisterItAtOnceGetTheSameKey() throws {
    let second = Mutex<Result<Int32, any Error>?>(nil)
    let done = DispatchSemaphore(value: 0)
    let first = try ground.db.transaction { tx in
      let id = try Deployments.register(
        name: "new", chainID: 1, system: "moolah", address: Ground.core, firstBlock: 0, in: tx)
      let database = ground.database
      Thread.detachNewThread {
        let result = Result { () throws -> Int32 in
          let db = try database.connection()
          return try db.transaction { tx in
            try Deployments.register(
              name: "new", chainID: 1, system: "moolah", address: Ground.core, firstBlock: 0,
              in: tx)
          }
        }
        second.withLock { $0 = result }
        done.signal()
      }
      try Waiting.untilALockIsWaitedFor(in: ground.database)
      return id
    }
    #expect(done.wait(timeout: .now() + 10) == .success)
    #expect(try second.withLock { try $0?.get() } == first)
  }
}
