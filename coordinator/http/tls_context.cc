#include "coordinator/http/tls_context.h"

#include <openssl/err.h>

#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"

namespace unmask {
namespace {

constexpr std::chrono::seconds kLook(1);

std::string Contents(const TlsFiles& files) {
  std::ostringstream contents;
  for (const std::string* path : {&files.cert, &files.key, &files.ca}) {
    if (!path->empty()) contents << std::ifstream(*path, std::ios::binary).rdbuf() << '\0';
  }
  return contents.str();
}

}  // namespace

absl::StatusOr<std::unique_ptr<TlsContext>> TlsContext::Make(const TlsFiles& files) {
  std::unique_ptr<TlsContext> made(new TlsContext(files));
  UNMASK_RETURN_IF_ERROR(made->Reload());
  return made;
}

absl::Status TlsContext::Reload() {
  MutexLock lock(&mutex_);
  return Load();
}

absl::Status TlsContext::Load() {
  std::string contents = Contents(files_);
  Context context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  const bool pair = SSL_CTX_use_certificate_chain_file(context.get(), files_.cert.c_str()) == 1 &&
                    SSL_CTX_use_PrivateKey_file(context.get(), files_.key.c_str(), SSL_FILETYPE_PEM) == 1 &&
                    SSL_CTX_check_private_key(context.get()) == 1;
  if (!pair) return absl::FailedPreconditionError(absl::StrCat("tls-cert: OpenSSL cannot serve ", files_.cert));
  if (!files_.ca.empty()) {
    if (SSL_CTX_load_verify_locations(context.get(), files_.ca.c_str(), nullptr) != 1) {
      return absl::FailedPreconditionError(absl::StrCat("tls-client-ca: OpenSSL cannot use ", files_.ca));
    }
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    SSL_CTX_set_client_CA_list(context.get(), SSL_load_client_CA_file(files_.ca.c_str()));
  }
  context_ = std::move(context);
  loaded_ = std::move(contents);
  return absl::OkStatus();
}

SSL* TlsContext::NewConnection() {
  MutexLock lock(&mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (now - looked_ >= kLook) {
    looked_ = now;
    // Perhaps between two files: the next look will tell.
    if (Contents(files_) != loaded_) {
      const absl::Status status = Load();
      if (!status.ok()) LogError("http: ", status.message(), "; what was loaded before stays");
    }
  }
  ERR_clear_error();
  return SSL_new(context_.get());
}

}  // namespace unmask
