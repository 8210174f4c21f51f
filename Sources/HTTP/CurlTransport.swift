import CCurl
import Glibc

/// The network: libcurl's multi interface, on the calling thread.
///
/// Connections stay open and are used again by later calls, and several requests run at
/// once. Only `http` and `https` are spoken, redirects are not followed, certificates are
/// checked, and no proxy is taken from the environment unless asked for. Not for use from
/// two threads at once.
public final class CurlTransport: Transport {
  /// What holds for every request.
  public struct Settings: Sendable {
    /// How long connecting may take, name resolution and TLS included.
    public var connectTimeout: Duration = .seconds(5)

    /// A transfer slower than this many bytes a second for `lowSpeedTime` is given up.
    /// Waiting for a node that is still thinking counts as well, so the time is long.
    public var lowSpeedBytesPerSecond = 64

    /// See `lowSpeedBytesPerSecond`; whole seconds.
    public var lowSpeedTime: Duration = .seconds(30)

    /// How many requests are under way at once; the others wait their turn.
    public var maxConcurrent = 8

    /// Whether `http_proxy` and its relatives are obeyed.
    public var usesEnvironmentProxy = false

    /// A file of certificate authorities instead of the system's.
    public var certificateAuthorityFile: String?

    /// The defaults.
    public init() {}
  }

  /// How long a wait may be deaf to ``isStopping`` and to the deadline.
  private static let pollSlice: Duration = .milliseconds(50)

  private static let isInitialised = curl_global_init(3) == CURLE_OK

  /// Begins to set libcurl and its TLS library up, which takes about a millisecond, on a thread of
  /// its own. A transport that is made meanwhile waits for the rest of it.
  public static func prepare() {
    var thread = pthread_t()
    let failure = pthread_create(
      &thread, nil,
      { _ in
        _ = CurlTransport.isInitialised; return nil
      }, nil)
    if failure == 0 { pthread_detach(thread) }
  }

  private let settings: Settings
  private let isStopping: () -> Bool
  private let multi: UnsafeMutableRawPointer?
  private var idle: [Transfer] = []

  /// A transport with no connection yet.
  ///
  /// - Parameters:
  ///   - settings: limits that hold for every request.
  ///   - isStopping: polled several times a second while waiting; once it says yes, every
  ///     unfinished request fails with ``TransportError/stopped``.
  public init(settings: Settings = Settings(), isStopping: @escaping () -> Bool = { false }) {
    self.settings = settings
    self.isStopping = isStopping
    multi = Self.isInitialised ? curl_multi_init() : nil
    _ = ccurl_multi_set_long(multi, CURLMOPT_MAXCONNECTS, 16)
  }

  deinit {
    idle.removeAll()  // easy handles go before their multi handle
    _ = curl_multi_cleanup(multi)
  }

  private static var problem: String {
    ccurl_problem().map { String(cString: $0) } ?? "libcurl: out of memory"
  }

  public func perform(
    _ requests: [HTTPRequest], deadline: Deadline
  ) -> [Result<HTTPResponse, TransportError>] {
    perform(Round(requests: requests, deadline: deadline))
  }

  public func perform(
    _ requests: [HTTPRequest], deadline: Deadline, grace: Duration
  ) -> [Result<HTTPResponse, TransportError>] {
    perform(Round(requests: requests, deadline: deadline, grace: grace))
  }

  private func perform(_ round: Round) -> [Result<HTTPResponse, TransportError>] {
    var round = round
    while !round.isDone {
      if isStopping() { round.abandon(.stopped, in: self) }
      let now = MonotonicInstant.now()
      if round.deadline.isReached(at: now) { round.abandon(.deadlineReached, in: self) }
      if round.closing.isReached(at: now) { round.abandon(.timeout, in: self) }
      start(&round)
      let code = advance(&round)
      if code != CURLM_OK { round.abandon(.connection("libcurl: internal error"), in: self) }
    }
    return round.results
  }

  /// Starts waiting requests while there is room.
  private func start(_ round: inout Round) {
    while round.active.count < settings.maxConcurrent, let index = round.nextWaiting() {
      guard let transfer = idle.popLast() ?? Transfer() else {
        round.finish(index, with: .failure(.connection(Self.problem)))
        continue
      }
      let isReady = transfer.prepare(round.requests[index], settings: settings)
      guard isReady, curl_multi_add_handle(multi, transfer.handle) == CURLM_OK else {
        round.finish(index, with: .failure(.malformed("request refused by libcurl")))
        continue
      }
      round.active[index] = transfer
    }
  }

  /// Moves bytes, collects what has finished, and waits for more for at most one slice.
  private func advance(_ round: inout Round) -> CURLMcode {
    var running: CInt = 0
    let code = curl_multi_perform(multi, &running)
    guard code == CURLM_OK else { return code }
    collect(&round)
    guard !round.active.isEmpty, running > 0 else { return CURLM_OK }
    let end = min(round.deadline.instant, round.closing.instant)
    let wait = min(Self.pollSlice, end.duration(since: .now()))
    return curl_multi_poll(multi, nil, 0, CInt(clamping: wait.wholeMilliseconds), nil)
  }

  private func collect(_ round: inout Round) {
    var left: CInt = 0
    while let message = curl_multi_info_read(multi, &left) {
      guard message.pointee.msg == CURLMSG_DONE else { continue }
      let handle = message.pointee.easy_handle
      let code = ccurl_message_result(message)
      guard let (index, transfer) = round.active.first(where: { $0.value.handle == handle })
      else { continue }
      round.active[index] = nil
      let result = transfer.result(of: code)
      retire(transfer)
      round.finish(index, with: result)
    }
  }

  /// Takes a transfer out of the multi handle and keeps it for another request.
  fileprivate func retire(_ transfer: Transfer) {
    _ = curl_multi_remove_handle(multi, transfer.handle)
    transfer.reset()
    if idle.count < settings.maxConcurrent { idle.append(transfer) }
  }
}

/// The requests of one call and how far each is.
private struct Round {
  let requests: [HTTPRequest]
  let deadline: Deadline
  /// When the stragglers are given up.
  private(set) var closing = Deadline.never
  var active: [Int: Transfer] = [:]
  private let grace: Duration?
  private var waiting: Range<Int>
  private var finished: [Result<HTTPResponse, TransportError>?]
  private var unfinishedCount: Int

  init(requests: [HTTPRequest], deadline: Deadline, grace: Duration? = nil) {
    self.requests = requests
    self.deadline = deadline
    self.grace = grace
    waiting = 0..<requests.count
    finished = Array(repeating: nil, count: requests.count)
    unfinishedCount = requests.count
  }

  var isDone: Bool { unfinishedCount == 0 }

  var results: [Result<HTTPResponse, TransportError>] {
    finished.map { $0 ?? .failure(.connection("no result")) }
  }

  mutating func nextWaiting() -> Int? {
    waiting.popFirst()
  }

  mutating func finish(_ index: Int, with result: Result<HTTPResponse, TransportError>) {
    if finished[index] == nil { unfinishedCount -= 1 }
    finished[index] = result
    guard let grace, closing == .never, case .success(let response) = result,
      (200..<300).contains(response.status)
    else { return }
    closing = .after(grace)
  }

  /// Fails everything that is not finished.
  mutating func abandon(_ error: TransportError, in transport: CurlTransport) {
    for transfer in active.values { transport.retire(transfer) }
    active = [:]
    waiting = requests.count..<requests.count
    for index in requests.indices where finished[index] == nil {
      finish(index, with: .failure(error))
    }
  }
}
