// An operator names the weights that are to be served: `unmask serve` with a flipped bit ends, and says what differs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "base/exit_codes.h"
#include "tests/support/golden.h"
#include "tests/support/service.h"

namespace unmask {
namespace {

namespace fs = std::filesystem;
using testing::BinaryPath;
using ::testing::HasSubstr;
using testing::Service;
using testing::SourcePath;

class WeightsDigestTest : public ::testing::Test {
 protected:
  WeightsDigestTest() {
    std::string pattern = fs::temp_directory_path() / "unmask-digest-XXXXXX";
    folder_ = mkdtemp(pattern.data());
    fs::copy(SourcePath("tests/goldens/models/tiny-mha"), Model(), fs::copy_options::recursive);
  }
  ~WeightsDigestTest() override { fs::remove_all(folder_); }

  std::string Model() const { return folder_ + "/model"; }

  // The lowest bit of the file's last byte but three: the least of the last weight's mantissa (fp32, little-endian).
  void FlipABit() const {
    std::fstream file(Model() + "/model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(-4, std::ios::end);
    const char byte = static_cast<char>(file.get());
    file.seekp(-4, std::ios::end);
    file.put(static_cast<char>(byte ^ 1));
    ASSERT_TRUE(file.good());
  }

  // The exit code of a service that does not come to be; what it says goes to output().
  int ServeToItsEnd(const std::string& environment, const std::string& flags) const {
    const std::string line = "exec timeout 60 env " + environment + " " + BinaryPath("unmask") + " serve --model " +
                             Model() + " --listen 127.0.0.1:0 --fleet-listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 " +
                             flags + " >" + folder_ + "/output 2>&1";
    const int status = std::system(line.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::string output() const {
    std::ostringstream content;
    content << std::ifstream(folder_ + "/output").rdbuf();
    return content.str();
  }

 private:
  std::string folder_;
};

// "weights:DIGEST dtype:…", as a reply says it.
std::string DigestOf(const std::string& numerics) { return numerics.substr(8, 32); }

TEST_F(WeightsDigestTest, AFlippedBitEndsTheServiceAsBadDataAndWithoutADigestNobodyKnows) {
  std::string digest;
  {
    Service service({"--model", Model(), "--tensor-parallel", "2"});
    ASSERT_EQ(service.GetFleet().replicas_size(), 1);
    digest = DigestOf(service.GetFleet().replicas(0).numerics());
    EXPECT_EQ(service.End(), kExitOk);
  }
  ASSERT_EQ(digest.find_first_not_of("0123456789abcdef"), std::string::npos) << digest;
  {
    Service service({"--model", Model(), "--tensor-parallel", "2", "--weights-digest", digest});
    EXPECT_EQ(DigestOf(service.GetFleet().replicas(0).numerics()), digest);
    EXPECT_EQ(service.End(), kExitOk);
  }

  FlipABit();
  const std::string message = Model() + "/model.safetensors with config.json: weights digest ";
  EXPECT_EQ(ServeToItsEnd("", "--tensor-parallel 2 --weights-digest " + digest), kExitData) << output();
  EXPECT_THAT(output(), HasSubstr(message));
  EXPECT_THAT(output(), HasSubstr(" over 2 rank(s), expected " + digest));
  EXPECT_EQ(ServeToItsEnd("UNMASK_WEIGHTS_DIGEST=" + digest, "--tensor-parallel 2"), kExitData) << output();
  EXPECT_THAT(output(), HasSubstr(message));

  // The rest of the file is as good as before: a service that expects nothing takes it, under another name.
  Service service({"--model", Model(), "--tensor-parallel", "2"});
  EXPECT_NE(DigestOf(service.GetFleet().replicas(0).numerics()), digest);
  EXPECT_EQ(service.End(), kExitOk);
}

}  // namespace
}  // namespace unmask
