import CSecp256k1

/// The curve of Ethereum's accounts: from a key to its address, and from a signature to the
/// address that made it.
///
/// An address is the last 20 bytes of the Keccak-256 hash of the 64-byte public key.
public enum Secp256k1 {
  /// Why no address came out.
  public enum Failure: Error, Hashable, Sendable {
    /// Not 32 bytes, zero, or not below the order of the curve. Says nothing of the key.
    case invalidPrivateKey
    /// Not 64 bytes with both numbers below the order, or the recovery id is not 0 to 3.
    case invalidSignature
    /// No key made this signature of this hash.
    case notRecoverable
  }

  /// The address of the account that a private key of 32 bytes controls. About 20 µs.
  public static func publicKeyAddress(ofPrivateKey key: [UInt8]) throws(Failure) -> Address {
    guard key.count == 32 else { throw .invalidPrivateKey }
    var publicKey = secp256k1_pubkey()
    guard secp256k1_ec_pubkey_create(context.pointer, &publicKey, key) == 1 else {
      throw .invalidPrivateKey
    }
    return address(of: publicKey)
  }

  /// The address whose key signed `hash`. `signature` is the numbers r and s, 32 bytes each.
  /// About 30 µs.
  ///
  /// A high s is accepted, as the chain's `ecrecover` accepts it; whoever needs one signature per
  /// message has to refuse it.
  public static func recoverAddress(
    hash: Bytes32, signature: [UInt8], recoveryID: Int
  ) throws(Failure) -> Address {
    guard signature.count == 64, (0...3).contains(recoveryID) else { throw .invalidSignature }
    var parsed = secp256k1_ecdsa_recoverable_signature()
    guard
      secp256k1_ecdsa_recoverable_signature_parse_compact(
        context.pointer, &parsed, signature, Int32(recoveryID)) == 1
    else { throw .invalidSignature }
    var publicKey = secp256k1_pubkey()
    guard secp256k1_ecdsa_recover(context.pointer, &publicKey, &parsed, hash.bytes) == 1 else {
      throw .notRecoverable
    }
    return address(of: publicKey)
  }

  private static func address(of publicKey: secp256k1_pubkey) -> Address {
    var publicKey = publicKey
    var serialized = [UInt8](repeating: 0, count: 65)
    var count = serialized.count
    secp256k1_ec_pubkey_serialize(
      context.pointer, &serialized, &count, &publicKey, UInt32(SECP256K1_EC_UNCOMPRESSED))
    return keccak256(serialized.span.extracting(1..<65)).lowAddress
  }

  private static let context = Context()
}

/// The library's tables, made once (about 0.1 ms) and never changed afterwards, so that threads
/// may share them.
private final class Context: Sendable {
  nonisolated(unsafe) let pointer: OpaquePointer

  init() {
    guard let pointer = secp256k1_context_create(UInt32(SECP256K1_CONTEXT_NONE)) else {
      preconditionFailure("libsecp256k1 could not allocate its context.")
    }
    self.pointer = pointer
    blind()
  }

  deinit { secp256k1_context_destroy(pointer) }

  /// Adds a random number to the computation with a private key, so that its timing and power
  /// say less of the key.
  private func blind() {
    var random = SystemRandomNumberGenerator()
    let seed = (0..<32).map { _ in UInt8.random(in: 0...255, using: &random) }
    precondition(
      secp256k1_context_randomize(pointer, seed) == 1, "libsecp256k1 refused a random seed.")
  }
}
