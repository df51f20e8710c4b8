// Files that say who we are and whom we trust, as flags name them. Here they are only looked at, so that a wrong flag
// ends a process at its start with the flag's and the file's name; what speaks TLS reads them itself, again and again.
#ifndef UNMASK_BASE_CREDENTIAL_FILES_H_
#define UNMASK_BASE_CREDENTIAL_FILES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace unmask {

// PEM files; empty: not given.
struct TlsFiles {
  std::string ca;    // Certificates that the peer's must lead to.
  std::string cert;  // Our own, with its chain.
  std::string key;   // Its private key.

  bool empty() const { return ca.empty() && cert.empty() && key.empty(); }
};

// Flags "PREFIX-cert", "PREFIX-key" and CA_FLAG. A client needs the CA, a server the certificate; a certificate goes
// with its key. FAILED_PRECONDITION names the flag, and the file that cannot be read or holds no PEM.
absl::Status CheckClientTls(const TlsFiles& files, absl::string_view prefix, absl::string_view ca_flag);
absl::Status CheckServerTls(const TlsFiles& files, absl::string_view prefix, absl::string_view ca_flag);

// The one token in a file, without the white space around it; "" for no file. FAILED_PRECONDITION names flag and file,
// never the content.
absl::StatusOr<std::string> ReadToken(const std::string& file, absl::string_view flag);

}  // namespace unmask

#endif  // UNMASK_BASE_CREDENTIAL_FILES_H_
