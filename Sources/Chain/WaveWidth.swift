/// How many batches one endpoint takes at the same time: one more after each few clean waves,
/// half as many after a rate limit or a timeout.
struct WaveWidth: Equatable {
  /// Full waves without trouble before it grows.
  static let cleanWavesToGrow = 4

  /// What is tried with an endpoint that is not known yet.
  static let first = 2

  /// The most batches at once.
  let widest: Int

  /// Batches at once, from 1.
  private(set) var value: Int

  private var cleanWaves = 0

  /// A width of at most `widest`, as remembered or to be found out.
  init(widest: Int, remembered: Int? = nil) {
    self.widest = max(1, widest)
    value = min(max(1, remembered ?? Self.first), self.widest)
  }

  /// Notes that a wave of `count` batches was answered without trouble.
  mutating func succeeded(_ count: Int) {
    guard count >= value, value < widest else { return }
    cleanWaves += 1
    guard cleanWaves >= Self.cleanWavesToGrow else { return }
    cleanWaves = 0
    value += 1
  }

  /// Notes that it was too much.
  mutating func halve() {
    cleanWaves = 0
    value = max(1, value / 2)
  }
}
