import Store
import Testing

/// What findings make of the alerts that fire.
@Suite struct AlertStepTests {
  private func finding(_ subject: String) -> Finding { Finding(.liquidatable, subject) { [:] } }

  private func firing(
    _ id: Int64, _ subject: String, absentSince: UInt64? = nil
  ) -> FiringAlert {
    FiringAlert(id: id, kind: .liquidatable, subject: subject, absentSince: absentSince)
  }

  private func step(
    _ firing: [FiringAlert], _ subjects: [String], at now: UInt64, firingMax: Int = 10,
    resolveAfter: UInt64 = 600, doubted: Set<String> = []
  ) -> AlertStep {
    AlertStep(
      from: firing, findings: subjects.map(finding), at: now, resolveAfter: resolveAfter,
      firingMax: firingMax, isDoubted: { doubted.contains($0.subject) })
  }

  @Test func aNewConditionFiresOnceAlsoIfItIsFoundTwice() {
    let step = step([], ["a", "b", "a"], at: 100)
    #expect(step.fired.map(\.subject) == ["a", "b"])
    #expect(step.omitted == 0)
  }

  @Test func aConditionThatFiresIsOnlySeen() {
    let step = step([firing(1, "a")], ["a"], at: 100)
    #expect(step.fired.isEmpty)
    #expect(step.seen.map(\.id) == [1])
  }

  @Test func aConditionResolvesOnlyAfterItWasGoneForTheWholeTime() {
    #expect(step([firing(1, "a")], [], at: 100).absent == [1])
    #expect(step([firing(1, "a")], [], at: 100).resolved == [])
    #expect(step([firing(1, "a", absentSince: 100)], [], at: 699).resolved == [])
    #expect(step([firing(1, "a", absentSince: 100)], [], at: 700).resolved == [1])
  }

  @Test func aClockThatGoesBackResolvesNothing() {
    let step = step([firing(1, "a", absentSince: 1_000)], [], at: 10)
    #expect(step.resolved.isEmpty && step.absent.isEmpty)
  }

  @Test func withoutAWaitItResolvesAtOnce() {
    #expect(step([firing(1, "a")], [], at: 100, resolveAfter: 0).resolved == [1])
  }

  @Test func whatIsNotKnownIsNotGone() {
    let step = step(
      [firing(1, "a"), firing(2, "b", absentSince: 1), firing(3, "c", absentSince: 1)], [],
      at: 10_000, doubted: ["a", "b"])
    #expect(step.resolved == [3])
    // Its time begins anew.
    #expect(step.doubted == [2])
    #expect(step.absent == [])
  }

  @Test func onlySoManyFireAtOnceAndTheOthersAreCounted() {
    let first = step([], ["a", "b", "c"], at: 100, firingMax: 2)
    #expect(first.fired.map(\.subject) == ["a", "b"])
    #expect(first.omitted == 1)
    let later = step([firing(1, "a"), firing(2, "b")], ["a", "b", "c"], at: 200, firingMax: 2)
    #expect(later.fired.isEmpty)
    #expect(later.omitted == 1)
    // Room is where one has resolved.
    let last = step(
      [firing(1, "a", absentSince: 0), firing(2, "b")], ["c", "b"], at: 900, firingMax: 2)
    #expect(last.resolved == [1])
    #expect(last.fired.map(\.subject) == ["c"])
  }

  @Test func whatIsWorseThanAllThatFiresIsSaidThoughNothingEnds() {
    let old = [firing(1, "a"), firing(2, "b")]
    let step = step(old, ["worst", "a", "b", "c"], at: 200, firingMax: 2)
    #expect(step.fired.map(\.subject) == ["worst"])
    #expect(step.omitted == 1)
    #expect(step.resolved.isEmpty && step.absent.isEmpty)
  }
}
