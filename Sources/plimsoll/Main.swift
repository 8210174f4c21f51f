import HTTP
import Ingest
import JobRunner
import Jobs
import Moolah
import Schema
import Store
import Systems

/// The composition root: the only file that names concrete systems.
@main
enum Plimsoll {
  static func main() {
    Runner(
      jobs: [
        ConsumeEvents.self, FetchEvents.self, RefreshDebt.self, ScanLiquidations.self, Audit.self,
        Positions.self, Alert.self,
      ],
      systems: systems, migrations: Schema.migrations,
      makeTransport: { stop in CurlTransport(isStopping: { stop.isStopping }) },
      explain: explain
    ).main()
  }

  private static var systems: [String: Runner.SystemFactory] {
    [
      Dialect.moolah.rawValue: { Moolah(.moolah, prices: $0.prices) },
      Dialect.morphoBlue.rawValue: { Moolah(.morphoBlue, prices: $0.prices) },
    ]
  }

  /// What the errors of the modules between the runner and the systems mean.
  private static func explain(_ error: any Error) -> Failure? {
    switch error {
    case let error as IngestError where error.isAboutTheBeginning:
      Failure(.configuration, error.description)
    case let error as IngestError where error.isAboutTheCommand:
      Failure(.usage, error.description)
    case let error as IngestError: Failure(.badData, error.description)
    case let error as BootstrapError: Failure(.badData, error.description)
    case let error as TakeBackError: Failure(.badData, error.description)
    case let error as CursorError: Failure(.retryLater, error.description)
    case let error as WriterError: Failure(.retryLater, error.description)
    case let error as DeploymentError: Failure(.configuration, error.description)
    default: nil
    }
  }
}
