import Ethereum
import TestKit
import Testing

@Suite struct Secp256k1Tests {
  struct Signed: Decodable {
    let privateKey, address, hash, signature: String
    let recoveryID: Int
  }

  @Test func findsTheAddressOfAKeyAndOfASignature() throws {
    let cases = try Fixture.json("Ethereum/signatures.json", as: [Signed].self)
    #expect(cases.count == 24)
    for signed in cases {
      let address = try #require(Address(signed.address))
      let key = try #require(Hex.decode(signed.privateKey))
      let signature = try #require(Hex.decode(signed.signature))
      let hash = try #require(Bytes32(signed.hash))
      #expect(try Secp256k1.publicKeyAddress(ofPrivateKey: key) == address)
      #expect(
        try Secp256k1.recoverAddress(
          hash: hash, signature: signature, recoveryID: signed.recoveryID) == address)
      let other = try? Secp256k1.recoverAddress(
        hash: hash, signature: signature, recoveryID: 1 - signed.recoveryID)
      #expect(other != address)
    }
  }

  @Test func findsWhoSignedATransaction() throws {
    let fixture = try SigningFixture.load()
    let signer = try #require(Address(fixture.signer))
    let key = try #require(Hex.decode(fixture.privateKey))
    #expect(try Secp256k1.publicKeyAddress(ofPrivateKey: key) == signer)
    #expect(fixture.typedTransactions.count >= 3)
    for transaction in fixture.typedTransactions {
      let raw = try #require(Hex.decode(transaction.raw))
      let signature = try #require(Hex.decode(transaction.r)) + #require(Hex.decode(transaction.s))
      #expect(keccak256(raw).description == transaction.hash)
      #expect(
        try Secp256k1.recoverAddress(
          hash: keccak256(unsigned(raw)), signature: signature, recoveryID: transaction.yParity)
          == signer)
    }
  }

  /// A typed transaction of 56 to 255 bytes without its last 67: parity, r and s.
  private func unsigned(_ raw: [UInt8]) -> [UInt8] {
    let fields = raw[3..<(raw.count - 67)]
    let header: [UInt8] =
      fields.count > 55 ? [0xf8, UInt8(fields.count)] : [0xc0 + UInt8(fields.count)]
    return [raw[0]] + header + fields
  }

  @Test func refusesWhatIsNoPrivateKey() {
    let order = Hex.decode("0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")
    let wrong = [
      [], [UInt8](repeating: 0, count: 32), [UInt8](repeating: 1, count: 31), order ?? [],
    ]
    for key in wrong + [[UInt8](repeating: 1, count: 33), [UInt8](repeating: 0xff, count: 32)] {
      #expect(throws: Secp256k1.Failure.invalidPrivateKey) {
        try Secp256k1.publicKeyAddress(ofPrivateKey: key)
      }
    }
  }

  @Test func refusesWhatIsNoSignature() {
    func recover(_ signature: [UInt8], _ id: Int) throws(Secp256k1.Failure) -> Address {
      try Secp256k1.recoverAddress(hash: .zero, signature: signature, recoveryID: id)
    }
    let plausible = [UInt8](repeating: 1, count: 64)
    for id in [-1, 4, Int.max, Int.min] {
      #expect(throws: Secp256k1.Failure.invalidSignature) { try recover(plausible, id) }
    }
    for signature in [[], Array(plausible.dropLast()), plausible + [1]] {
      #expect(throws: Secp256k1.Failure.invalidSignature) { try recover(signature, 0) }
    }
    #expect(throws: Secp256k1.Failure.invalidSignature) {
      try recover([UInt8](repeating: 0xff, count: 64), 0)
    }
    #expect(throws: Secp256k1.Failure.notRecoverable) {
      try recover([UInt8](repeating: 0, count: 64), 0)
    }
  }
}
