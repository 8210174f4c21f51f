import Ethereum
import Systems
import Testing

@testable import JobRunner

/// The object `controls` of a deployment.
@Suite struct ControlConfigurationTests {
  private static let market = "0x\(String(repeating: "ab", count: 32))"
  private static let contract = "0x000000000000000000000000000000000000c001"
  private static let token = "0x000000000000000000000000000000000000C002"
  private static let feed = "0x000000000000000000000000000000000000c003"

  private static let whole = """
    "delay": { "seconds": 90, "confirmations": 3, "markets": ["\(market)"] },
    "min_size_usd": 500, "dedup_seconds": 120, "grace_seconds": 3600,
    "zone": { "value_usd": 2000, "age_seconds": 60, "failed_attempts": 2 },
    "max_repay_usd": 10000, "incentive_floor": "1.048",
    "usd_feed_max_age_seconds": 7200,
    "usd_feeds": { "\(token)": "\(feed)" },
    "paths": {
      "direct": false, "main_liquidator": "\(contract)", "public_liquidator": "\(token)",
      "broker_liquidator": "\(feed)",
      "pre_liquidation": [
        { "address": "\(contract)", "market": "\(market)", "oracle": "\(feed)",
          "pre_lltv": "0.7", "pre_lcf_1": "0.1", "pre_lcf_2": "1.5", "pre_lif_1": "1.01",
          "pre_lif_2": "1.0500000000000001" },
      ],
    }
    """

  private func load(_ controls: String) throws -> DeploymentConfiguration {
    let directory = try ScratchDirectory()
    let text = """
      {
        "chains": {
          "bsc": { "chain_id": 56, "endpoints": [{ "name": "a", "url_file": "/run/a" }] },
        },
        "deployments": {
          "lista": {
            "chain": "bsc", "system": "moolah", "first_block": 1,
            "address": "0x8F73b65B4caAf64FBA2aF91cC5D4a2A1318E5D8C",
            \(controls)
          },
        },
      }
      """
    let configuration = try Configuration.load(
      flags: .init(config: try directory.write("plimsoll.json", text)), environment: [:],
      systems: ["moolah"])
    return configuration.deployments[0]
  }

  private func problem(_ controls: String) throws -> String {
    do {
      _ = try load("\"controls\": { \(controls) }")
      return "none"
    } catch let error as ConfigError {
      return error.description
    }
  }

  @Test(arguments: ["", "\"controls\": {},", "\"controls\": { \"delay\": {}, \"paths\": {} },"])
  func withoutSettingsNothingIsHeldBack(_ controls: String) throws {
    let deployment = try load(controls)
    #expect(deployment.controls == ControlSettings())
    #expect(deployment.plans == PlanSettings())
    #expect(deployment.controls.delay.seconds == 0)
    #expect("\(deployment.controls.minimumUSD)" == "0")
    #expect(deployment.controls.dedupSeconds == 0)
    #expect(deployment.controls.graceSeconds == 86_400)
    #expect("\(deployment.controls.zone.valueUSD)" == "100000000000000")
    #expect(deployment.plans.usesDirect)
  }

  @Test func readsEverySetting() throws {
    let deployment = try load("\"controls\": { \(Self.whole) },")
    let controls = deployment.controls
    #expect(controls.delay.seconds == 90)
    #expect(controls.delay.confirmations == 3)
    #expect(controls.delay.markets.map(\.description) == [Self.market])
    #expect("\(controls.minimumUSD)" == "50000000000")
    #expect(controls.dedupSeconds == 120)
    #expect(controls.graceSeconds == 3_600)
    #expect("\(controls.zone.valueUSD)" == "200000000000")
    #expect(controls.zone.ageSeconds == 60)
    #expect(controls.zone.failedAttempts == 2)
    let plans = deployment.plans
    #expect("\(plans.maxRepayUSD.map { "\($0)" } ?? "none")" == "1000000000000")
    #expect("\(plans.incentiveFloor.map { "\($0)" } ?? "none")" == "1048000000000000000")
    #expect(plans.usdFeeds.count == 1)
    #expect(plans.usdFeedMaxAgeSeconds == 7_200)
    #expect(!plans.usesDirect)
    #expect(plans.mainLiquidator == Address(Self.contract))
    #expect(plans.publicLiquidator == Address(Self.token))
    #expect(plans.brokerLiquidator == Address(Self.feed))
    let pre = try #require(plans.preLiquidations.first)
    #expect(pre.address == Address(Self.contract))
    #expect(pre.oracle == Address(Self.feed))
    #expect("\(pre.terms.closeFactor.second)" == "1.5")
    #expect("\(pre.terms.incentive.second)" == "1.0500000000000001")
  }

  static let refused: [(old: String, new: String, says: String)] = [
    ("\"delay\"", "\"dellay\"", "unknown key; did you mean delay?"),
    ("\"seconds\"", "\"second\"", "unknown key; did you mean seconds?"),
    ("\"confirmations\": 3", "\"confirmations\": 0", "must be a whole number from 1 to 100000"),
    ("\"min_size_usd\": 500", "\"min_size_usd\": -1", "must be a whole number from 0"),
    ("\"min_size_usd\": 500", "\"min_size_usd\": 0.5", "must be a whole number from 0"),
    ("\"1.048\"", "1.048", "must be a text in quotes"),
    ("\"1.048\"", "\"1,048\"", "must be a decimal number in quotes"),
    ("\"1.048\"", "\"1.\"", "must be a decimal number in quotes"),
    ("\"1.0500000000000001\"", "\"1.0000000000000000001\"", "with at most 18 places"),
    ("\"direct\": false", "\"direct\": \"no\"", "must be true or false, not a string"),
    ("\"main_liquidator\": \"0x", "\"main_liquidator\": \"0y", "must be 0x and 40 hex digits"),
    ("\"usd_feeds\": { \"0x", "\"usd_feeds\": { \"0y", "must be 0x and 40 hex digits"),
    ("\"pre_lif_1\": \"1.01\"", "\"pre_lif_1\": \"0.99\"", "no contract has these terms"),
    ("\"pre_lcf_2\": \"1.5\"", "\"pre_lcf_2\": \"0.05\"", "no contract has these terms"),
    ("\"pre_lltv\": \"0.7\",", "", "is missing"),
    ("\"oracle\"", "\"oracel\"", "unknown key; did you mean oracle?"),
  ]

  @Test(arguments: refused.indices)
  func refusesWithARemedy(_ row: Int) throws {
    let (old, new, says) = Self.refused[row]
    let text = Self.whole.replacing(old, with: new)
    #expect(text != Self.whole, "the row changes nothing")
    let problem = try problem(text)
    #expect(problem.contains("deployments.lista.controls"), "\(problem)")
    #expect(problem.contains(says), "\(problem)")
  }
}
