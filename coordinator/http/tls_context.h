// TLS of the HTTP port, from the same files as the gRPC port's, and like it looked at each second.
#ifndef UNMASK_COORDINATOR_HTTP_TLS_CONTEXT_H_
#define UNMASK_COORDINATOR_HTTP_TLS_CONTEXT_H_

#include <openssl/ssl.h>

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/credential_files.h"
#include "base/mutex.h"

namespace unmask {

// Thread-safe.
class TlsContext {
 public:
  // The files are good: coordinator/tls.h has looked at them. FAILED_PRECONDITION for what OpenSSL does not take.
  static absl::StatusOr<std::unique_ptr<TlsContext>> Make(const TlsFiles& files);

  // For one connection; the caller frees it. Of the newest files that fit each other.
  SSL* NewConnection();

 private:
  using Context = std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)>;

  explicit TlsContext(const TlsFiles& files) : files_(files) {}
  absl::Status Reload();
  absl::Status Load() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const TlsFiles files_;
  Mutex mutex_;
  Context context_ ABSL_GUARDED_BY(mutex_){nullptr, SSL_CTX_free};
  std::string loaded_ ABSL_GUARDED_BY(mutex_);  // The files' contents.
  std::chrono::steady_clock::time_point looked_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_HTTP_TLS_CONTEXT_H_
