import Quantities

/// Where the steps of a value stand: the last one taken, and a level that waits to be confirmed.
public struct StepMemory: Hashable, Sendable {
  /// The last value that was taken.
  public var reference: U256?
  public var held: HeldLevel?

  public init(reference: U256? = nil, held: HeldLevel? = nil) {
    self.reference = reference
    self.held = held
  }
}

/// A level beyond the bound, since when it is there, and how many further samples confirmed it.
public struct HeldLevel: Hashable, Sendable {
  public var value: U256
  /// The timestamp of the first sample at this level.
  public var since: UInt64
  public var runs: Int

  public init(value: U256, since: UInt64, runs: Int) {
    self.value = value
    self.since = since
    self.runs = runs
  }
}

extension StepBound {
  /// The memory after one more value, which is taken if `held` is nil in it.
  ///
  /// A value within the bound of the last one taken is taken. Another is held until so many
  /// further samples over so many seconds stay within the bound of the level at which the hold
  /// began: one wrong answer is never taken, and a real move always is in the end. A value that
  /// moves on to a third level begins anew.
  func advanced(_ memory: StepMemory, to value: U256, at timestamp: UInt64) -> StepMemory {
    guard let reference = memory.reference,
      PriceComparison.isBeyond(bound, value, from: reference)
    else { return StepMemory(reference: value) }
    var level = HeldLevel(value: value, since: timestamp, runs: 0)
    if let held = memory.held, !PriceComparison.isBeyond(bound, value, from: held.value) {
      level = HeldLevel(value: held.value, since: held.since, runs: held.runs + 1)
    }
    let waited = timestamp >= level.since ? timestamp - level.since : 0
    if level.runs >= runs, waited >= seconds { return StepMemory(reference: value) }
    return StepMemory(reference: reference, held: level)
  }

  /// The figures of a held step: `31.2 % in one step, bound 20 %; held, 1 of 3 runs, …`.
  func figures(_ value: U256, _ memory: StepMemory, at timestamp: UInt64) -> String {
    guard let reference = memory.reference, let held = memory.held else { return "" }
    let waited = timestamp >= held.since ? timestamp - held.since : 0
    return "\(PriceComparison.deviationText(value, from: reference)) in one step, "
      + "bound \(PriceComparison.percent(bound)); held, \(held.runs) of \(runs) runs, "
      + "\(waited) of \(seconds) s"
  }
}
