import Chain
import Glibc
import Systems

/// Reads windows on a thread of its own, so that the next ones arrive while one is written.
///
/// The chain belongs to that thread until `stop` returns. What waits is bounded by windows and by
/// logs.
final class ReadAhead<System: OnChainSystem>: @unchecked Sendable {
  // Everything below is only touched with the lock held, but for `walk`, which is the thread's.
  private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var waiting: [ReadWindow] = []
  private var logsWaiting = 0
  private var ending: Result<Void, any Error>?
  private var isStopping = false

  private var walk: WindowWalk<System>
  private let first: UInt64
  private let last: UInt64
  private var thread: BackgroundThread?

  /// Begins to read at once.
  init(_ walk: WindowWalk<System>, from first: UInt64, through last: UInt64) throws {
    self.walk = walk
    self.first = first
    self.last = last
    pthread_mutex_init(lock, nil)
    pthread_cond_init(changed, nil)
    thread = try BackgroundThread { [unowned self] in run() }
  }

  deinit {
    pthread_cond_destroy(changed)
    pthread_mutex_destroy(lock)
    changed.deallocate()
    lock.deallocate()
  }

  /// The windows that wait, joined as far as they go together; nil after the last one.
  ///
  /// Blocks until there is one. Throws what the reading ended with, once everything before it has
  /// been taken.
  func next() throws -> ReadWindow? {
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    while waiting.isEmpty, ending == nil { pthread_cond_wait(changed, lock) }
    if waiting.isEmpty {
      try ending?.get()
      return nil
    }
    var taken = waiting.removeFirst()
    while let next = waiting.first, taken.canTake(next, logsMax: walk.limits.logsMax) {
      taken.take(next)
      waiting.removeFirst()
    }
    logsWaiting = waiting.reduce(0) { $0 + $1.window.logs.count }
    pthread_cond_broadcast(changed)
    return taken
  }

  /// Ends the thread, after the request that it is waiting for.
  func stop() {
    pthread_mutex_lock(lock)
    isStopping = true
    pthread_cond_broadcast(changed)
    pthread_mutex_unlock(lock)
    thread?.join()
  }

  // MARK: The thread

  private func run() {
    let result = Result { try readAll() }
    pthread_mutex_lock(lock)
    ending = result
    pthread_cond_broadcast(changed)
    pthread_mutex_unlock(lock)
  }

  private func readAll() throws {
    var next = first
    while next <= last {
      let read = try walk.read(from: next, through: last)
      next = read.window.range.upperBound + 1
      guard put(read) else { return }
    }
  }

  /// Waits for room and adds a window; false when nobody wants it any more.
  private func put(_ read: ReadWindow) -> Bool {
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    while !isStopping, isFull { pthread_cond_wait(changed, lock) }
    if isStopping { return false }
    waiting.append(read)
    logsWaiting += read.window.logs.count
    pthread_cond_broadcast(changed)
    return true
  }

  private var isFull: Bool {
    waiting.count >= walk.limits.windowsWaitingMax
      || !waiting.isEmpty && logsWaiting >= walk.limits.logsWaitingMax
  }
}
