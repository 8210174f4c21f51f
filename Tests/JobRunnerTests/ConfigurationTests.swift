import Ethereum
import Glibc
import Systems
import Testing

@testable import JobRunner

/// A directory of its own for one test, removed at the end.
final class ScratchDirectory {
  let path: String

  init() throws {
    var template = Array("/tmp/plimsoll-test-XXXXXX".utf8CString)
    guard let made = mkdtemp(&template) else { throw Failure(.inputOutput, "mkdtemp") }
    path = String(cString: made)
  }

  @discardableResult
  func write(_ name: String, _ text: String, mode: mode_t = 0o600) throws -> String {
    let file = "\(path)/\(name)"
    let descriptor = open(file, O_WRONLY | O_CREAT | O_TRUNC, mode)
    guard descriptor >= 0 else { throw Failure(.inputOutput, "open") }
    defer { close(descriptor) }
    let bytes = Array(text.utf8)
    guard Glibc.write(descriptor, bytes, bytes.count) == bytes.count else {
      throw Failure(.inputOutput, "write")
    }
    return file
  }

  deinit {
    guard let directory = opendir(path) else { return }
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { unlink("\(path)/\(name)") }
    }
    closedir(directory)
    rmdir(path)
  }
}

@Suite struct ConfigurationTests {
  static let whole = """
    {
      // One node, one contract.
      "database": { "url_file": "db.url" },
      "private_directory": "var/private",
      "chains": {
        "bsc": {
          "chain_id": 56,
          "endpoints": [
            { "name": "primary", "url_env": "BSC_RPC_URL" },
            { "name": "local", "url": "http://127.0.0.1:8545" },
          ],
          "window_blocks": 500, /* small */
        },
        "ethereum": { "chain_id": 1, "endpoints": [{ "name": "a", "url_file": "/run/a" }] },
      },
      "deployments": {
        "lista-bsc": {
          "chain": "bsc", "system": "moolah",
          "address": "0x8F73b65B4caAf64FBA2aF91cC5D4a2A1318E5D8C", "first_block": 48172369,
          "markets": { "include": ["0x\(String(repeating: "ab", count: 32))"], "exclude": [] },
        },
      },
    }
    """

  private func load(
    _ text: String, flags: Configuration.Flags = .init(), environment: [String: String] = [:]
  ) throws -> Configuration {
    let directory = try ScratchDirectory()
    var flags = flags
    flags.config = try directory.write("plimsoll.json", text)
    return try Configuration.load(
      flags: flags, environment: environment, systems: ["moolah", "morpho-blue"])
  }

  /// The error's line with the scratch directory taken out.
  private func line(
    _ text: String, flags: Configuration.Flags = .init(), environment: [String: String] = [:]
  ) -> (line: String, exit: ExitCode)? {
    do {
      _ = try load(text, flags: flags, environment: environment)
      return nil
    } catch let error as ConfigError {
      let file = error.description.split(separator: ":")[0]
      let name = file.hasPrefix("/tmp/") ? "plimsoll.json" : String(file)
      return (name + error.description.dropFirst(file.count), error.exit)
    } catch {
      return ("\(error)", .internalError)
    }
  }

