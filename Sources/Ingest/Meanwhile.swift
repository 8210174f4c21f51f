/// A piece of work that goes on while the caller does something else.
///
/// The caller leaves alone what the work touches until `get` or `wait` has returned, and calls one
/// of them before it goes on without the work.
final class Meanwhile {
  private final class Outcome {
    var error: (any Error)?
  }

  private let work: () throws -> Void
  private let outcome = Outcome()
  private let thread: BackgroundThread?

  /// Begins the work on a thread of its own; if that is not worth it, or there is no thread, the
  /// work waits for `get`.
  init(ifWorthIt isWorthIt: Bool, _ work: @escaping () throws -> Void) {
    self.work = work
    let outcome = outcome
    thread =
      isWorthIt
      ? try? BackgroundThread {
        do { try work() } catch { outcome.error = error }
      } : nil
  }

  /// Waits for the work that has begun.
  func wait() { thread?.join() }

  /// Ends the work; throws what it threw.
  func get() throws {
    guard let thread else { return try work() }
    thread.join()
    if let error = outcome.error { throw error }
  }
}
