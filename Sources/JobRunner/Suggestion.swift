/// Finds the word somebody most likely meant.
enum Suggestion {
  /// The nearest candidate, when it is near enough to be a slip of the finger.
  ///
  /// At most a third of the word (and at least one letter) may differ; a candidate that begins
  /// with the word counts as near. Cost: the product of the lengths for each candidate.
  static func nearest(to word: String, among candidates: [String]) -> String? {
    let limit = max(1, word.count / 3)
    var best: (distance: Int, candidate: String)?
    for candidate in candidates {
      let isPrefix = word.count >= 3 && candidate.hasPrefix(word)
      let distance = isPrefix ? 1 : editDistance(word, candidate)
      if distance <= limit && distance < best?.distance ?? .max { best = (distance, candidate) }
    }
    return best?.candidate
  }

  /// " (did you mean …?)" or nothing, ready to end a sentence.
  static func phrase(for word: String, among candidates: [String]) -> String {
    nearest(to: word, among: candidates).map { "; did you mean \($0)?" } ?? ""
  }

  /// Insertions, deletions, replacements and swaps of neighbours between two words.
  static func editDistance(_ left: String, _ right: String) -> Int {
    let a = Array(left.utf8.prefix(64))
    let b = Array(right.utf8.prefix(64))
    if a.isEmpty || b.isEmpty { return max(a.count, b.count) }
    var rows = [[Int]](repeating: [Int](repeating: 0, count: b.count + 1), count: a.count + 1)
    for i in 0...a.count { rows[i][0] = i }
    for j in 0...b.count { rows[0][j] = j }
    for i in 1...a.count {
      for j in 1...b.count {
        let replaced = rows[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)
        var cost = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, replaced)
        if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] {
          cost = min(cost, rows[i - 2][j - 2] + 1)
        }
        rows[i][j] = cost
      }
    }
    return rows[a.count][b.count]
  }
}
