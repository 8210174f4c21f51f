/// The migrations embedded in the binary, in order.
public enum Schema {
  static let files: [[UInt8]] = [PackageResources.v0001_shared_sql]
}
