import Postgres
import TestKit
import Testing

/// Filling in what was missed, when it is broken off in the middle.
@Suite struct FillInTests {
  /// The events are stored before the markets are derived. If only the first were kept, the next
  /// run would find nothing late, and the markets would stay wrong for ever.
  @Test func aFillInThatIsBrokenOffIsDoneAgainByTheNext() throws {
    let story = try Story(seed: 611, shape: "moolah")
    try story.chain.advance(40)
    try story.consume()
    let expected = try TableDump(story.db)
    let db = try story.db
    let missed = try db.transaction { tx in
      try tx.execute("update position set collateral = collateral + 1, supply_shares = 0")
      let missed = try tx.execute("delete from event where block_number % 2 = 0")
      try tx.execute(
        """
        create function refuse() returns trigger language plpgsql
        as $$ begin raise exception 'broken off'; end $$
        """)
      try tx.execute("create trigger refuse before delete on position execute function refuse()")
      return missed
    }
    #expect(missed > 10)

    let broken = try story.program.run("consume-events", "--from-block", "0")
    #expect(broken.exit != 0)
    #expect(broken.errors.contains("broken off"))

    try db.transaction { tx in try tx.execute("drop trigger refuse on position") }
    let next = try story.program.succeed("consume-events", "--from-block", "0")
    #expect(next.output.contains("late_events \(missed)"), "\(next.output)")
    let dump = try TableDump(db)
    #expect(dump == expected, "\(dump.difference(from: expected))")
  }
}
