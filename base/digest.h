// SHA-256 of what is added piece by piece, in hexadecimal.
#ifndef UNMASK_BASE_DIGEST_H_
#define UNMASK_BASE_DIGEST_H_

#include <openssl/evp.h>

#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace unmask {

class Digest {
 public:
  Digest();
  void Add(absl::string_view bytes);
  std::string Finish();  // Once.

 private:
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context_;
};

}  // namespace unmask

#endif  // UNMASK_BASE_DIGEST_H_
