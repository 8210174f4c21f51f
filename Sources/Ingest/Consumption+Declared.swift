import Systems

/// Events that another indexer writes.
extension Consumption {
  /// Applies what is declared; a node is asked for headers only.
  ///
  /// - Throws: `IngestError.isForeign` if blocks are ordered to be read again.
  public mutating func runOnDeclarations(head: UInt64) throws {
    guard orders.first == nil else {
      throw IngestError.isForeign(deployment: follower.deployment.name)
    }
    tell(.reconciled(try follower.reconcileStored(commit: orders.commits)))
    try retry(head: head)
    if orders.commits {
      let late = try follower.takeDeclarations(head: head)
      if late.ranges > 0 { tell(.declaredLate(ranges: late.ranges)) }
      if late.contradicted > 0 { tell(.contradicted(count: late.contradicted, next: nil)) }
      try follower.mendDeclared(head: head)
    } else {
      try follower.lookAtDeclarations()
    }
    try goOnDeclared(head: head)
    if orders.commits { try follower.mendDeclared(head: head) }
  }

  private mutating func goOnDeclared(head: UInt64) throws {
    let last = last(head: head)
    tell(.goesOn(blocks: last >= follower.next ? last - follower.next + 1 : 0))
    while follower.next <= last {
      if isStopping() { return tell(.stopped) }
      switch try follower.applyDeclared(through: last, head: head, commit: orders.commits) {
      case .applied(let step):
        tell(.step(step))
        if !orders.commits { return tell(.rehearsed) }
      case .waiting: return tell(.notDeclared(block: follower.next))
      case .contradicted(let blocks): return tell(.contradicted(count: 1, next: blocks))
      }
    }
  }
}
