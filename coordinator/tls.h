// TLS of the coordinator's gRPC ports.
#ifndef UNMASK_COORDINATOR_TLS_H_
#define UNMASK_COORDINATOR_TLS_H_

#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/credential_files.h"

namespace unmask {

// Without files: plaintext. With a CA, clients must show a certificate that leads to it. At least TLS 1.2. The files
// are looked at each second and serve new connections once they have changed; those there are stay. Replace certificate
// and key together (rename a folder, or turn a symbolic link), as they must match. FAILED_PRECONDITION names the flag
// (`prefix` and -cert, -key or -client-ca) and the file that is unreadable or does not fit.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> PortCredentials(const TlsFiles& files,
                                                                         absl::string_view prefix);

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_TLS_H_