  @Test func readsAWholeConfiguration() throws {
    let configuration = try load(Self.whole)
    let directory = try #require(configuration.file).dropLast("plimsoll.json".count)
    #expect(configuration.database == .url(.file("\(directory)db.url")))
    #expect(configuration.privateDirectory == "\(directory)var/private")
    #expect(configuration.chains.map(\.name) == ["bsc", "ethereum"])
    let bsc = configuration.chains[0]
    #expect(
      bsc.endpoints.map(\.url) == [
        .environment("BSC_RPC_URL"), .inline("http://127.0.0.1:8545"),
      ])
    #expect(
      (bsc.blockTimeMilliseconds, bsc.reorgLimit, bsc.maxMirrorLag, bsc.windowBlocks)
        == (450, 64, 40, 500))
    let ethereum = configuration.chains[1]
    #expect(
      (ethereum.blockTimeMilliseconds, ethereum.reorgLimit, ethereum.maxMirrorLag) == (
        12_000, 128, 3
      ))
    #expect((ethereum.windowBlocks, ethereum.maxResponseBytes) == (2_000, 64 << 20))
    #expect(
      ethereum.multicall.description == "0xcA11bde05977b3631167028862bE2a173976CA11")
    #expect((bsc.agreeLogs, bsc.agreePrices, bsc.maxHeadLag) == (1, 1, 16))
    #expect((bsc.maxHeadAgeSeconds, ethereum.maxHeadAgeSeconds) == (60, 1_200))
    let lista = configuration.deployments[0]
    #expect((lista.chain, lista.system, lista.firstBlock) == ("bsc", "moolah", 48_172_369))
    let market = try #require(Bytes32("0x" + String(repeating: "ab", count: 32)))
    #expect(lista.markets.admits(market) && !lista.markets.admits(.zero))
  }

  @Test func readsHowManyEndpointsMustAgreeAndHowFarAHeadMayBeBehind() throws {
    let text = Self.whole.replacing(
      "\"window_blocks\": 500",
      with: """
        "agree_logs": 2, "agree_prices": 2, "max_head_lag": 0, "max_head_age_seconds": 90
        """)
    let configuration = try load(text)
    let bsc = configuration.chains[0]
    #expect((bsc.agreeLogs, bsc.agreePrices, bsc.maxHeadLag) == (2, 2, 0))
    #expect(bsc.maxHeadAgeSeconds == 90)
    let shown = configuration.settings.first { $0.field == "chains.bsc.agree_logs" }
    #expect(shown?.value == "2")
    let age = configuration.settings.filter { $0.field.hasSuffix("max_head_age_seconds") }
    #expect(age.map(\.value) == ["90", "1200"])
  }

  @Test func zeroLetsTheNewestBlockBeOfAnyAge() throws {
    let text = Self.whole.replacing("\"window_blocks\": 500", with: "\"max_head_age_seconds\": 0")
    #expect(try load(text).chains[0].maxHeadAgeSeconds == nil)
  }

  @Test func aMarketListedInExcludeIsNotJudged() throws {
    let text = Self.whole.replacing("\"include\"", with: "\"x\"")
      .replacing("\"exclude\": []", with: "\"include\": []")
      .replacing("\"x\"", with: "\"exclude\"")
    let lista = try load(text).deployments[0]
    let market = try #require(Bytes32("0x" + String(repeating: "ab", count: 32)))
    #expect(!lista.markets.admits(market) && lista.markets.admits(.zero))
  }

  /// What to replace in the whole configuration, by what, and the line that this earns.
  static let refused: [(old: String, new: String, line: String)] = [
    (
      "\"window_blocks\": 500", "\"window_block\": 500",
      "plimsoll.json: chains.bsc.window_block: unknown key; did you mean window_blocks?"
    ),
    (
      "\"database\":", "\"databaze\":",
      "plimsoll.json: databaze: unknown key; did you mean database?"
    ),
    (
      "\"window_blocks\": 500", "\"chain_id\": 56",
      "plimsoll.json:12:7: expected each key once; \"chain_id\" is there twice"
    ),
    (
      "\"window_blocks\": 500", "\"window_blocks\": 0",
      "plimsoll.json: chains.bsc.window_blocks: \"0\": must be a whole number from 1 to 1000000"
    ),
    (
      "\"window_blocks\": 500", "\"window_blocks\": 1.5",
      "plimsoll.json: chains.bsc.window_blocks: \"1.5\": must be a whole number from 1 to 1000000"
    ),
    (
      "\"window_blocks\": 500", "\"window_blocks\": \"500\"",
      "plimsoll.json: chains.bsc.window_blocks: \"500\": must be a whole number from 1 to 1000000"
    ),
    (
      "\"window_blocks\": 500", "\"window_blocks\": [500]",
      "plimsoll.json: chains.bsc.window_blocks: must be a whole number from 1 to 1000000, "
        + "not a list"
    ),
    (
      "\"chain_id\": 56", "\"chain_id\": 0",
      "plimsoll.json: chains.bsc.chain_id: \"0\": must be a whole number from 1 to "
        + "9223372036854775807"
    ),
    (
      "\"window_blocks\": 500", "\"agree_logs\": 3",
      "plimsoll.json: chains.bsc.agree_logs: \"3\": the chain has 2 endpoints; more cannot say the "
        + "same"
    ),
    (
      "\"window_blocks\": 500", "\"agree_prices\": 0",
      "plimsoll.json: chains.bsc.agree_prices: \"0\": must be a whole number from 1 to 16"
    ),
    (
      "\"window_blocks\": 500", "\"max_head_age_seconds\": 31536001",
      "plimsoll.json: chains.bsc.max_head_age_seconds: \"31536001\": must be a whole number "
        + "from 0 to 31536000"
    ),
    ("\"chain_id\": 56,", "", "plimsoll.json: chains.bsc.chain_id: is missing"),
    (
      "\"chain_id\": 56,", "\"chain_idd\": 56,",
      "plimsoll.json: chains.bsc.chain_idd: unknown key; did you mean chain_id?"
    ),
    ("\"chains\": {", "\"chain\": {", "plimsoll.json: chain: unknown key; did you mean chains?"),
    (
      "\"http://127.0.0.1:8545\"", "\"ftp://x/key\"",
      "plimsoll.json: chains.bsc.endpoints[1].url: \"ftp://…\": must be http or https"
    ),
    (
      "\"http://127.0.0.1:8545\"", "\"secretsecret\"",
      "plimsoll.json: chains.bsc.endpoints[1].url: must be http or https"
    ),
    (
      "\"http://127.0.0.1:8545\"", "\"http:///path\"",
      "plimsoll.json: chains.bsc.endpoints[1].url: \"http://…\": must name a host"
    ),
    (
      "\"http://127.0.0.1:8545\"", "\"https://me:pw@node\"",
      "plimsoll.json: chains.bsc.endpoints[1].url: \"https://…\": carries a user name; put the "
        + "URL into a file and name it by url_file, or use url_env"
    ),
    (
      "\"url\": \"http://127.0.0.1:8545\"", "\"url\": \"http://x\", \"url_env\": \"X\"",
      "plimsoll.json: chains.bsc.endpoints[1]: needs exactly one of url, url_env or url_file; "
        + "it has 2"
    ),
    (
      ", \"url\": \"http://127.0.0.1:8545\"", "",
      "plimsoll.json: chains.bsc.endpoints[1]: needs exactly one of url, url_env or url_file; "
        + "it has none"
    ),
    (
      "\"BSC_RPC_URL\"", "\"https://key\"",
      "plimsoll.json: chains.bsc.endpoints[0].url_env: must be the name of an environment "
        + "variable"
    ),
    (
      "\"local\"", "\"primary\"",
      "plimsoll.json: chains.bsc.endpoints[1].name: \"primary\": another endpoint of this chain "
        + "has the same name"
    ),
    (
      "\"local\"", "\"Local node\"",
      "plimsoll.json: chains.bsc.endpoints[1].name: \"Local node\": must be 1 to 40 of a-z, 0-9 "
        + "and -"
    ),
    (
      "[{ \"name\": \"a\", \"url_file\": \"/run/a\" }]", "[]",
      "plimsoll.json: chains.ethereum.endpoints: needs at least one endpoint with a name and a "
        + "URL"
    ),
    (
      "\"bsc\": {", "\"BSC!\": {",
      "plimsoll.json: chains: \"BSC!\": the name of a chain must be 1 to 40 of a-z, 0-9 and -"
    ),
    (
      "\"chain\": \"bsc\"", "\"chain\": \"bcs\"",
      "plimsoll.json: deployments.lista-bsc.chain: \"bcs\": is not one of the chains of this "
        + "file: bsc, ethereum; did you mean bsc?"
    ),
    (
      "\"system\": \"moolah\"", "\"system\": \"mula\"",
      "plimsoll.json: deployments.lista-bsc.system: \"mula\": is not one of the systems of this "
        + "binary: moolah, morpho-blue"
    ),
    (
      "318E5D8C", "318E5D8c",
      "plimsoll.json: deployments.lista-bsc.address: "
        + "\"0x8F73b65B4caAf64FBA2aF91cC5D4a2A1318E5D8c\": must be 0x and 40 hex digits with a "
        + "valid checksum"
    ),
    (
      "0x8F73b65B4caAf64FBA2aF91cC5D4a2A1318E5D8C", "0x8F73",
      "plimsoll.json: deployments.lista-bsc.address: \"0x8F73\": must be 0x and 40 hex digits "
        + "with a valid checksum"
    ),
    (
      "\"first_block\": 48172369", "\"first_block\": -1",
      "plimsoll.json: deployments.lista-bsc.first_block: \"-1\": must be a whole number from 0 to "
        + "9223372036854775807"
    ),
    (
      "abab\"]", "\"]",
      "plimsoll.json: deployments.lista-bsc.markets.include[0]: "
        + "\"0x\(String(repeating: "ab", count: 30))\": must be 0x and 64 hex digits in quotes"
    ),
    (
      "\"exclude\": []", "\"exclude\": [\"0x\(String(repeating: "ab", count: 32))\"]",
      "plimsoll.json: deployments.lista-bsc.markets.exclude: "
        + "\"0x\(String(repeating: "ab", count: 32))\": the market is in include as well"
    ),
    (
      "{ \"url_file\": \"db.url\" }", "\"postgresql://me:pw@host/db\"",
      "plimsoll.json: database: the URL carries a password; put it into a file and name it by "
        + "url_file, or use url_env or a pgpass file"
    ),
    (
      "{ \"url_file\": \"db.url\" }", "\"postgresql:///db?p%61ssword=pw\"",
      "plimsoll.json: database: the URL carries a password; put it into a file and name it by "
        + "url_file, or use url_env or a pgpass file"
    ),
    (
      "{ \"url_file\": \"db.url\" }", "\"mysql\"",
      "plimsoll.json: database: \"mysql\": must be \"private\", a postgresql:// URL without a "
        + "password, {\"url_file\": …} or {\"url_env\": …}"
    ),
    (
      "{ \"url_file\": \"db.url\" }", "7",
      "plimsoll.json: database: must be \"private\", a postgresql:// URL without a password, "
        + "{\"url_file\": …} or {\"url_env\": …}"
    ),
    (
      "{ \"url_file\": \"db.url\" }", "{ \"url\": \"postgresql:///x\" }",
      "plimsoll.json: database: needs exactly one of url_env or url_file; it has none"
    ),
  ]

  @Test(arguments: refused.indices)
  func refusesWithFileFieldValueAndRemedy(row: Int) throws {
    let (old, new, expected) = Self.refused[row]
    let text = Self.whole.replacing(old, with: new)
    #expect(text != Self.whole, "the row changes nothing")
    let error = line(text)
    #expect(error?.line == expected)
    #expect(error?.exit == .configuration)
  }

  @Test func aMissingOrUnreadableFileIsNamed() throws {
    #expect(throws: ConfigError("nowhere.json", remedy: "there is no such file")) {
      try Configuration.load(
        flags: .init(config: "nowhere.json"), environment: [:], systems: [])
    }
    #expect(
      throws: ConfigError("/tmp", remedy: "the file cannot be read (error 21)", exit: .inputOutput)
    ) {
      try Configuration.load(flags: .init(config: "/tmp"), environment: [:], systems: [])
    }
  }

  @Test func aFlagWinsOverTheEnvironmentOverTheFileOverTheDefault() throws {
    let file = "{ \"database\": \"private\" }"
    let environment = ["PLIMSOLL_DATABASE": "postgresql:///from-environment"]
    let flags = Configuration.Flags(database: "postgresql:///from-flag")
    func database(_ configuration: Configuration) -> [Configuration.Setting] {
      configuration.settings.filter { $0.field == "database" }
    }

    #expect(try load("{}").database == nil)
    #expect(try load(file).database == .privateCluster)
    let fromEnvironment = try load(file, environment: environment)
    #expect(fromEnvironment.database == .url(.inline("postgresql:///from-environment")))
    #expect(database(fromEnvironment).map(\.source) == ["environment PLIMSOLL_DATABASE"])
    let fromFlag = try load(file, flags: flags, environment: environment)
    #expect(fromFlag.database == .url(.inline("postgresql:///from-flag")))
    #expect(database(fromFlag).map(\.source) == ["flag --database"])
    let fromURLFile = try load(file, environment: ["PLIMSOLL_DATABASE_URL_FILE": "/run/db"])
    #expect(fromURLFile.database == .url(.file("/run/db")))
  }

  @Test func anEmptyEnvironmentVariableCountsAsNotSet() throws {
    #expect(try load("{}", environment: ["PLIMSOLL_DATABASE": ""]).database == nil)
  }

  @Test(arguments: [
    (
      ["PLIMSOLL_DATABASE": "postgresql://a:b@c/d"],
      "PLIMSOLL_DATABASE: the URL carries a password; put it into a file and name it by "
        + "url_file, or use url_env or a pgpass file"
    ),
    (
      ["PLIMSOLL_DATABASE": "private", "PLIMSOLL_DATABASE_URL_FILE": "/x"],
      "PLIMSOLL_DATABASE: PLIMSOLL_DATABASE_URL_FILE is set as well; set one of the two"
    ),
    (["PLIMSOLL_LOG_FORMAT": "xml"], "PLIMSOLL_LOG_FORMAT: \"xml\": must be pretty or json"),
    (
      ["PLIMSOLL_LOG_LEVEL": "loud"],
      "PLIMSOLL_LOG_LEVEL: \"loud\": must be one of trace, debug, info, warning, error"
    ),
  ])
  func refusesWrongEnvironmentVariables(environment: [String: String], expected: String) {
    let error = line("{}", environment: environment)
    #expect(error?.line == expected)
    #expect(error?.exit == .configuration)
  }

  @Test func everySettingSaysWhereItComesFrom() throws {
    let settings = try load(Self.whole).settings
    func source(_ field: String) -> String? {
      settings.first { $0.field == field }?.source.split(separator: "/").last.map(String.init)
    }
    #expect(source("chains.bsc.chain_id") == "plimsoll.json:7")
    #expect(source("chains.bsc.reorg_limit") == "default")
    #expect(source("deployments.lista-bsc.system") == "plimsoll.json:18")
    #expect(source("log_level") == "default")
    let secret = settings.first { $0.field == "chains.bsc.endpoints[1].url" }
    #expect(secret?.value == "(written in the file)")
  }

  @Test func readsASecretFromItsSource() throws {
    let directory = try ScratchDirectory()
    let file = try directory.write("url", "  https://node/key \n")
    func read(_ source: SecretSource, _ environment: [String: String] = [:]) throws -> String {
      try source.read(environment: environment, place: "plimsoll.json", field: "f")
    }
    #expect(try read(.file(file)) == "https://node/key")
    #expect(try read(.environment("X"), ["X": "https://y"]) == "https://y")
    #expect(try read(.inline("https://z")) == "https://z")
    let unset = ConfigError(
      "plimsoll.json", field: "f",
      remedy: "the environment variable X is not set; set it to the URL")
    #expect(throws: unset) { try read(.environment("X")) }
    let missing = ConfigError(
      "plimsoll.json", field: "f", remedy: "/nowhere: there is no such file")
    #expect(throws: missing) { try read(.file("/nowhere")) }
    let two = try directory.write("two", "https://a\nhttps://b\n")
    #expect(throws: ConfigError.self) { try read(.file(two)) }
  }
}
