// The reference's recorded cases, tests/goldens (its README says what each field means).
#ifndef UNMASK_TESTS_SUPPORT_GOLDEN_H_
#define UNMASK_TESTS_SUPPORT_GOLDEN_H_

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace unmask::testing {

inline std::string SourcePath(const std::string& relative) {
  const char* root = std::getenv("UNMASK_SOURCE_DIR");
  return std::string(root ? root : ".") + "/" + relative;
}

inline nlohmann::json LoadGolden(const std::string& name) {
  std::ifstream file(SourcePath("tests/goldens/cases/" + name + ".json"));
  if (!file) throw std::runtime_error("no golden case " + name);
  return nlohmann::json::parse(file);
}

// Names of all cases of one kind ("generate", "fast", "infill", "forward", ...), in the manifest's order.
inline std::vector<std::string> GoldenNames(const std::string& kind) {
  std::vector<std::string> names;
  for (const auto& entry : LoadGolden("manifest")) {
    if (entry.at("kind") == kind) names.push_back(entry.at("name"));
  }
  return names;
}

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_SUPPORT_GOLDEN_H_
