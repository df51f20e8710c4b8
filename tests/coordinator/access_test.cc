// Bearer tokens at the public port: who may call what, and that nothing of a token or a prompt is told.
#include "coordinator/access.h"

#include <openssl/sha.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <regex>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/coordinator/test_service.h"

namespace unmask {
namespace {

using testing::DetailsOf;
using testing::Eventually;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::TestService;

std::string Sha256Hex(const std::string& text) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const uint8_t*>(text.data()), text.size(), reinterpret_cast<uint8_t*>(digest.data()));
  return absl::BytesToHexString(digest);
}

// A file of tokens, replaced as a whole.
class TokenFile {
 public:
  explicit TokenFile(const std::string& content) {
    std::string pattern = ::testing::TempDir() + "/unmask-tokens-XXXXXX";
    folder_ = mkdtemp(pattern.data());
    Write(content);
  }
  ~TokenFile() {
    std::remove(path().c_str());
    rmdir(folder_.c_str());
  }
  std::string path() const { return folder_ + "/tokens"; }
  void Write(const std::string& content) const {
    std::ofstream(path() + ".new") << content;
    std::rename((path() + ".new").c_str(), path().c_str());
  }

 private:
  std::string folder_;
};

std::string Line(const std::string& scopes, const std::string& token) {
  return absl::StrCat(scopes, " ", Sha256Hex(token), "\n");
}

// One token a scope, named as it; "everything" has all.
std::string AllTokens() {
  return "# for tests\n\n" + Line("infer", "infer-token") + Line("batch", "batch-token") +
         Line("admin", "admin-token") + Line("infer,batch,admin", "everything-token");
}

ServerOptions WithTokens(const TokenFile& file) {
  ServerOptions options;
  options.auth_tokens = file.path();
  return options;
}

