import Store

/// The program's own words in a message, in each language.
struct AlertWords {
  /// What stands before a value.
  enum Label: CaseIterable {
    case liquidationID, platform, deployment, chain, assets, collateralDebt, market, user
    case collateral, debt, trigger, price, loanToLimit, path
    case seized, repaid, badDebt, writeDown, liquidator, transaction, block, time, firedAt, id
    case reason, figures, positions, more, job, jobDeployments, failedRuns, run, exitCode, error
    case lastSuccess, within, cursor, openRanges, withoutRange, firstOpen, divergences, first
    case contract, implementation, yes
  }

  private let language: AlertLanguage

  init(_ language: AlertLanguage) { self.language = language }

  subscript(label: Label) -> String {
    let (english, chinese) = Self.pair(of: label)
    return language == .zh ? chinese : english
  }

  /// What has happened to what.
  func title(of message: OutboxMessage) -> String {
    let subject = AlertKind(rawValue: message.kind).map(name) ?? VisibleText.escape(message.kind)
    let (english, chinese): (String, String) =
      switch message.event {
      case .fired: ("Alert (\(message.severity))", "告警 (\(message.severity))")
      case .resolved: ("Resolved", "已恢复")
      case .notice: ("Notice", "通知")
      case .takenBack:
        ("Correction, the chain has taken back", "更正，链上已回滚")
      }
    return "\(language == .zh ? chinese : english): \(subject)"
  }

  private func name(_ kind: AlertKind) -> String {
    let (english, chinese): (String, String) =
      switch kind {
      case .liquidatable: ("Position liquidatable", "仓位可被清算")
      case .liquidatableMore: ("More positions liquidatable", "更多仓位可被清算")
      case .nearLine: ("Position near liquidation", "仓位接近清算线")
      case .nearLineMore: ("More positions near liquidation", "更多仓位接近清算线")
      case .unknownVerdicts: ("Verdicts unknown", "无法判定")
      case .shadowLiquidatable:
        ("Positions liquidatable at the second source's price", "按第二价格源可被清算的仓位")
      case .secondSourceUnavailable: ("Second price source silent", "第二价格源无响应")
      case .highUtilisation: ("Nearly all of the supply is lent", "资金利用率过高")
      case .highBorrowRate: ("Borrow rate very high", "借款利率过高")
      case .unknownVerdictsMore: ("More verdicts unknown", "更多市场无法判定")
      case .jobFailing: ("Job fails", "任务失败")
      case .jobSilent: ("Job has not succeeded", "任务长时间未成功")
      case .incomplete: ("Mirror not proved complete", "数据完整性未证实")
      case .divergence: ("Tables and contract differ", "数据与合约不一致")
      case .liquidation: ("Liquidation", "清算")
      case .upgraded: ("Contract upgraded", "合约已升级")
      case .test: ("Test message", "测试消息")
      }
    return language == .zh ? chinese : english
  }

  private static func pair(of label: Label) -> (english: String, chinese: String) {
    switch label {
    case .liquidationID: ("Liquidation ID", "清算 ID")
    case .platform: ("Platform", "平台")
    case .deployment: ("Deployment", "部署")
    case .chain: ("Chain", "链")
    case .assets: ("Market/Assets", "市场/资产")
    case .collateralDebt: ("Collateral/Debt", "抵押/债务")
    case .market: ("Market ID", "市场 ID")
    case .user: ("User", "用户")
    case .collateral: ("Collateral Amount", "抵押数量")
    case .debt: ("Debt Amount", "债务数量")
    case .trigger: ("Trigger Price", "清算价格")
    case .price: ("Current Price", "当前价格")
    case .loanToLimit: ("LTV/LLTV", "LTV/LLTV")
    case .path: ("Path", "清算路径")
    case .seized: ("Collateral Seized", "清算抵押")
    case .repaid: ("Debt Repaid", "偿还债务")
    case .badDebt: ("Bad Debt", "坏账")
    case .writeDown: ("Write-down", "核销")
    case .liquidator: ("Liquidator", "清算人")
    case .transaction: ("Transaction", "交易")
    case .block: ("Block", "区块")
    case .time: ("Time", "时间")
    case .firedAt: ("Since", "开始时间")
    case .id: ("ID", "ID")
    case .reason: ("Reason", "原因")
    case .figures: ("Figures", "数据")
    case .positions: ("Positions", "仓位数")
    case .more: ("More", "更多")
    case .job: ("Job", "任务")
    case .jobDeployments: ("Deployments", "部署")
    case .failedRuns: ("Failed Runs", "失败次数")
    case .run: ("Last Run", "最近运行")
    case .exitCode: ("Exit Code", "退出码")
    case .error: ("Error", "错误")
    case .lastSuccess: ("Last Success", "最近成功")
    case .within: ("Expected Every", "期望间隔")
    case .cursor: ("Cursor", "游标")
    case .openRanges: ("Open Ranges", "未证实区间")
    case .withoutRange: ("Blocks Without Range", "无记录区块")
    case .firstOpen: ("First Open Block", "首个未证实区块")
    case .divergences: ("Divergences", "不一致数")
    case .first: ("First", "首项")
    case .contract: ("Contract", "合约")
    case .implementation: ("Implementation", "实现合约")
    case .yes: ("yes", "是")
    }
  }
}
