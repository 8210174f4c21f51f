import Moolah
import Testing

@testable import Ingest

/// Where an event is missing, as far as old states can be had.
@Suite struct NarrowingTests {
  @Test(arguments: [0, 1, 7, 99, 100], [0, 40, 90, 100])
  func whatNobodyCanTellIsNotLookedAtTwice(_ firstWrong: Int, _ forgotten: Int) {
    var asked = 0
    let found = Follower<Moolah>.lastRightAndFirstWrong(of: 100) { index in
      asked += 1
      return index < forgotten ? nil : index < firstWrong
    }
    #expect(asked <= 7)
    // What is known is as near as the states that can be had.
    #expect(found.wrong == (forgotten == 100 ? 100 : max(firstWrong, forgotten)))
    #expect(found.right == (firstWrong > forgotten ? firstWrong - 1 : -1))
  }
}
