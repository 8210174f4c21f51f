/// One object of a configuration file on its way to becoming a value.
///
/// Every key that is asked for is remembered, with what it was; `finish()` refuses the others.
struct ConfigurationObject {
  let file: String
  let path: String
  private let members: [(name: String, value: JSONSource)]
  private var asked: [String] = []
  private let settings: SettingList

  init(
    _ source: JSONSource, file: String, path: String, settings: SettingList
  ) throws(ConfigError) {
    guard case .object(let members) = source.value else {
      throw ConfigError(file, field: path, remedy: "must be an object, not \(source.kind)")
    }
    self.file = file
    self.path = path
    self.members = members
    self.settings = settings
  }

  /// The names of all members, for objects whose keys are chosen by the operator.
  var names: [String] { members.map(\.name) }

  func path(of key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

  func error(_ key: String, _ value: String?, _ remedy: String) -> ConfigError {
    ConfigError(file, field: path(of: key), value: value, remedy: remedy)
  }

  /// The raw value of a key, nil when it is not there.
  mutating func source(_ key: String) -> JSONSource? {
    asked.append(key)
    return members.first { $0.name == key }?.value
  }

  /// Why the object cannot do without a key that is not there: perhaps another is a slip of it.
  func missing(_ key: String, _ remedy: String) -> ConfigError {
    slip(of: key) ?? error(key, nil, remedy)
  }

  /// The error of a key that nobody asked for and that is nearly this one.
  func slip(of key: String) -> ConfigError? {
    let slip = members.first { member in
      !asked.contains(member.name)
        && Suggestion.nearest(to: member.name, among: [key]) != nil
    }
    return slip.map { unknown($0.name, among: [key]) }
  }

  private func unknown(_ name: String, among known: [String]) -> ConfigError {
    ConfigError(
      file, field: path(of: name),
      remedy: "unknown key" + Suggestion.phrase(for: name, among: known))
  }

  /// Remembers what a key was for `config show`.
  func record(_ key: String, _ value: String, _ source: JSONSource?) {
    settings.add(path(of: key), value, source.map { "\(file):\($0.line)" } ?? "default")
  }

  // MARK: - Typed values

  mutating func string(_ key: String) throws(ConfigError) -> String? {
    guard let source = source(key) else { return nil }
    guard case .string(let text) = source.value else {
      throw error(key, nil, "must be a text in quotes, not \(source.kind)")
    }
    return text
  }

  mutating func integer(
    _ key: String, in range: ClosedRange<UInt64>, default standard: UInt64? = nil
  ) throws(ConfigError) -> UInt64 {
    guard let source = source(key) else {
      guard let standard else { throw missing(key, "is missing") }
      record(key, String(standard), nil)
      return standard
    }
    let remedy = "must be a whole number from \(range.lowerBound) to \(range.upperBound)"
    guard case .number(let text) = source.value else {
      if case .string(let text) = source.value { throw error(key, text, remedy) }
      throw error(key, nil, remedy + ", not \(source.kind)")
    }
    guard let number = Arguments.wholeNumber(text), range.contains(number) else {
      throw error(key, text, remedy)
    }
    record(key, String(number), source)
    return number
  }

  /// A number that need not be there.
  mutating func optionalInteger(
    _ key: String, in range: ClosedRange<UInt64>
  ) throws(ConfigError) -> UInt64? {
    if members.contains(where: { $0.name == key }) { return try integer(key, in: range) }
    asked.append(key)
    record(key, "none", nil)
    return nil
  }

  /// A value that has a text form; `parse` returns nil for what it refuses.
  mutating func parsed<Value: CustomStringConvertible>(
    _ key: String, _ remedy: String, default standard: Value? = nil, _ parse: (String) -> Value?
  ) throws(ConfigError) -> Value {
    let text = try string(key)
    guard let text else {
      guard let standard else { throw missing(key, "is missing; it \(remedy)") }
      record(key, standard.description, nil)
      return standard
    }
    guard let value = parse(text) else { throw error(key, text, remedy) }
    record(key, text, members.first { $0.name == key }?.value)
    return value
  }

  mutating func object(_ key: String) throws(ConfigError) -> ConfigurationObject? {
    guard let source = source(key) else { return nil }
    return try ConfigurationObject(
      source, file: file, path: path(of: key), settings: settings)
  }

  mutating func list(_ key: String, max: Int) throws(ConfigError) -> [JSONSource] {
    guard let source = source(key) else { return [] }
    guard case .array(let items) = source.value else {
      throw error(key, nil, "must be a list, not \(source.kind)")
    }
    guard items.count <= max else {
      throw error(key, nil, "has \(items.count) items; at most \(max) are allowed")
    }
    return items
  }

  func item(_ key: String, _ index: Int, _ source: JSONSource) throws(ConfigError) -> Self {
    try ConfigurationObject(
      source, file: file, path: "\(path(of: key))[\(index)]", settings: settings)
  }

  /// Refuses the keys that nobody asked for.
  func finish() throws(ConfigError) {
    guard let unknown = members.first(where: { !asked.contains($0.name) }) else { return }
    throw self.unknown(unknown.name, among: asked)
  }
}

/// The settings met while reading, in the order in which they were met.
final class SettingList {
  private(set) var all: [Configuration.Setting] = []

  func add(_ field: String, _ value: String, _ source: String) {
    all.append(Configuration.Setting(field: field, value: value, source: source))
  }

  func remove(_ field: String) { all.removeAll { $0.field == field } }
}
