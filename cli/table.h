// Rows of text in aligned columns.
#ifndef UNMASK_CLI_TABLE_H_
#define UNMASK_CLI_TABLE_H_

#include <string>
#include <vector>

namespace unmask {

// The first row is the header; columns are two blanks apart, numbers stand to the right, and no line ends in blanks.
// Control characters are shown as symbols.
std::string FormatTable(const std::vector<std::vector<std::string>>& rows);

// 1.5 GiB.
std::string FormatBytes(double bytes);

}  // namespace unmask

#endif  // UNMASK_CLI_TABLE_H_
