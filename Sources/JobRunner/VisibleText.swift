/// Text from outside made safe to show: nothing in it can move the cursor, colour the terminal or
/// reorder a line.
///
/// Token symbols, addresses of errors and messages of nodes are written by strangers. Control,
/// format (bidirectional marks among them), private and unassigned characters and unusual spaces
/// become `\u{…}`; a backslash becomes `\\`, so that the original can be told from the escape.
public enum VisibleText {
  /// More combining marks than this in a row are escaped; no script in use needs them.
  static let marksMax = 2

  /// The text with every invisible character written out.
  ///
  /// Cost: one pass; a string of printable ASCII is returned as it is.
  public static func escape(_ text: String) -> String {
    if text.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7f && $0 != 0x5c }) { return text }
    var visible = ""
    var marks = 0
    for scalar in text.unicodeScalars {
      marks = isMark(scalar) ? marks + 1 : 0
      if scalar == "\\" {
        visible += "\\\\"
      } else if isHidden(scalar) || marks > marksMax || (marks > 0 && visible.isEmpty) {
        visible += "\\u{\(String(scalar.value, radix: 16, uppercase: true))}"
      } else {
        visible.unicodeScalars.append(scalar)
      }
    }
    return visible
  }

  /// How many terminal columns the text takes: wide East Asian characters and emoji take two.
  static func columns(_ text: String) -> Int {
    text.unicodeScalars.reduce(0) { sum, scalar in
      sum + (isMark(scalar) ? 0 : isWide(scalar) ? 2 : 1)
    }
  }

  /// The text cut to a number of columns, with an ellipsis where something is missing.
  static func cut(_ text: String, columns limit: Int) -> String {
    guard columns(text) > limit else { return text }
    var kept = ""
    var used = 0
    for scalar in text.unicodeScalars {
      let width = isMark(scalar) ? 0 : isWide(scalar) ? 2 : 1
      if used + width > limit - 1 { break }
      used += width
      kept.unicodeScalars.append(scalar)
    }
    return kept + "…"
  }

  static func isHidden(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.value >= 0x20 && scalar.value < 0x7f { return false }
    switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator,
      .paragraphSeparator, .spaceSeparator:
      return true
    default:
      return scalar.properties.isDefaultIgnorableCodePoint || scalar.value == 0x2800
    }
  }

  private static func isMark(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.value < 0x300 { return false }
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .enclosingMark: return true
    default: return false
    }
  }

  private static let wideRanges: [ClosedRange<UInt32>] = [
    0x1100...0x115f, 0x2e80...0xa4cf, 0xac00...0xd7a3, 0xf900...0xfaff, 0xfe30...0xfe6f,
    0xff00...0xff60, 0xffe0...0xffe6, 0x1f300...0x1faff, 0x20000...0x3fffd,
  ]

  private static func isWide(_ scalar: Unicode.Scalar) -> Bool {
    scalar.value >= 0x1100 && wideRanges.contains { $0.contains(scalar.value) }
  }
}
