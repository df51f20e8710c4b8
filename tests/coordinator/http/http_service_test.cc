// The HTTP port over a coordinator with a scripted replica: the same texts as gRPC's, the same errors, and clients that
// leave.
#include <httplib.h>
#include <openssl/sha.h>

#include <atomic>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "tests/coordinator/test_service.h"
#include "tests/support/certificates.h"

namespace unmask {
namespace {

using nlohmann::json;
using testing::Certificates;
using testing::Eventually;
using ::testing::HasSubstr;
using testing::TestService;
using testing::TinyRequest;

ServerOptions WithHttp(ServerOptions options = {}) {
  options.http_listen = "127.0.0.1:0";
  return options;
}

struct Reply {
  int status = 0;  // 0: no answer.
  std::string body;
  httplib::Headers headers;

  json Json() const { return json::parse(body, nullptr, /*allow_exceptions=*/false); }
};

Reply Post(const TestService& service, const std::string& path, const std::string& body,
           const httplib::Headers& headers = {}) {
  httplib::Client client("http://" + service.server->http_address());
  const auto result = client.Post(path.c_str(), headers, body, "application/json");
  return result ? Reply{result->status, result->body, result->headers} : Reply{};
}

Reply Get(const TestService& service, const std::string& path, const httplib::Headers& headers = {}) {
  httplib::Client client("http://" + service.server->http_address());
  const auto result = client.Get(path.c_str(), headers);
  return result ? Reply{result->status, result->body, result->headers} : Reply{};
}

// As TinyRequest.
json TinyBody(int gen_length, int block_length) {
  return {{"prompt", {1, 2, 3}},
          {"max_tokens", gen_length},
          {"seed", 11},
          {"diffusion", {{"block_length", block_length}, {"output", {{"token_ids", true}, {"canvas", true}}}}}};
}

// The objects of a stream, and whether it ended with [DONE].
struct Streamed {
  std::vector<json> objects;
  bool done = false;
};

Streamed Events(const std::string& body) {
  Streamed streamed;
  for (size_t at = 0; at < body.size();) {
    const size_t end = body.find("\n\n", at);
    EXPECT_NE(end, std::string::npos) << body.substr(at);
    if (end == std::string::npos) break;
    EXPECT_EQ(body.substr(at, 6), "data: ");
    const std::string data = body.substr(at + 6, end - at - 6);
    EXPECT_FALSE(streamed.done) << "something follows [DONE]: " << data;
    if (data == "[DONE]") {
      streamed.done = true;
    } else {
      streamed.objects.push_back(json::parse(data));
    }
    at = end + 2;
  }
  return streamed;
}

TEST(HttpServiceTest, ACompletionIsGrpcsGeneration) {
  TestService service(WithHttp());
  const auto replica = service.StartReplica();
  v1::GenerateResponse expected;
  ASSERT_TRUE(service.Generate(TinyRequest(8, 4), &expected).ok());
  const Reply reply = Post(service, "/v1/completions", TinyBody(8, 4).dump(), {{"X-Request-Id", "mine"}});
  ASSERT_EQ(reply.status, 200) << reply.body;
  const json object = reply.Json();
  EXPECT_EQ(object["id"], "cmpl-mine");
  EXPECT_EQ(object["model"], "tiny");
  EXPECT_EQ(object["usage"]["completion_tokens"], 8);
  const std::vector<int32_t> ids = object["diffusion"]["token_ids"];
  EXPECT_THAT(ids, ::testing::ElementsAreArray(expected.token_ids()));
  EXPECT_EQ(reply.headers.find("x-request-id")->second, "mine");
}

TEST(HttpServiceTest, StepsAreGrpcsEvents) {
  TestService service(WithHttp());
  const auto replica = service.StartReplica();
  const auto expected = service.GenerateStream(TinyRequest(8, 4));
  json body = TinyBody(8, 4);
  body["stream"] = true;
  body["diffusion"]["stream"] = "steps";
  const Reply reply = Post(service, "/v1/completions", body.dump());
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(reply.headers.find("Content-Type")->second, "text/event-stream");
  const Streamed streamed = Events(reply.body);
  EXPECT_TRUE(streamed.done);
  ASSERT_EQ(streamed.objects.size(), expected.size());
  int commits = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const json& event = streamed.objects[i]["diffusion"];
    ASSERT_EQ(event.contains("step"), expected[i].has_step()) << event;
    if (!expected[i].has_step()) continue;
    for (int c = 0; c < expected[i].step().commits_size(); ++c, ++commits) {
      EXPECT_EQ(event["step"]["commits"][c]["position"], expected[i].step().commits(c).position());
      EXPECT_EQ(event["step"]["commits"][c]["token_id"], expected[i].step().commits(c).token_id());
    }
  }
  EXPECT_EQ(commits, 8);
}

TEST(HttpServiceTest, SegmentsAreInfilled) {
  TestService service(WithHttp());
  const auto replica = service.StartReplica();
  const Reply reply = Post(service, "/v1/completions",
                           R"({"diffusion": {"segments": [{"token_ids": [1, 2]}, {"masks": 3}, {"token_ids": [4]}]}})");
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(reply.Json()["diffusion"]["spans"][0]["token_ids"].size(), 3);
}

TEST(HttpServiceTest, ModelsAreListedAndFound) {
  TestService service(WithHttp());
  EXPECT_EQ(Get(service, "/v1/models").Json()["data"][0]["diffusion"]["ready"], false);
  const auto replica = service.StartReplica();
  const json models = Get(service, "/v1/models").Json();
  ASSERT_EQ(models["data"].size(), 1);
  EXPECT_EQ(models["data"][0]["id"], "tiny");
  EXPECT_EQ(models["data"][0]["diffusion"]["max_sequence_length"], 512);
  EXPECT_EQ(models["data"][0]["diffusion"]["ready"], true);
  EXPECT_EQ(Get(service, "/v1/models/tiny").Json()["id"], "tiny");
  const Reply other = Get(service, "/v1/models/other");
  EXPECT_EQ(other.status, 404);
  EXPECT_EQ(other.Json()["error"]["code"], "model_not_found");
}

TEST(HttpServiceTest, ErrorsAreTheTables) {
  TestService service(WithHttp());
  const Reply loading = Post(service, "/v1/completions", TinyBody(8, 4).dump());
  EXPECT_EQ(loading.status, 503);
  EXPECT_EQ(loading.Json()["error"]["code"], "model_loading");
  EXPECT_EQ(loading.headers.find("Retry-After")->second, "1");
  const auto replica = service.StartReplica();
  const Reply invalid = Post(service, "/v1/completions", TinyBody(8, 3).dump());
  EXPECT_EQ(invalid.status, 400);
  EXPECT_EQ(invalid.Json()["error"]["param"], "diffusion.block_length");
  EXPECT_EQ(invalid.Json()["error"]["message"], "block_length 3 does not divide gen_length 8");
  json streamed = TinyBody(8, 3);
  streamed["stream"] = true;
  EXPECT_EQ(Post(service, "/v1/completions", streamed.dump()).status, 400);  // Before a stream begins.
  EXPECT_EQ(Post(service, "/v1/completions", "{\"prompt\": \xff}").status, 400);
  EXPECT_EQ(Post(service, "/v1/chat/completions", R"({"messages": []})").Json()["error"]["param"], "messages");
  EXPECT_EQ(Post(service, "/v1/tokenize", R"({"text": "a"})").Json()["error"]["code"], "tokenizer_missing");
  service.server->Drain();
  const Reply draining = Post(service, "/v1/completions", TinyBody(8, 4).dump());
  EXPECT_EQ(draining.status, 503);
  EXPECT_EQ(draining.Json()["error"]["code"], "draining");
}

TEST(HttpServiceTest, AnErrorInAStreamIsItsLastObject) {
  TestService service(WithHttp());
  const auto replica = service.StartReplica();
  replica->Hold();
  json body = TinyBody(8, 4);
  body["stream"] = true;
  body["diffusion"]["stream"] = "steps";
  httplib::Request request;
  request.method = "POST";
  request.path = "/v1/completions";
  request.headers = {{"Content-Type", "application/json"}};
  request.body = body.dump();
  std::string text;
  std::atomic<bool> begun = false;
  request.content_receiver = [&](const char* data, size_t size, uint64_t, uint64_t) {
    text.append(data, size);
    begun = true;
    return true;
  };
  httplib::Client client("http://" + service.server->http_address());
  std::thread caller([&] { EXPECT_TRUE(client.send(request)); });
  EXPECT_TRUE(Eventually([&] { return begun.load(); }));
  service.server.reset();  // Cuts off what runs.
  caller.join();
  const Streamed streamed = Events(text);
  EXPECT_FALSE(streamed.done);
  ASSERT_EQ(streamed.objects.size(), 2);
  EXPECT_TRUE(streamed.objects.front()["diffusion"].contains("accepted"));
  EXPECT_EQ(streamed.objects.back()["error"]["code"], "draining");
}

TEST(HttpServiceTest, AClientThatLeavesFreesItsSequence) {
  TestService service(WithHttp());
  const auto replica = service.StartReplica();
  replica->Hold();
  for (const bool streams : {false, true}) {
    json body = TinyBody(8, 8);
    body["stream"] = streams;
    httplib::Client client("http://" + service.server->http_address());
    std::thread caller([&] { client.Post("/v1/completions", body.dump(), "application/json"); });
    EXPECT_TRUE(Eventually([&] { return service.server->fleet().open_sequences() == 1; }));
    client.stop();
    EXPECT_TRUE(Eventually([&] { return service.server->fleet().open_sequences() == 0; })) << "streams: " << streams;
    caller.join();
  }
  EXPECT_TRUE(Eventually([&] { return service.server->idle(); }));
  replica->Go();
  EXPECT_EQ(Post(service, "/v1/completions", TinyBody(8, 8).dump()).status, 200);
}

TEST(HttpServiceTest, DrainingWaitsForTheReply) {
  TestService service(WithHttp());
  const auto replica = service.StartReplica();
  replica->Hold();
  Reply reply;
  std::thread client([&] { reply = Post(service, "/v1/completions", TinyBody(8, 8).dump()); });
  EXPECT_TRUE(Eventually([&] { return service.server->fleet().open_sequences() == 1; }));
  service.server->Drain();
  EXPECT_FALSE(service.server->idle());
  replica->Go();
  client.join();
  EXPECT_EQ(reply.status, 200) << reply.body;
  EXPECT_TRUE(Eventually([&] { return service.server->idle(); }));
}

TEST(HttpServiceTest, ResponsesAndConnectionsAreCounted) {
  TestService service(WithHttp());
  const auto replica = service.StartReplica();
  Post(service, "/v1/completions", TinyBody(8, 8).dump());
  Post(service, "/v1/completions", "{");
  Get(service, "/made/up/by/a/client");
  httplib::Client admin("http://" + service.server->admin_address());
  std::string metrics;
  // A reply is counted once it is written, so that its reader may be here before that.
  EXPECT_TRUE(Eventually([&] {
    metrics = admin.Get("/metrics")->body;
    return absl::StrContains(metrics, "unmask_http_responses_total{code=\"404\",path=\"other\"} 1\n");
  })) << metrics;
  EXPECT_THAT(metrics, HasSubstr("unmask_http_responses_total{code=\"200\",path=\"/v1/completions\"} 1\n"));
  EXPECT_THAT(metrics, HasSubstr("unmask_http_responses_total{code=\"400\",path=\"/v1/completions\"} 1\n"));
  EXPECT_THAT(metrics, HasSubstr("unmask_requests_total{code=\"OK\",method=\"Generate\"} 1\n"));
  EXPECT_THAT(metrics, HasSubstr("unmask_requests_total{code=\"INVALID_ARGUMENT\",method=\"Generate\"} 1\n"));
  EXPECT_THAT(metrics, HasSubstr("unmask_http_connections "));
}

TEST(HttpServiceTest, ThePageIsServedWhole) {
  TestService service(WithHttp());
  const Reply page = Get(service, "/");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.headers.find("Content-Type")->second, "text/html; charset=utf-8");
  EXPECT_THAT(page.headers.find("Content-Security-Policy")->second, HasSubstr("default-src 'none'"));
  EXPECT_THAT(page.body, HasSubstr("</html>"));
  EXPECT_THAT(page.body, HasSubstr("learnModel();"));
  EXPECT_THAT(page.body, ::testing::Not(HasSubstr("/*STYLE*/")));
}

