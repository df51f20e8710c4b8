// Checkpoints made on the spot: whole ones with random weights, and files that break a rule.
#ifndef UNMASK_TESTS_WORKER_MADE_CHECKPOINT_H_
#define UNMASK_TESTS_WORKER_MADE_CHECKPOINT_H_

#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "kernels/tensor.h"

namespace unmask::testing {

class TempFolder {
 public:
  TempFolder() {
    std::string pattern = std::filesystem::temp_directory_path() / "unmask-test-XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string File(const std::string& name) const { return path_ + "/" + name; }
  void Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(File(name), std::ios::binary) << bytes;
  }

 private:
  std::string path_;
};

struct MadeTensor {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

inline std::string Stored(float value, DType dtype) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  if (dtype == DType::kBf16) bits = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return std::string(reinterpret_cast<const char*>(&bits), ByteSize(dtype));
}

// The bytes of a safetensors file from a header and data.
inline std::string SafetensorsBytes(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + data;
}

// `padding` spaces after the header: an odd number leaves every tensor unaligned, which the format allows.
inline std::string SafetensorsOf(const std::map<std::string, MadeTensor>& tensors, DType dtype, int padding = 0) {
  nlohmann::json header = nlohmann::json::object();
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    const size_t begin = data.size();
    for (const float value : tensor.values) data += Stored(value, dtype);
    header[name] = {{"dtype", dtype == DType::kF32 ? "F32" : "BF16"},
                    {"shape", tensor.shape},
                    {"data_offsets", {begin, data.size()}}};
  }
  return SafetensorsBytes(header.dump() + std::string(padding, ' '), data);
}

// A config.json that is accepted: 5 heads, 1 K/V head, 777 vocabulary rows, so that nothing divides evenly.
inline nlohmann::json RaggedConfig() {
  return {{"architectures", {"LLaDAModelLM"}},
          {"model_type", "llada"},
          {"d_model", 80},
          {"n_layers", 3},
          {"n_heads", 5},
          {"n_kv_heads", 1},
          {"mlp_hidden_size", 211},
          {"vocab_size", 770},
          {"embedding_size", 777},
          {"max_sequence_length", 256},
          {"block_type", "llama"},
          {"layer_norm_type", "rms"},
          {"activation_type", "silu"},
          {"rope", true},
          {"rope_theta", 500000.0},
          {"rms_norm_eps", 1e-5},
          {"weight_tying", false},
          {"mask_token_id", 760},
          {"eos_token_id", 750}};
}

inline std::map<std::string, MadeTensor> RandomTensors(const nlohmann::json& config, uint32_t seed = 1) {
  const int64_t d = config["d_model"], layers = config["n_layers"], mlp = config["mlp_hidden_size"];
  const int64_t kv = d / config["n_heads"].get<int64_t>() * config["n_kv_heads"].get<int64_t>();
  const int64_t vocabulary = config["embedding_size"];
  std::mt19937 random(seed);
  std::map<std::string, MadeTensor> tensors;
  const auto uniform = [&random] { return static_cast<float>(random() % 65536) / 32768 - 1; };
  const auto matrix = [&](const std::string& name, int64_t rows, int64_t columns, float scale) {
    MadeTensor& tensor = tensors["model.transformer." + name];
    tensor.shape = {rows, columns};
    for (int64_t i = 0; i < rows * columns; ++i) tensor.values.push_back(scale * uniform());
  };
  const auto norm = [&](const std::string& name) {
    MadeTensor& tensor = tensors["model.transformer." + name];
    tensor.shape = {d};
    for (int64_t i = 0; i < d; ++i) tensor.values.push_back(1 + 0.1f * uniform());
  };
  const float scale = 2 / std::sqrt(static_cast<float>(d));
  matrix("wte.weight", vocabulary, d, 1);
  for (int64_t layer = 0; layer < layers; ++layer) {
    const std::string block = "blocks." + std::to_string(layer) + ".";
    norm(block + "attn_norm.weight");
    matrix(block + "q_proj.weight", d, d, scale);
    matrix(block + "k_proj.weight", kv, d, scale);
    matrix(block + "v_proj.weight", kv, d, scale);
    matrix(block + "attn_out.weight", d, d, scale);
    norm(block + "ff_norm.weight");
    matrix(block + "ff_proj.weight", mlp, d, scale);
    matrix(block + "up_proj.weight", mlp, d, scale);
    matrix(block + "ff_out.weight", d, mlp, scale);
  }
  norm("ln_f.weight");
  if (!config["weight_tying"].get<bool>()) matrix("ff_out.weight", vocabulary, d, 4 * scale);
  return tensors;
}

inline void WriteCheckpoint(const TempFolder& folder, const nlohmann::json& config,
                            const std::map<std::string, MadeTensor>& tensors, DType dtype = DType::kF32) {
  folder.Write("config.json", config.dump());
  folder.Write("model.safetensors", SafetensorsOf(tensors, dtype));
}

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_WORKER_MADE_CHECKPOINT_H_
