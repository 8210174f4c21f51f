import Chain
import HTTP
import Postgres

extension Failure {
  /// What an error means for the run: its exit code and its line.
  ///
  /// `explain` is asked about errors this module does not know; what nobody knows is an internal
  /// error.
  init(_ error: any Error, explain: (any Error) -> Failure? = { _ in nil }) {
    switch error {
    case let failure as Failure: self = failure
    case let error as UsageError: self.init(.usage, error.description)
    case let error as ConfigError: self.init(error.exit, error.description)
    case let error as PostgresError where error.isConnectionLost:
      self.init(.retryLater, "database: \(Self.sentence(ofLoss: error))")
    case let error as PostgresError: self.init(Self.exit(for: error), "database: \(error)")
    case let error as ClusterError: self.init(Self.exit(for: error), "\(error)")
    case let error as ChainError: self.init(Self.exit(for: error), "\(error)")
    case let error as TransportError: self.init(.unavailable, "network: \(error)")
    default:
      self =
        explain(error)
        ?? Failure(.internalError, "internal error: \(type(of: error)): \(error)")
    }
  }

  /// A connection that was lost in the middle of a run. What could not be opened at all says so
  /// itself, with a code of its own.
  private static func sentence(ofLoss error: PostgresError) -> String {
    let stored =
      error.kind == .commitUnknown
      ? "whether the last step is stored is not known"
      : "nothing of the step under way is stored"
    return "the connection was lost, and \(stored); the next run reads where it stands and goes "
      + "on from there (\(error.message))"
  }

  /// SQLSTATE classes: 28 and 42501 are permissions, 3D000 and 3F000 a missing database or schema,
  /// 42P01 and 42703 a missing table or column, 22 and 23 data that contradict a constraint.
  static func exit(for error: PostgresError) -> ExitCode {
    switch error.kind {
    case .unsuitableServer, .schema: return .configuration
    case .decoding: return .badData
    case .commitUnknown: return .retryLater
    case .encoding, .protocolViolation, .transactionAborted: return .internalError
    case .connection, .server: break
    }
    guard let state = error.sqlState else {
      return error.kind == .connection ? exit(forConnectionMessage: error.message) : .internalError
    }
    switch state {
    case "42501": return .permission
    case "3D000", "3F000", "42P01", "42703", "42883": return .configuration
    case "25006": return .permission
    case "57P01", "57P02", "57P03": return .unavailable
    default: break
    }
    switch state.prefix(2) {
    case "28": return .permission
    case "08": return .unavailable
    case "22", "23": return .badData
    default: return error.isRetryable ? .retryLater : .internalError
    }
  }

  /// A retry may cure what a node did not answer; it cures neither a wrong chain nor a revert.
  static func exit(for error: ChainError) -> ExitCode {
    switch error {
    case .stopped, .deadlineReached, .unknownBlock, .parentMismatch, .forked: .retryLater
    case .unavailable, .tooLarge, .refused, .windowRefused, .inconsistent, .tooFewWitnesses:
      .unavailable
    case .disagreement: .badData
    case .wrongChain, .wrongGenesis, .noMulticall: .configuration
    case .reverted: .badData
    }
  }

  static func exit(for error: ClusterError) -> ExitCode {
    switch error.kind {
    case .binariesMissing, .directory: .configuration
    case .server: .unavailable
    case .timedOut: .retryLater
    }
  }

  /// libpq gives no SQLSTATE for a refused connection; the server's English words tell the cases
  /// apart that no retry can cure. In another language they count as unavailable.
  static func exit(forConnectionMessage message: String) -> ExitCode {
    let refusals = ["authentication failed", "no pg_hba.conf entry", "no password supplied"]
    if refusals.contains(where: message.contains) { return .permission }
    let missing = message.contains("does not exist")
    return missing ? .configuration : .unavailable
  }
}