TEST(HttpServiceTest, ThereIsNoPortUnlessAskedFor) {
  EXPECT_EQ(TestService().server->http_address(), "");
  TestService first(WithHttp());
  ServerOptions taken;
  taken.listen = taken.fleet_listen = taken.admin_listen = "127.0.0.1:0";
  taken.http_listen = first.server->http_address();
  EXPECT_THAT(std::string(Server::Start(taken).status().message()), HasSubstr("the HTTP address " + taken.http_listen));
}

std::string Sha256Hex(const std::string& text) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const uint8_t*>(text.data()), text.size(), reinterpret_cast<uint8_t*>(digest.data()));
  return absl::BytesToHexString(digest);
}

TEST(HttpServiceTest, TokensAreAskedForBeforeAnythingIsParsed) {
  const Certificates folder;  // For a file of its own.
  std::ofstream(folder.Path("tokens")) << "infer " << Sha256Hex("infer-token") << "\nadmin " << Sha256Hex("admin-token")
                                       << "\n";
  ServerOptions options = WithHttp();
  options.auth_tokens = folder.Path("tokens");
  TestService service(options);
  const auto replica = service.StartReplica();
  const auto with = [](const std::string& token) { return httplib::Headers{{"Authorization", "Bearer " + token}}; };
  for (const char* path : {"/v1/completions", "/v1/chat/completions", "/v1/tokenize"}) {
    const Reply missing = Post(service, path, "{");
    EXPECT_EQ(missing.status, 401) << path;
    EXPECT_EQ(missing.Json()["error"]["code"], "token_missing");
    EXPECT_EQ(missing.headers.find("WWW-Authenticate")->second, "Bearer");
    EXPECT_EQ(Post(service, path, "{", with("wrong")).Json()["error"]["code"], "token_invalid");
    EXPECT_EQ(Post(service, path, "{", with("admin-token")).status, 403);
    EXPECT_EQ(Post(service, path, "{", with("infer-token")).status, 400);
  }
  for (const char* path : {"/v1/models", "/v1/models/tiny"}) {
    EXPECT_EQ(Get(service, path).status, 401);
    EXPECT_EQ(Get(service, path, with("admin-token")).status, 403);
    EXPECT_EQ(Get(service, path, with("infer-token")).status, 200);
  }
  EXPECT_EQ(Get(service, "/").status, 200) << "the page itself holds nothing of the service";
  EXPECT_EQ(Post(service, "/v1/completions", TinyBody(8, 4).dump(), with("infer-token")).status, 200);
}

