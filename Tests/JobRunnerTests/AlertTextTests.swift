import Store
import Testing

@testable import JobRunner

/// Messages as people and chat programs read them.
@Suite struct AlertTextTests {
  static func message(
    _ event: OutboxMessage.Event = .fired, kind: AlertKind = .liquidatable,
    _ facts: [String: String] = [:]
  ) -> OutboxMessage {
    let all = [
      "market": "0x" + String(repeating: "ab", count: 32),
      "user": "0x" + String(repeating: "cd", count: 20), "collateral": "1500000000000000000",
      "collateral_symbol": "BTCB", "collateral_decimals": "18",
      "collateral_token": "0x" + String(repeating: "11", count: 20),
      "loan_symbol": "USD1", "loan_decimals": "18",
      "loan_token": "0x" + String(repeating: "22", count: 20), "debt": "120000000000000000000000",
      "price": "90000000000000000000000000000000000000000",
      "trigger_price": "93023255813953488372093023255813953488373",
      "collateral_usd_price": "9000000000000", "loan_usd_price": "100000000", "outcome": "open",
      "block": "41",
    ]
    return OutboxMessage(
      id: 7, dedupKey: "alert-3-\(event.rawValue)", event: event, deployment: "lista-bsc",
      kind: kind.rawValue, subject: "s", severity: kind.severity, timestamp: 1_692_306_000,
      facts: all.merging(facts) { $1 })
  }

  static func text(
    _ message: OutboxMessage, _ language: AlertLanguage = .en
  ) -> AlertText {
    AlertText(message, in: language, chains: ["lista-bsc": "bsc"])
  }

  @Test func saysEverythingThatIsKnownOfAPosition() {
    #expect(
      Self.text(Self.message()).text == """
        Alert (critical): Position liquidatable
        - Liquidation ID: alert-3-fired
        - Platform: Lending
        - Deployment: lista-bsc
        - Chain: bsc
        - Market/Assets: BTCB/USD1 (Collateral/Debt)
        - Market ID: 0xabababababababababababababababababababababababababababababababab
        - User: 0xcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd
        - Collateral Amount: 1.5 BTCB (~135000 USD)
        - Debt Amount: 120000 USD1 (~120000 USD)
        - Trigger Price: 93023.2
        - Current Price: 90000 (-3.36 %)
        - LTV/LLTV: 103.35 %
        - Path: open
        - Block: 41
        - Time: 2023-08-17T21:00:00Z

        """)
  }

  @Test func saysItInChinese() {
    let text = Self.text(Self.message(), .zh).text
    #expect(text.hasPrefix("告警 (critical): 仓位可被清算\n- 清算 ID: alert-3-fired\n"))
    #expect(text.contains("- 抵押数量: 1.5 BTCB (~135000 USD)\n"))
  }

  @Test func everyWordHasBothLanguages() {
    for label in AlertWords.Label.allCases {
      #expect(!AlertWords(.en)[label].isEmpty && !AlertWords(.zh)[label].isEmpty)
    }
  }

  @Test func saysWhatIsCorrected() {
    let text = Self.text(
      Self.message(
        .takenBack, kind: .liquidation,
        [
          "seized_assets": "10", "repaid_assets": "20", "bad_debt_assets": "0",
          "liquidator": "0x33", "transaction_hash": "0x44", "write_down": "false",
        ])
    ).text
    #expect(text.hasPrefix("Correction, the chain has taken back: Liquidation\n"))
    #expect(text.contains("- Transaction: 0x44\n"))
    #expect(!text.contains("Bad Debt") && !text.contains("Write-down"))
  }

  /// Everything that could be markup, a mention, a link, a line or a hidden sign.
  static let hostile = [
    "*bold* _it_ [a](https://evil.example) `code` ~s~ ||x|| >q #h +1 -2 =3 {4} 5.6!",
    "USDC\n- Debt Amount: 0", "USDC\r\nAlert: all is well", "\u{202e}CDSU", "US\u{200b}DC",
    "\u{2066}x\u{2069}", "@all @everyone @channel", "https://evil.example/?a=b t.me/evil",
    "/start@bot", "<b>x</b>&lt;", "\u{0}\u{7}\u{1b}[31m", "\\\\", "a\u{301}\u{301}\u{301}\u{301}",
    String(repeating: "🟥", count: 5_000), String(repeating: "x", count: 5_000), "", " ", "\u{3000}",
    "\u{e0041}\u{e0042}", "`", "```\n", "\u{feff}",
  ]

  @Test(arguments: hostile)
  func aHostileNameStaysAName(name: String) throws {
    for kind in AlertKind.allCases {
      let text = Self.text(
        Self.message(
          kind: kind,
          [
            "collateral_symbol": name, "loan_symbol": name, "outcome": name, "error": name,
            "job": name, "reason": name, "liquidator": name, "first": name,
            "collateral_decimals": name, "transaction_hash": name,
          ]))
      let units = Array(text.text.utf16)
      #expect(units.count <= AlertText.lengthMax)
      // Nothing hidden, and every line is one of ours.
      for scalar in text.text.unicodeScalars where scalar != "\n" {
        #expect(!VisibleText.isHidden(scalar), "\(scalar.value)")
      }
      let lines = text.text.split(separator: "\n").dropFirst()
      #expect(lines.allSatisfy { $0.hasPrefix("- ") && $0.contains(": ") })
      // What lies outside the quoted parts has only our own words: no sign of the name's.
      var outside = units
      var end = units.count
      for part in text.parts.reversed() {
        #expect(part.length > 0 && part.offset >= 0 && part.offset + part.length <= end)
        end = part.offset
        if part.style == .quoted {
          outside.removeSubrange(part.offset..<part.offset + part.length)
        }
      }
      let rest = String(decoding: outside, as: UTF16.self)
      #expect(!rest.contains { "@`*_[]<>\\🟥".contains($0) }, "\(rest)")
      #expect(!rest.contains("evil") && !rest.contains("xxxx"), "\(rest)")
      // Each entity begins and ends between characters.
      for part in text.parts {
        let piece = units[part.offset..<part.offset + part.length]
        #expect(String(validating: piece, as: UTF16.self) != nil)
      }
    }
  }

  @Test func aMessageNeverGetsTooLong() {
    var facts: [String: String] = [:]
    for name in [
      "error", "job", "deployments", "reason", "first", "contract", "implementation", "outcome",
      "positions", "more", "runs", "run", "exit_code", "cursor_block", "open_ranges", "block",
      "blocks_without_range", "first_open_block", "divergences", "transaction_hash", "user",
    ] {
      facts[name] = String(repeating: "𝕏", count: 3_000)
    }
    let text = Self.text(Self.message(kind: .jobFailing, facts))
    #expect(text.text.utf16.count <= AlertText.lengthMax)
    #expect(text.text.hasSuffix("\n"))
  }
}
