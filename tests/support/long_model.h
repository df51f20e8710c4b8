// The checkpoint of tests/goldens/long_canvas.json: tiny-mha with room for 4096 positions.
#ifndef UNMASK_TESTS_SUPPORT_LONG_MODEL_H_
#define UNMASK_TESTS_SUPPORT_LONG_MODEL_H_

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/golden.h"

namespace unmask::testing {

struct LongCanvas {
  nlohmann::json golden;
  std::vector<int32_t> tokens;  // The prompt, then masks.
  int prompt;
};

// Writes the checkpoint into `folder` and returns what was recorded with it.
inline LongCanvas MakeLongModel(const std::string& folder) {
  LongCanvas canvas;
  std::ifstream recorded(SourcePath("tests/goldens/long_canvas.json"));
  canvas.golden = nlohmann::json::parse(recorded);
  canvas.prompt = canvas.golden.at("prompt");
  const std::string model = SourcePath("tests/goldens/models/" + canvas.golden.at("model").get<std::string>());
  std::ifstream stored(model + "/config.json");
  nlohmann::json config = nlohmann::json::parse(stored);
  config["max_sequence_length"] = canvas.golden.at("length");
  std::ofstream(folder + "/config.json") << config.dump();
  std::filesystem::create_symlink(std::filesystem::absolute(model + "/model.safetensors"),
                                  folder + "/model.safetensors");
  for (int64_t i = 0; i < canvas.prompt; ++i) {
    canvas.tokens.push_back(static_cast<int32_t>((7 * i * i + 3 * i + 5) % 300));
  }
  canvas.tokens.resize(canvas.golden.at("length").get<size_t>(), config.at("mask_token_id").get<int32_t>());
  return canvas;
}

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_SUPPORT_LONG_MODEL_H_
