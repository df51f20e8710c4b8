// Whom the command trusts, and what it shows of itself. Free of gRPC.
#ifndef UNMASK_CLI_CREDENTIALS_H_
#define UNMASK_CLI_CREDENTIALS_H_

#include <string>

#include "base/credential_files.h"

namespace unmask {

struct Credentials {
  TlsFiles tls;       // Without a CA: plaintext.
  std::string token;  // Empty: none.
};

}  // namespace unmask

#endif  // UNMASK_CLI_CREDENTIALS_H_
