import Postgres
import Store
import TestKit
import Testing

@Suite struct RunTests {
  let ground: Ground

  init() throws { ground = try Ground() }

  private func begin(_ job: String = "consume-events", on deployments: String = "core") throws
    -> Int64
  {
    try ground.db.transaction { tx in
      try Runs.begin(
        job: job, arguments: "\(job) --quiet", deployments: deployments, version: "1", host: "h",
        pid: 7, in: tx)
    }
  }

  private func finish(
    _ id: Int64, _ status: String = "succeeded", exitCode: Int32 = 0, counters: String = "{}",
    error: String? = nil
  ) throws {
    try Runs.finish(
      id, status: status, exitCode: exitCode, counters: counters, error: error, fromBlock: 11,
      toBlock: 20, on: ground.db)
  }

  private func newest(_ job: String? = nil, limit: Int = 10) throws -> [RunRow] {
    try ground.db.transaction(.readOnly) { try Runs.newest(job: job, limit: limit, in: $0) }
  }

  @Test func isRunningUntilItIsFinished() throws {
    let id = try begin()
    let open = try #require(try newest().first)
    #expect(open.id == id)
    #expect(open.status == "running")
    #expect(open.exitCode == nil)
    #expect(open.counters == "{}")

    try finish(id, "partial", exitCode: 1, counters: "{\"events\": 3}", error: "two\nlines")
    let closed = try #require(try newest().first)
    #expect(closed.job == "consume-events")
    #expect(closed.deployments == "core")
    #expect(closed.status == "partial")
    #expect(closed.exitCode == 1)
    #expect(closed.counters == "{\"events\": 3}")
    #expect(closed.error == "two\nlines")
    #expect(closed.milliseconds >= 0)
    #expect(closed.startedAt.count == "2026-01-01 00:00:00".count)
    #expect(try ground.value(Int64.self, "select to_block from run") == 20)
    #expect(try ground.value(String.self, "select arguments from run") == "consume-events --quiet")
  }

  @Test func refusesAStatusAndCountersThatAreNone() throws {
    let id = try begin()
    #expect(throws: PostgresError.self) { try finish(id, "splendid") }
    #expect(throws: PostgresError.self) { try finish(id, counters: "{") }
    #expect(try newest().first?.status == "running")
  }

  @Test func theNewestComeFirst() throws {
    let ids = try ["a", "b", "a", "a"].map { try begin($0) }
    #expect(try newest().map(\.id) == ids.reversed())
    #expect(try newest("a").map(\.id) == [ids[3], ids[2], ids[0]])
    #expect(try newest("a", limit: 2).map(\.id) == [ids[3], ids[2]])
    #expect(try newest("c").isEmpty)
    #expect(try newest(limit: 0).isEmpty)
  }

  @Test func theRunsOfAJobAreThoseOfItsPartsAsWell() throws {
    let ids = try ["a", "a fetch 1/2", "ab", "b a"].map { try begin($0) }
    #expect(try newest("a").map(\.id) == [ids[1], ids[0]])
    #expect(try newest("a fetch 1/2").map(\.id) == [ids[1]])
  }

  @Test func onlyOpenRunsOfTheSameJobAndDeploymentsAreMarkedDead() throws {
    let finished = try begin()
    try finish(finished)
    let dead = try begin()
    let otherJob = try begin("refresh-debt")
    let elsewhere = try begin(on: "core,other")
    let living = try begin()
    let status = Dictionary(
      try newest().map { ($0.id, $0.status) }, uniquingKeysWith: { first, _ in first })
    #expect(
      status == [
        dead: "interrupted", finished: "succeeded", otherJob: "running", elsewhere: "running",
        living: "running",
      ])
    #expect(
      try newest().first { $0.id == dead }?.error == "the process ended without a word")
  }

  @Test func theLockOfAJobIsThatOfItsDeployment() throws {
    let other = try ground.database.connection()
    #expect(try ground.db.tryAdvisoryLock(Runs.lock(job: "a", deployment: "core")))
    #expect(try !other.tryAdvisoryLock(Runs.lock(job: "a", deployment: "core")))
    #expect(try other.tryAdvisoryLock(Runs.lock(job: "b", deployment: "core")))
    #expect(try other.tryAdvisoryLock(Runs.lock(job: "a", deployment: "other")))
  }
}