// Every method of every service of ours on the public port: what reflection lists, as the descriptors have it.
std::vector<const google::protobuf::MethodDescriptor*> PublicMethods() {
  std::string listed;
  const TestService service;
  EXPECT_TRUE(
      service.CallRaw("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "\x3a\x01*", &listed).ok());
  std::vector<const google::protobuf::MethodDescriptor*> methods;
  const std::regex name("unmask\\.[a-z0-9.]+\\.[A-Za-z]+");
  for (auto match = std::sregex_iterator(listed.begin(), listed.end(), name); match != std::sregex_iterator();
       ++match) {
    const auto* found = google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(match->str());
    if (found == nullptr) {
      ADD_FAILURE() << "no descriptor of " << match->str();
      continue;
    }
    for (int m = 0; m < found->method_count(); ++m) methods.push_back(found->method(m));
  }
  return methods;
}

std::string PathOf(const google::protobuf::MethodDescriptor& method) {
  return absl::StrCat("/", method.service()->full_name(), "/", method.name());
}

// Whether the table names every one of these methods, and no other.
bool TableFits(const std::vector<std::string>& methods) {
  std::set<std::string> named;
  for (const MethodScope& entry : kMethodScopes) named.emplace(entry.method);
  return named == std::set<std::string>(methods.begin(), methods.end()) && named.size() == methods.size();
}

TEST(AccessTest, TheTableNamesEveryMethodOfTheServices) {
  std::vector<std::string> methods;
  for (const auto* method : PublicMethods()) methods.push_back(method->name());
  EXPECT_GE(methods.size(), 9u);
  EXPECT_TRUE(TableFits(methods)) << "a method without an entry, an entry without a method, or a name twice";
  methods.push_back("Conjure");
  EXPECT_FALSE(TableFits(methods)) << "the comparison does not bite";
}

// The matrix, one row a method, one column a token.
TEST(AccessTest, EveryMethodTakesTheTokensOfItsScopeOnly) {
  const TokenFile file(AllTokens());
  TestService service(WithTokens(file));
  const std::map<std::string, std::string> scope_of = {
      {"infer-token", "infer"}, {"batch-token", "batch"}, {"admin-token", "admin"}};
  for (const auto* method : PublicMethods()) {
    const std::string path = PathOf(*method);
    const auto call = [&](const std::string& authorization) {
      return service.CallRaw(path, "", nullptr, authorization);
    };
    const std::string needed(ScopeName(ScopeOf(method->name()).value()));
    EXPECT_EQ(DetailsOf(call("")).reason, "TOKEN_MISSING") << path;
    EXPECT_EQ(call("").error_code(), grpc::StatusCode::UNAUTHENTICATED) << path;
    EXPECT_EQ(DetailsOf(call("Basic aW5mZXI6dG9rZW4=")).reason, "TOKEN_MISSING") << path;
    for (const char* wrong : {"Bearer wrong-token", "Bearer infer-toke", "Bearer infer-token2"}) {
      EXPECT_EQ(call(wrong).error_code(), grpc::StatusCode::UNAUTHENTICATED) << path;
      EXPECT_EQ(DetailsOf(call(wrong)).reason, "TOKEN_INVALID") << path;
    }
    for (const auto& [token, scope] : scope_of) {
      const grpc::Status status = call("Bearer " + token);
      const std::string reason = DetailsOf(status).reason;
      if (scope == needed) {
        EXPECT_NE(status.error_code(), grpc::StatusCode::PERMISSION_DENIED) << path << " with " << token;
        EXPECT_NE(status.error_code(), grpc::StatusCode::UNAUTHENTICATED) << path << " with " << token;
      } else {
        EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED) << path << " with " << token;
        EXPECT_EQ(reason, "SCOPE_MISSING") << path << " with " << token;
      }
    }
    EXPECT_NE(call("bearer everything-token").error_code(), grpc::StatusCode::UNAUTHENTICATED) << path;
  }
}

TEST(AccessTest, RefusedBeforeTheRequestIsReadAndWithoutStartingAnything) {
  const TokenFile file(AllTokens());
  TestService service(WithTokens(file));
  const auto replica = service.StartReplica();
  const size_t steps = replica->steps().size();
  const std::string request = testing::TinyRequest(8, 8).SerializeAsString();
  for (const char* method : {"Generate", "GenerateStream"}) {
    const std::string path = absl::StrCat("/unmask.v1.InferenceService/", method);
    EXPECT_EQ(DetailsOf(service.CallRaw(path, request)).reason, "TOKEN_MISSING");
    EXPECT_EQ(DetailsOf(service.CallRaw(path, "\xff\xff")).reason, "TOKEN_MISSING");
    EXPECT_EQ(DetailsOf(service.CallRaw(path, request, nullptr, "Bearer admin-token")).reason, "SCOPE_MISSING");
  }
  EXPECT_EQ(replica->steps().size(), steps);
  EXPECT_TRUE(service.CallRaw("/unmask.v1.InferenceService/Generate", request, nullptr, "Bearer infer-token").ok());
}

TEST(AccessTest, WithoutATokenThereIsHealthAndNothingElse) {
  const TokenFile file(AllTokens());
  TestService service(WithTokens(file));
  EXPECT_TRUE(service.CallRaw("/grpc.health.v1.Health/Check", "").ok());
  const std::string reflection = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
  EXPECT_EQ(service.CallRaw(reflection, "\x3a\x01*").error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(service.CallRaw("/unmask.v1.InferenceService/Nothing", "").error_code(), grpc::StatusCode::UNIMPLEMENTED);

  ServerOptions open = WithTokens(file);
  open.open_reflection = true;
  TestService reflecting(open);
  EXPECT_TRUE(reflecting.CallRaw(reflection, "\x3a\x01*").ok());
}

TEST(AccessTest, TheFleetPortReflectsNothing) {
  TestService service;
  service.channel = grpc::CreateChannel(service.fleet_address(), grpc::InsecureChannelCredentials());
  const std::string reflection = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
  EXPECT_EQ(service.CallRaw(reflection, "\x3a\x01*").error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

bool Allows(const TestService& service, const std::string& token) {
  return service.CallRaw("/unmask.v1.ModelService/ListModels", "", nullptr, "Bearer " + token).ok();
}

// Whether `text` is logged before long. Standard error is being captured, and is not afterwards; *log is what it held.
bool Tells(const std::string& text, std::string* log) {
  const bool told = Eventually([&] {
    fflush(stderr);
    *log += ::testing::internal::GetCapturedStderr();
    ::testing::internal::CaptureStderr();
    return log->find(text) != std::string::npos;
  });
  ::testing::internal::GetCapturedStderr();
  return told;
}

TEST(AccessTest, AChangedFileCountsWithinSecondsAndABrokenOneDoesNot) {
  const TokenFile file(Line("infer", "first"));
  TestService service(WithTokens(file));
  EXPECT_TRUE(Allows(service, "first"));
  EXPECT_FALSE(Allows(service, "second"));
  file.Write(Line("infer", "second"));
  EXPECT_TRUE(Eventually([&] { return Allows(service, "second"); }));
  EXPECT_FALSE(Allows(service, "first")) << "a token that was taken out is still taken";
  ::testing::internal::CaptureStderr();
  file.Write("infer first\n");
  std::string log;
  const bool told = Tells("the tokens before the change stay", &log);
  EXPECT_TRUE(told) << log;
  EXPECT_THAT(log, HasSubstr("line 1"));
  EXPECT_TRUE(Allows(service, "second"));
}

TEST(AccessTest, AnEmptiedFileLetsNobodyInAndOneThatIsGoneChangesNothing) {
  const TokenFile file(Line("infer", "first"));
  TestService service(WithTokens(file));
  EXPECT_TRUE(Allows(service, "first"));
  file.Write("");
  EXPECT_TRUE(Eventually([&] { return !Allows(service, "first"); }));
  file.Write(Line("infer", "second"));
  EXPECT_TRUE(Eventually([&] { return Allows(service, "second"); }));
  ::testing::internal::CaptureStderr();
  std::remove(file.path().c_str());
  std::string log;
  EXPECT_TRUE(Tells("is gone; its last tokens stay", &log)) << log;
  EXPECT_TRUE(Allows(service, "second"));
}

TEST(AccessTest, AFileThatCannotBeUsedIsNamedWithoutItsContent) {
  const std::string pasted = "hunter2hunter2";
  for (const std::string& content :
       {pasted + "\n", "infer " + pasted + "\n", "read " + Sha256Hex("x") + "\n", Line("infer,", "x"),
        Line("open", "x"), "infer " + Sha256Hex("x").substr(1) + "g\n"}) {
    Access access;
    const TokenFile file("# comment\n" + content);
    const absl::Status status = access.Require(file.path());
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << content;
    EXPECT_THAT(std::string(status.message()), HasSubstr("auth-tokens: " + file.path() + ": line 2: "));
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr(pasted)));
  }
  Access access;
  EXPECT_THAT(std::string(access.Require("/nowhere/tokens").message()), HasSubstr("auth-tokens: /nowhere/tokens: "));
}

TEST(AccessTest, AMethodWithoutAnEntryIsDeniedToEverybody) {
  const TokenFile file(AllTokens());
  Access access;
  ASSERT_TRUE(access.Require(file.path()).ok());
  EXPECT_EQ(access.Check("Conjure", "Bearer everything-token").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_TRUE(access.Check("Generate", "Bearer everything-token").ok());
}

}  // namespace
}  // namespace unmask
