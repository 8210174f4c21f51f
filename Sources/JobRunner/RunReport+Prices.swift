import Ethereum
import Systems

extension RunReport {
  /// At most so many warnings are written out; all are in table `market_warning`.
  static let warningsMax = 50

  /// Says what a person should look at in a judgement: no verdict, and no reason to end with 1.
  public mutating func tellWarnings(of judgement: Judgement, in deployment: String) {
    let warnings = judgement.markets.flatMap { market in market.warnings.map { (market, $0) } }
    for (market, warning) in warnings.prefix(Self.warningsMax) {
      note(
        "\(deployment): market \(market.market): warning \(warning.code.rawValue), "
          + warning.detail)
    }
    count("warnings", warnings.count)
    count(
      "shadow_liquidatable", judgement.markets.reduce(0) { $0 + ($1.shadow?.liquidatable ?? 0) })
    count("decimals_unchecked", judgement.markets.count { $0.isDecimalsUnchecked })
  }
}
