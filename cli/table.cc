#include "cli/table.h"

#include <algorithm>
#include <cctype>
#include <cstddef>

#include "absl/strings/str_format.h"
#include "cli/glyphs.h"

namespace unmask {
namespace {

// A column is of numbers when every cell below the header is made of digits, points and dashes.
bool IsNumeric(const std::vector<std::vector<std::string>>& rows, size_t column) {
  for (size_t r = 1; r < rows.size(); ++r) {
    if (column >= rows[r].size() || rows[r][column].empty()) continue;
    const std::string& cell = rows[r][column];
    const auto belongs = [](unsigned char c) { return std::isdigit(c) || c == '.' || c == '-'; };
    if (!std::all_of(cell.begin(), cell.end(), belongs)) return false;
  }
  return true;
}

}  // namespace

std::string FormatTable(const std::vector<std::vector<std::string>>& rows) {
  std::vector<int> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], DisplayWidth(row[c]));
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (size_t c = 0; c < row.size(); ++c) {
      const std::string padding(widths[c] - DisplayWidth(row[c]), ' ');
      if (c > 0) line += "  ";
      line += IsNumeric(rows, c) ? padding + Printable(row[c]) : Printable(row[c]) + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::string FormatBytes(double bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int unit = 0;
  while (bytes >= 1024 && unit < 4) bytes /= 1024, ++unit;
  return unit == 0 ? absl::StrFormat("%.0f B", bytes) : absl::StrFormat("%.1f %s", bytes, kUnits[unit]);
}

}  // namespace unmask
