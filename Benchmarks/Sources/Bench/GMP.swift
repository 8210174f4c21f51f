import Glibc
import Quantities

/// GMP's word-array functions as a reference, where the machine has the library.
struct GMP {
  typealias Words = UnsafeMutablePointer<UInt64>
  typealias MultiplyEqual = @convention(c) (Words, Words, Words, Int) -> Void
  typealias DivideWithRemainder =
    @convention(c) (Words, Words, Int, Words, Int, Words, Int) -> Void

  let multiplyEqual: MultiplyEqual
  let divideWithRemainder: DivideWithRemainder

  /// Nil where libgmp is not installed.
  init?() {
    guard let library = dlopen("libgmp.so.10", RTLD_NOW),
      let multiply = dlsym(library, "__gmpn_mul_n"),
      let divide = dlsym(library, "__gmpn_tdiv_qr")
    else { return nil }
    multiplyEqual = unsafeBitCast(multiply, to: MultiplyEqual.self)
    divideWithRemainder = unsafeBitCast(divide, to: DivideWithRemainder.self)
  }
}
