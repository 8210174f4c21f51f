import CCurl

/// One libcurl easy handle and the answer that it is receiving.
///
/// libcurl holds its address while a request is under way, so it is a class.
final class Transfer {
  let handle: UnsafeMutableRawPointer

  private var headers: UnsafeMutablePointer<curl_slist>?
  private var body: [UInt8] = []
  private var limit = 0
  private var isOverLimit = false
  private var retryAfter: Duration?
  private var retryDate: Int?
  private var serverDate: Int?

  /// The longest wait that anyone means: more digits than a day has seconds are none.
  private static let longestWait = 999_999

  /// Nil when libcurl is out of memory.
  init?() {
    guard let handle = curl_easy_init() else { return nil }
    self.handle = handle
  }

  deinit {
    curl_easy_cleanup(handle)
    curl_slist_free_all(headers)
  }

  /// Sets up a request; false when libcurl refuses one of the settings.
  func prepare(_ request: HTTPRequest, settings: CurlTransport.Settings) -> Bool {
    reset()
    limit = request.maxResponseBytes
    headers =
      request.isGet
      ? curl_slist_append(nil, "Accept: application/json")
      : curl_slist_append(nil, "Content-Type: \(request.contentType)")
    // Without this libcurl asks before it sends a large body and waits a second for leave.
    headers = curl_slist_append(headers, "Expect:")
    for line in request.headers { headers = curl_slist_append(headers, line) }
    var codes = [
      ccurl_set_text(handle, CURLOPT_URL, request.url.text),
      ccurl_set_text(handle, CURLOPT_PROTOCOLS_STR, "http,https"),
      ccurl_set_long(handle, CURLOPT_FOLLOWLOCATION, 0),
      ccurl_set_list(handle, CURLOPT_HTTPHEADER, headers),
      ccurl_set_text(handle, CURLOPT_USERAGENT, "plimsoll"),
      ccurl_set_text(handle, CURLOPT_ACCEPT_ENCODING, "gzip"),
      ccurl_set_long(handle, CURLOPT_NOSIGNAL, 1),
      ccurl_set_long(handle, CURLOPT_QUICK_EXIT, 1),
      ccurl_set_long(handle, CURLOPT_TCP_KEEPALIVE, 1),
      ccurl_set_long(handle, CURLOPT_BUFFERSIZE, 256 << 10),
      ccurl_set_size(handle, CURLOPT_MAXFILESIZE_LARGE, curl_off_t(limit)),
    ]
    if !settings.usesEnvironmentProxy {
      codes.append(ccurl_set_text(handle, CURLOPT_PROXY, ""))
      codes.append(ccurl_set_text(handle, CURLOPT_NOPROXY, ""))
    }
    if let file = settings.certificateAuthorityFile {
      codes.append(ccurl_set_text(handle, CURLOPT_CAINFO, file))
    }
    codes +=
      request.isGet ? [ccurl_set_long(handle, CURLOPT_HTTPGET, 1)] : setBody(request.body)
    codes += setTimeouts(request, settings)
    codes += setReceivers()
    return codes.allSatisfy { $0 == CURLE_OK }
  }

  private func setBody(_ body: [UInt8]) -> [CURLcode] {
    body.withUnsafeBytes { bytes in
      let start = UnsafeMutableRawPointer(mutating: bytes.baseAddress)
      return [
        ccurl_set_size(handle, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(bytes.count)),
        start == nil
          ? ccurl_set_text(handle, CURLOPT_COPYPOSTFIELDS, "")
          : ccurl_set_pointer(handle, CURLOPT_COPYPOSTFIELDS, start),
      ]
    }
  }

  private func setTimeouts(
    _ request: HTTPRequest, _ settings: CurlTransport.Settings
  ) -> [CURLcode] {
    // 0 means "no limit" to libcurl, so a call always has at least a millisecond. The run's
    // deadline is watched where the waiting is done.
    let whole = max(.milliseconds(1), request.timeout)
    let connect = max(.milliseconds(1), min(settings.connectTimeout, whole))
    let lowSpeedSeconds = settings.lowSpeedTime.wholeMilliseconds / 1000
    return [
      ccurl_set_long(handle, CURLOPT_TIMEOUT_MS, whole.wholeMilliseconds),
      ccurl_set_long(handle, CURLOPT_CONNECTTIMEOUT_MS, connect.wholeMilliseconds),
      ccurl_set_long(handle, CURLOPT_LOW_SPEED_LIMIT, settings.lowSpeedBytesPerSecond),
      ccurl_set_long(handle, CURLOPT_LOW_SPEED_TIME, lowSpeedSeconds),
    ]
  }

  private func setReceivers() -> [CURLcode] {
    let this = Unmanaged.passUnretained(self).toOpaque()
    return [
      ccurl_set_pointer(handle, CURLOPT_WRITEDATA, this),
      ccurl_set_pointer(handle, CURLOPT_HEADERDATA, this),
      ccurl_set_receive(handle, CURLOPT_WRITEFUNCTION) { bytes, size, count, context in
        Transfer.from(context)?.receive(UnsafeRawBufferPointer(start: bytes, count: size * count))
          ?? 0
      },
      ccurl_set_receive(handle, CURLOPT_HEADERFUNCTION) { bytes, size, count, context in
        Transfer.from(context)?.receiveHeader(
          UnsafeRawBufferPointer(start: bytes, count: size * count)) ?? 0
      },
    ]
  }

