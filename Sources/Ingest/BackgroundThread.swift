import Glibc

/// A thread that runs one piece of work and is waited for.
///
/// What the work touches belongs to it until `join` returns; the caller sees to that.
final class BackgroundThread: @unchecked Sendable {
  private let work: () -> Void
  private var thread: pthread_t?

  /// Begins at once.
  init(_ work: @escaping () -> Void) throws(ThreadFailure) {
    self.work = work
    var thread = pthread_t()
    let raw = Unmanaged.passRetained(self).toOpaque()
    let code = pthread_create(&thread, nil, runThread, raw)
    guard code == 0 else {
      Unmanaged<BackgroundThread>.fromOpaque(raw).release()
      throw ThreadFailure(code: code)
    }
    self.thread = thread
  }

  /// Waits for its end.
  func join() {
    if let thread { pthread_join(thread, nil) }
    thread = nil
  }

  fileprivate func run() { work() }
}

private func runThread(_ raw: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  if let raw { Unmanaged<BackgroundThread>.fromOpaque(raw).takeRetainedValue().run() }
  return nil
}

/// The system gave no thread.
struct ThreadFailure: Error, CustomStringConvertible {
  let code: CInt

  var description: String { "no thread could be started (\(code))" }
}
