// Certificates made on the spot with the openssl command, in a folder of their own.
#ifndef UNMASK_TESTS_SUPPORT_CERTIFICATES_H_
#define UNMASK_TESTS_SUPPORT_CERTIFICATES_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/credential_files.h"

namespace unmask::testing {

class Certificates {
 public:
  Certificates() {
    std::string pattern = ::testing::TempDir() + "/unmask-certificates-XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~Certificates() { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }

  // NAME.pem and NAME.key of a certificate authority.
  std::string Authority(const std::string& name) const {
    Run("req -x509 " + std::string(kKey) + " -days 2 -subj /CN=" + name + " -keyout " + Path(name + ".key") + " -out " +
        Path(name + ".pem"));
    return Path(name + ".pem");
  }

  // NAME.pem and NAME.key, signed by the authority. alternative: subjectAltName; days < 0: expired.
  TlsFiles Signed(const std::string& name, const std::string& authority,
                  const std::string& alternative = "IP:127.0.0.1", int days = 2) const {
    const std::string base = Path(name);
    Run("req -new " + std::string(kKey) + " -subj /CN=" + name + " -addext subjectAltName=" + alternative +
        " -keyout " + base + ".key -out " + base + ".csr");
    Run("x509 -req -copy_extensions copy -in " + base + ".csr -CA " + Path(authority + ".pem") + " -CAkey " +
        Path(authority + ".key") + " -CAcreateserial -days " + std::to_string(days) + " -out " + base + ".pem");
    return {.ca = "", .cert = base + ".pem", .key = base + ".key"};
  }

 private:
  static constexpr char kKey[] = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

  void Run(const std::string& arguments) const {
    const std::string log = Path("openssl.log");
    EXPECT_EQ(std::system(("openssl " + arguments + " >" + log + " 2>&1").c_str()), 0) << "openssl " << arguments;
  }

  std::string folder_;
};

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_SUPPORT_CERTIFICATES_H_