  private static func from(_ context: UnsafeMutableRawPointer?) -> Transfer? {
    context.map { Unmanaged<Transfer>.fromOpaque($0).takeUnretainedValue() }
  }

  /// Keeps a piece of the decompressed body; any other count than the piece's ends the call.
  private func receive(_ bytes: UnsafeRawBufferPointer) -> Int {
    guard bytes.count <= limit - body.count else {
      isOverLimit = true
      return 0
    }
    body.append(contentsOf: bytes)
    return bytes.count
  }

  private func receiveHeader(_ bytes: UnsafeRawBufferPointer) -> Int {
    if let value = bytes.value(ofHeader: "retry-after") {
      retryAfter = value.decimal(maxDigits: 6).map { .seconds($0) }
      retryDate = HTTPDate.seconds(String(decoding: value, as: UTF8.self))
    } else if let value = bytes.value(ofHeader: "date") {
      serverDate = HTTPDate.seconds(String(decoding: value, as: UTF8.self))
    } else if let value = bytes.value(ofHeader: "content-length") {
      body.reserveCapacity(min(limit, value.decimal(maxDigits: 15) ?? 0))
    }
    return bytes.count
  }

  /// The answer, or why there is none, once libcurl has finished.
  func result(of code: CURLcode) -> Result<HTTPResponse, TransportError> {
    if isOverLimit { return .failure(.tooLarge(limit: limit)) }
    guard code == CURLE_OK else {
      return .failure(TransportError(code, limit: limit))
    }
    var status = 0
    guard ccurl_get_long(handle, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK, status > 0 else {
      return .failure(.malformed("no status"))
    }
    return .success(HTTPResponse(status: status, retryAfter: wait, body: body))
  }

  /// What `Retry-After` asks for. A date counts from the server's own clock where it shows that,
  /// since ours may differ; one in the past asks for nothing.
  private var wait: Duration? {
    guard let retryDate else { return retryAfter }
    let seconds = retryDate - (serverDate ?? HTTPDate.now())
    return seconds > 0 ? .seconds(min(seconds, Self.longestWait)) : nil
  }

  /// Forgets the request; libcurl keeps the connection and its other caches.
  func reset() {
    curl_easy_reset(handle)
    curl_slist_free_all(headers)
    headers = nil
    body = []
    isOverLimit = false
    retryAfter = nil
    retryDate = nil
    serverDate = nil
  }
}

extension TransportError {
  /// The kind of failure that a libcurl code stands for. libcurl's texts for codes are
  /// fixed sentences, so they hold no part of a URL.
  fileprivate init(_ code: CURLcode, limit: Int) {
    let text = curl_easy_strerror(code).map { String(cString: $0) } ?? "unknown"
    switch code {
    case CURLE_OPERATION_TIMEDOUT:
      self = .timeout
    case CURLE_FILESIZE_EXCEEDED:
      self = .tooLarge(limit: limit)
    case CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CIPHER,
      CURLE_SSL_CACERT_BADFILE, CURLE_SSL_CERTPROBLEM, CURLE_SSL_ISSUER_ERROR,
      CURLE_SSL_PINNEDPUBKEYNOTMATCH, CURLE_SSL_INVALIDCERTSTATUS, CURLE_SSL_SHUTDOWN_FAILED,
      CURLE_SSL_ENGINE_INITFAILED, CURLE_SSL_ENGINE_NOTFOUND, CURLE_USE_SSL_FAILED:
      self = .tls(text)
    case CURLE_PARTIAL_FILE, CURLE_WEIRD_SERVER_REPLY, CURLE_BAD_CONTENT_ENCODING,
      CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL, CURLE_WRITE_ERROR:
      self = .malformed(text)
    default:
      self = .connection(text)
    }
  }
}

extension UnsafeRawBufferPointer {
  /// The trimmed value when this is the header line of that lower-case name.
  fileprivate func value(ofHeader name: StaticString) -> Slice<UnsafeRawBufferPointer>? {
    let length = name.utf8CodeUnitCount
    guard count > length, self[length] == UInt8(ascii: ":") else { return nil }
    for index in 0..<length where self[index] | 0x20 != name.utf8Start[index] { return nil }
    let isBlank = { (byte: UInt8) in byte <= 0x20 }
    var value = self[(length + 1)...].drop(while: isBlank)
    while value.last.map(isBlank) == true { value.removeLast() }
    return value
  }
}

extension Slice<UnsafeRawBufferPointer> {
  fileprivate func decimal(maxDigits: Int) -> Int? {
    guard !isEmpty, count <= maxDigits, allSatisfy({ (0x30...0x39).contains($0) }) else {
      return nil
    }
    return reduce(0) { $0 * 10 + Int($1 - 0x30) }
  }
}
