import HTTP

/// Why a batch has no answers, by what is to be done.
enum Trouble: Error {
  /// Nothing can be done.
  case final(ChainError)

  /// It will pass: try elsewhere or later, not before `wait`.
  case passing(ChainError.Cause, wait: Duration? = nil)

  /// The endpoint asks for fewer requests, and for none before `wait` if it says so.
  case rateLimited(wait: Duration?)

  /// This endpoint cannot help at all.
  case useless(ChainError.Cause)

  /// This endpoint serves another chain.
  case foreign(ChainError)

  /// The endpoint does not know the block; another may, or soon will.
  case unknownBlock(RPCCall)

  /// The endpoint wants fewer calls in a batch than were sent: at most so many, if it says so.
  case batchRefused(ChainError.Cause, sent: Int, maximum: UInt64?)

  /// The answer is larger than the limit.
  case answerTooLarge
}
