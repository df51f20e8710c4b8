#include "coordinator/tls.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace unmask {
namespace {

constexpr unsigned kRefreshSeconds = 1;

template <typename Thing>
using Owned = std::unique_ptr<Thing, void (*)(Thing*)>;

Owned<BIO> Open(const std::string& path) { return {BIO_new_file(path.c_str(), "r"), BIO_free_all}; }

// gRPC would start with files that do not fit each other, and refuse every connection.
absl::Status CheckPair(const TlsFiles& files, absl::string_view prefix) {
  const Owned<BIO> cert_file = Open(files.cert);
  const Owned<BIO> key_file = Open(files.key);
  const Owned<X509> cert(cert_file ? PEM_read_bio_X509(cert_file.get(), nullptr, nullptr, nullptr) : nullptr,
                         X509_free);
  if (cert == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(prefix, "-cert: ", files.cert, " holds no certificate"));
  }
  char no_password[] = "";  // Else OpenSSL asks the terminal.
  const Owned<EVP_PKEY> key(key_file ? PEM_read_bio_PrivateKey(key_file.get(), nullptr, nullptr, no_password) : nullptr,
                            EVP_PKEY_free);
  if (key == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat(prefix, "-key: ", files.key, " holds no private key without a password"));
  }
  if (X509_check_private_key(cert.get(), key.get()) == 1) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(prefix, "-key: ", files.key, " is not the key of the certificate in ", files.cert));
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> PortCredentials(const TlsFiles& files,
                                                                         absl::string_view prefix) {
  if (files.empty()) return grpc::InsecureServerCredentials();
  UNMASK_RETURN_IF_ERROR(CheckServerTls(files, prefix, absl::StrCat(prefix, "-client-ca")));
  UNMASK_RETURN_IF_ERROR(CheckPair(files, prefix));
  grpc::experimental::TlsServerCredentialsOptions options(
      std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(files.key, files.cert, files.ca,
                                                                           kRefreshSeconds));
  options.watch_identity_key_cert_pairs();
  if (!files.ca.empty()) {
    options.watch_root_certs();
    options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return grpc::experimental::TlsServerCredentials(options);
}

}  // namespace unmask
