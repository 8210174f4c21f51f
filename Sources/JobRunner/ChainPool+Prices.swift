import HTTP
import Systems

// Second sources that are not on the chain.

extension ChainPool {
  /// Asks the named sources of a chain, all at once and each once, and gives one result for each.
  ///
  /// Never called inside a transaction. A source that fails is a result without a price; what it
  /// may do to a verdict is the price's rule.
  ///
  /// - Throws: `ConfigError` when a URL cannot be read.
  func outsidePrices(
    _ names: Set<String>, of configuration: ChainConfiguration, now: UInt64
  ) throws -> [String: Result<SecondPrice, SecondProblem>] {
    let sources = configuration.prices.outside.filter { names.contains($0.name) }
    let requests = try sources.map { source in
      HTTPRequest(
        getting: try Self.url(
          of: source, chain: configuration.name, environment: environment, place: place,
          redactor: redactor),
        timeout: .milliseconds(Int64(source.timeoutMilliseconds)),
        maxResponseBytes: source.maxResponseBytes)
    }
    let answers = transport.perform(requests, deadline: deadline)
    return Dictionary(
      zip(sources, answers).map { source, answer in
        (source.name, source.price(in: answer, now: now))
      }, uniquingKeysWith: { first, _ in first })
  }

  /// Reads the URL of a source and registers it as a secret.
  static func url(
    of source: OutsidePriceSource, chain: String, environment: [String: String], place: String,
    redactor: Redactor
  ) throws(ConfigError) -> EndpointURL {
    let field = "chains.\(chain).prices.sources.\(source.name)"
    let text = try source.url.read(environment: environment, place: place, field: field)
    redactor.register(url: text)
    do {
      return try EndpointURL(text)
    } catch {
      throw ConfigError(place, field: field, remedy: "the URL \(error)")
    }
  }
}

extension OutsidePriceSource {
  /// What the answer says, or why it says nothing. Names no URL.
  func price(
    in answer: Result<HTTPResponse, TransportError>, now: UInt64
  ) -> Result<SecondPrice, SecondProblem> {
    switch answer {
    case .failure(let error): return .failure(SecondProblem(error.description))
    case .success(let response) where !(200..<300).contains(response.status):
      return .failure(SecondProblem("HTTP status \(response.status)"))
    case .success(let response):
      guard let document = try? JSONSource.parse(response.body) else {
        return .failure(SecondProblem("the answer is not JSON"))
      }
      if let problem = ageProblem(document, now: now) { return .failure(problem) }
      guard let text = pointer.number(in: document),
        let price = SecondPrice(text: text, decimals: decimals)
      else { return .failure(SecondProblem("no number at \(pointer)")) }
      return .success(price)
    }
  }

  /// A time beyond this is in milliseconds: in seconds it would be the year 5138.
  private static let secondsMax: UInt64 = 100_000_000_000

  private func ageProblem(_ document: JSONSource, now: UInt64) -> SecondProblem? {
    guard let timePointer, let maxAgeSeconds else { return nil }
    guard let text = timePointer.number(in: document),
      let digits = text.split(separator: ".").first, let raw = Arguments.wholeNumber(String(digits))
    else { return SecondProblem("no time at \(timePointer)") }
    let time = raw > Self.secondsMax ? raw / 1_000 : raw
    if time > now + maxAgeSeconds { return SecondProblem("its time lies ahead of the clock") }
    let age = now > time ? now - time : 0
    if age <= maxAgeSeconds { return nil }
    return SecondProblem("\(age) s old, at most \(maxAgeSeconds) s are allowed")
  }
}
