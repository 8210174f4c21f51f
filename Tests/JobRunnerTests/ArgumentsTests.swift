import Ethereum
import Testing

@testable import JobRunner

@Suite struct ArgumentsTests {
  @Test func takesSwitchesAndValuesInBothForms() throws {
    var arguments = Arguments(["--json", "--limit", "5", "--user=alice", "nearest"])
    #expect(try arguments.flag("--json"))
    #expect(try arguments.flag("--dry-run") == false)
    #expect(try arguments.count("--limit") == 5)
    #expect(try arguments.value("--user") == "alice")
    #expect(arguments.word() == "nearest")
    try arguments.finish()
  }

  @Test func collectsARepeatedOptionInOrder() throws {
    var arguments = Arguments(["--deployment", "b", "--deployment=a"])
    #expect(try arguments.values("--deployment") == ["b", "a"])
  }

  @Test func keepsWhatFollowsTwoDashesApart() throws {
    var arguments = Arguments(["psql", "--", "--json", "-c"])
    #expect(try arguments.flag("--json") == false)
    #expect(arguments.trailing == ["--json", "-c"])
  }

  @Test(
    arguments: [
      ("48172369", 48_172_369), ("16_000_000", 16_000_000), ("16M", 16_000_000), ("3k", 3_000),
      ("0", 0), ("9223372036854775807", 9_223_372_036_854_775_807),
    ] as [(String, UInt64)])
  func readsBlockNumbers(text: String, number: UInt64) throws {
    var arguments = Arguments(["--from-block", text])
    #expect(try arguments.blockNumber("--from-block") == number)
  }

  @Test(
    arguments: [
      ("0", 0), ("1692230400", 1_692_230_400), ("2023-08-17T00:00:00Z", 1_692_230_400),
      ("2023-08-17", 1_692_230_400), ("2024-02-29T23:59", 1_709_251_140),
      ("1970-01-01T00:00:01", 1), ("9999-12-31T23:59:59Z", 253_402_300_799),
    ] as [(String, UInt64)])
  func readsMoments(text: String, seconds: UInt64) throws {
    var arguments = Arguments(["--at", text])
    #expect(try arguments.timestamp("--at") == seconds)
  }

  @Test(
    arguments: [
      ("500ms", 500), ("50s", 50_000), ("10m", 600_000), ("2h", 7_200_000), ("7d", 604_800_000),
    ] as [(String, Int64)])
  func readsLengthsOfTime(text: String, milliseconds: Int64) throws {
    var arguments = Arguments(["--deadline", text])
    #expect(try arguments.duration("--deadline") == .milliseconds(milliseconds))
  }

  /// A wrong command line and the sentence it earns.
  static let refused: [(words: [String], sentence: String)] = [
    (["--limit"], "--limit needs a value"),
    (["--limit="], "--limit needs a value"),
    (["--limit", "--json"], "--limit needs a value"),
    (["--limit", "1", "--limit", "2"], "--limit is given 2 times; give it once"),
    (["--limit", "0"], "--limit \"0\": must be a whole number from 1 to 1000"),
    (["--limit", "1001"], "--limit \"1001\": must be a whole number from 1 to 1000"),
    (["--limit", "-3"], "--limit \"-3\": must be a whole number from 1 to 1000"),
    (["--limit", "1e3"], "--limit \"1e3\": must be a whole number from 1 to 1000"),
    (
      ["--limit", "5\u{1b}[31m"],
      "--limit \"5\\u{1B}[31m\": must be a whole number from 1 to 1000"
    ),
    (["--json=yes"], "--json takes no value"),
    (
      ["--from-block", "12x"],
      "--from-block \"12x\": must be a block number such as 48172369, 16_000_000 or 16M"
    ),
    (
      ["--from-block", "9223372036854775808"],
      "--from-block \"9223372036854775808\": must be a block number such as 48172369, "
        + "16_000_000 or 16M"
    ),
    (
      ["--from-block", "99999999999999999M"],
      "--from-block \"99999999999999999M\": must be a block number such as 48172369, "
        + "16_000_000 or 16M"
    ),
    (
      ["--from-block", "20M", "--to-block", "10M"],
      "--from-block 20000000 is after --to-block 10000000; the first block comes first"
    ),
    (
      ["--at", "yesterday"],
      "--at \"yesterday\": must be unix seconds or a UTC time such as 2023-08-17T00:00:00Z"
    ),
    (
      ["--at", "2023-02-29"],
      "--at \"2023-02-29\": must be unix seconds or a UTC time such as 2023-08-17T00:00:00Z"
    ),
    (
      ["--at", "2023-08-17T00:00:00+02:00"],
      "--at \"2023-08-17T00:00:00+02:00\": must be unix seconds or a UTC time such as "
        + "2023-08-17T00:00:00Z"
    ),
    (
      ["--deadline", "50"],
      "--deadline \"50\": must be a time such as 500ms, 50s, 10m or 2h, at most 7d"
    ),
    (
      ["--deadline", "0s"],
      "--deadline \"0s\": must be a time such as 500ms, 50s, 10m or 2h, at most 7d"
    ),
    (
      ["--deadline", "8d"],
      "--deadline \"8d\": must be a time such as 500ms, 50s, 10m or 2h, at most 7d"
    ),
    (["--mode", "fsat"], "--mode \"fsat\": must be one of fast, slow; did you mean fast?"),
    (
      ["--user", "0x12"],
      "--user \"0x12\": must be 0x and 40 hex digits with a valid checksum"
    ),
    (
      ["--user", "0x8F73b65B4caAf64FBA2aF91cC5D4a2A1318E5D8c"],
      "--user \"0x8F73b65B4caAf64FBA2aF91cC5D4a2A1318E5D8c\": must be 0x and 40 hex digits with "
        + "a valid checksum"
    ),
    (["--market", "0x12"], "--market \"0x12\": must be 0x and 64 hex digits"),
    (["--limti", "5"], "unknown option --limti; did you mean --limit?"),
    (["--zzzzzzzz"], "unknown option --zzzzzzzz"),
    (["now"], "unexpected argument \"now\""),
  ]

  @Test(arguments: refused.indices)
  func refusesWithOneSentence(row: Int) {
    let (words, sentence) = Self.refused[row]
    #expect(throws: UsageError(sentence)) {
      var arguments = Arguments(words)
      _ = try arguments.flag("--json")
      _ = try arguments.count("--limit", in: 1...1_000)
      _ = try arguments.blockRange()
      _ = try arguments.timestamp("--at")
      _ = try arguments.duration("--deadline")
      _ = try arguments.choice("--mode", among: ["fast", "slow"])
      _ = try arguments.address("--user")
      _ = try arguments.bytes32("--market")
      try arguments.finish()
    }
  }

  @Test func findsTheWordThatWasMeant() {
    let names = ["consume-events", "refresh-debt", "scan-liquidations", "runs"]
    #expect(Suggestion.nearest(to: "consume-event", among: names) == "consume-events")
    #expect(Suggestion.nearest(to: "scan", among: names) == "scan-liquidations")
    #expect(Suggestion.nearest(to: "rusn", among: names) == "runs")
    #expect(Suggestion.nearest(to: "deploy", among: names) == nil)
    #expect(Suggestion.nearest(to: "", among: names) == nil)
  }

  @Test func everySecondOfTheCalendarComesBackAsItWas() throws {
    var seconds: UInt64 = 0
    while seconds <= UTCTime.lastSecond {
      #expect(UTCTime.parse(UTCTime.format(seconds)) == seconds)
      seconds += 86_400 * 31 + 12_345
    }
  }
}