TEST(HttpServiceTest, ItSpeaksTlsWhereThePublicPortDoes) {
  const Certificates certificates;
  certificates.Authority("ca");
  ServerOptions options = WithHttp();
  options.tls = certificates.Signed("server", "ca");
  TestService service(options);
  httplib::Client client("https://" + service.server->http_address());
  client.set_ca_cert_path(certificates.Path("ca.pem").c_str());
  const auto page = client.Get("/");
  ASSERT_TRUE(page) << httplib::to_string(page.error());
  EXPECT_EQ(page->status, 200);
  const auto reply = client.Post("/v1/completions", TinyBody(8, 8).dump(), "application/json");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 503);
  EXPECT_EQ(Get(service, "/").status, 0) << "plain text where TLS is spoken";
  httplib::Client stranger("https://" + service.server->http_address());
  certificates.Authority("other");
  stranger.set_ca_cert_path(certificates.Path("other.pem").c_str());
  EXPECT_FALSE(stranger.Get("/")) << "a client that trusts another authority";
}

TEST(HttpServiceTest, ClientsNeedCertificatesWhereThePublicPortWantsThem) {
  const Certificates certificates;
  const std::string ca = certificates.Authority("ca");
  ServerOptions options = WithHttp();
  options.tls = certificates.Signed("server", "ca");
  options.tls.ca = ca;
  TestService service(options);
  const TlsFiles own = certificates.Signed("client", "ca");
  httplib::Client known("https://" + service.server->http_address(), own.cert, own.key);
  known.set_ca_cert_path(ca.c_str());
  EXPECT_TRUE(known.Get("/"));
  httplib::Client unknown("https://" + service.server->http_address());
  unknown.set_ca_cert_path(ca.c_str());
  EXPECT_FALSE(unknown.Get("/"));
}

}  // namespace
}  // namespace unmask
