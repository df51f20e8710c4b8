// OpenAI's files and batches over the HTTP port, computed by a scripted replica: the same jobs as gRPC's.
#include <httplib.h>
#include <openssl/sha.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/coordinator/batch/batch_client.h"
#include "tests/coordinator/batch/scratch.h"
#include "tests/coordinator/test_service.h"

namespace unmask {
namespace {

using nlohmann::json;
using testing::BatchClient;
using testing::Eventually;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ReadFile;
using testing::Scratch;
using ::testing::StartsWith;
using testing::TestService;
using testing::WriteFile;
namespace fs = std::filesystem;

struct Reply {
  int status = 0;  // 0: no answer.
  std::string body;

  json Json() const { return json::parse(body, nullptr, /*allow_exceptions=*/false); }
  std::string Code() const { return Json()["error"].value("code", ""); }
  std::string Message() const { return Json()["error"].value("message", ""); }
};

Reply Of(const httplib::Result& result) { return result ? Reply{result->status, result->body} : Reply{}; }

ServerOptions Options(const Scratch& scratch) {
  ServerOptions options;
  options.http_listen = "127.0.0.1:0";
  options.store = scratch / "store";
  return options;
}

struct Api {
  explicit Api(const ServerOptions& options)
      : service(options), replica(service.StartReplica()), client("http://" + service.server->http_address()) {}

  Reply Upload(const std::string& content, const std::string& purpose = "batch", const std::string& name = "in.jsonl") {
    return Form({{"purpose", purpose, "", ""}, {"file", content, name, "application/octet-stream"}});
  }
  Reply Form(const httplib::MultipartFormDataItems& items, const httplib::Headers& headers = {}) {
    return Of(client.Post("/v1/files", headers, items));
  }
  Reply Get(const std::string& path) { return Of(client.Get(path.c_str())); }
  Reply Delete(const std::string& path) { return Of(client.Delete(path.c_str())); }
  Reply Post(const std::string& path, const std::string& body) {
    return Of(client.Post(path.c_str(), body, "application/json"));
  }
  // Of an upload with this content.
  Reply Create(const std::string& content, const std::string& endpoint = "/v1/completions", json more = {}) {
    more["input_file_id"] = Upload(content).Json()["id"];
    more["endpoint"] = endpoint;
    return Post("/v1/batches", more.dump());
  }
  json Ended(const std::string& batch) {
    json now;
    EXPECT_TRUE(Eventually([&] {
      now = Get("/v1/batches/" + batch).Json();
      return now["status"] != "in_progress";
    })) << now;
    return now;
  }

  TestService service;
  std::unique_ptr<testing::ScriptedReplica> replica;
  httplib::Client client;
};

// OpenAI's batch lines; each `bad`-th asks for what cannot be.
std::string Lines(int count, int bad = 0) {
  std::string lines;
  for (int i = 0; i < count; ++i) {
    const bool wrong = bad > 0 && i % bad == bad - 1;
    absl::StrAppend(&lines, "{\"custom_id\": \"line-", i, R"(", "method": "POST", "url": "/v1/completions", "body": )",
                    "{\"prompt\": [1, 2, ", 1 + i % 90,
                    "], \"max_tokens\": 8, \"temperature\": 1, \"diffusion\": ", "{\"block_length\": ", wrong ? 3 : 4,
                    ", \"output\": {\"token_ids\": true}}}}\n");
  }
  return lines;
}

int64_t Files(const std::string& folder) {
  return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
}

TEST(BatchRoutesTest, AFileComesBackAsItWas) {
  const Scratch scratch;
  Api api(Options(scratch));
  // More than a call may have, and with a form's own boundaries' beginnings in it.
  std::string content;
  while (content.size() < (9 << 20)) content += "\r\n--" + std::string(1, static_cast<char>(content.size())) + "\r\n\0";
  const json file = api.Upload(content, "batch", "räte.jsonl").Json();
  EXPECT_THAT(file["id"].get<std::string>(), StartsWith("file-"));
  EXPECT_EQ(file["bytes"], content.size());
  EXPECT_EQ(file["filename"], "räte.jsonl");
  EXPECT_EQ(file["purpose"], "batch");
  const std::string path = "/v1/files/" + file["id"].get<std::string>();
  EXPECT_EQ(api.Get(path).Json(), file);
  EXPECT_TRUE(api.Get(path + "/content").body == content);
  EXPECT_EQ(Files(scratch / "store/kept"), 1);
  EXPECT_EQ(Files(scratch / "store/uploads"), 0);

  EXPECT_EQ(api.Delete(path).Json(),
            json::parse(R"({"id": ")" + file["id"].get<std::string>() + R"(", "object": "file", "deleted": true})"));
  EXPECT_EQ(Files(scratch / "store/kept"), 0);
  for (const Reply& gone : {api.Get(path), api.Get(path + "/content"), api.Delete(path)}) {
    EXPECT_EQ(gone.status, 404);
    EXPECT_EQ(gone.Code(), "file_not_found");
  }
  const json empty = api.Upload("").Json();
  EXPECT_EQ(api.Get("/v1/files/" + empty["id"].get<std::string>() + "/content").status, 200);
}

TEST(BatchRoutesTest, FilesAreListedByPages) {
  const Scratch scratch;
  Api api(Options(scratch));
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(api.Upload(std::to_string(i)).Json()["id"]);
  const auto listed = [&](const std::string& query) {
    const json list = api.Get("/v1/files" + query).Json();
    std::vector<std::string> got;
    for (const json& file : list["data"]) got.push_back(file["id"]);
    EXPECT_EQ(list["last_id"], got.empty() ? json() : json(got.back()));
    return std::make_pair(got, list["has_more"].get<bool>());
  };
  using Ids = std::vector<std::string>;
  EXPECT_EQ(listed(""), std::make_pair(Ids(ids.rbegin(), ids.rend()), false));
  EXPECT_EQ(listed("?order=asc&limit=2"), std::make_pair(Ids(ids.begin(), ids.begin() + 2), true));
  EXPECT_EQ(listed("?order=asc&limit=3&after=" + ids[1]), std::make_pair(Ids(ids.begin() + 2, ids.end()), false));
  EXPECT_EQ(listed("?purpose=batch_output"), std::make_pair(Ids(), false));
  for (const char* query : {"?limit=0", "?limit=x", "?limit=10001", "?order=up", "?after=file-1", "?page=2"}) {
    EXPECT_EQ(api.Get(std::string("/v1/files") + query).status, 400) << query;
  }
}

TEST(BatchRoutesTest, ABatchIsAJobAndItsResultsAreFiles) {
  const Scratch scratch;
  Api api(Options(scratch));
  const Reply created =
      api.Create(Lines(40, /*bad=*/10), "/v1/completions",
                 {{"completion_window", "24h"}, {"metadata", {{"who", "me"}}}, {"diffusion", {{"seed", 1}}}});
  ASSERT_EQ(created.status, 200) << created.body;
  const std::string id = created.Json()["id"];
  EXPECT_THAT(id, StartsWith("batch_"));
  const json batch = api.Ended(id);
  EXPECT_EQ(batch["status"], "completed");
  EXPECT_EQ(batch["metadata"], json::parse(R"({"who": "me"})"));
  EXPECT_EQ(batch["request_counts"], json::parse(R"({"total": 40, "completed": 36, "failed": 4})"));
  EXPECT_EQ(batch["diffusion"]["state"], "BATCH_JOB_STATE_SUCCEEDED");
  EXPECT_GE(batch["completed_at"], batch["created_at"]);

  const std::string output_path = "/v1/files/" + batch["output_file_id"].get<std::string>();
  const std::string error_path = "/v1/files/" + batch["error_file_id"].get<std::string>();
  const std::string output = api.Get(output_path + "/content").body;
  const std::string errors = api.Get(error_path + "/content").body;
  EXPECT_EQ(api.Get(output_path).Json()["bytes"], output.size());
  EXPECT_EQ(api.Get(output_path).Json()["purpose"], "batch_output");
  // Both together are what gRPC tells of the job, each in the order of the input.
  BatchClient grpc(api.service.channel);
  std::string of_output, of_errors;
  std::istringstream lines(grpc.Results(id));
  for (std::string line; std::getline(lines, line);) {
    (json::parse(line)["response"]["status_code"] == 200 ? of_output : of_errors) += line + "\n";
  }
  EXPECT_EQ(output, of_output);
  EXPECT_EQ(errors, of_errors);
  EXPECT_EQ(std::count(output.begin(), output.end(), '\n'), 36);
  EXPECT_THAT(errors, HasSubstr("block_length 3 does not divide gen_length 8"));

  // The same seed gives the same results.
  const std::string again = api.Create(Lines(40, 10), "/v1/completions", {{"diffusion", {{"seed", 1}}}}).Json()["id"];
  const std::string output_again = api.Ended(again)["output_file_id"];
  EXPECT_EQ(api.Get("/v1/files/" + output_again + "/content").body, output);
  EXPECT_EQ(api.Get("/v1/batches?limit=1").Json()["data"][0]["id"], again);
  EXPECT_EQ(api.Get("/v1/batches?after=" + again).Json()["data"][0]["id"], id);

  // Deleted results are gone from the store, and the batch says that there are none.
  EXPECT_EQ(api.Delete(output_path).status, 200);
  EXPECT_EQ(api.Get(output_path + "/content").status, 404);
  EXPECT_EQ(api.Get("/v1/batches/" + id).Json()["output_file_id"], nullptr);
  EXPECT_EQ(api.Get(error_path + "/content").body, errors);
  EXPECT_TRUE(grpc.Ask(&v1::BatchService::Stub::DeleteBatchJob, id).ok());
  EXPECT_EQ(api.Get(error_path).status, 404);
  EXPECT_EQ(api.Get("/v1/batches/" + id).Code(), "job_not_found");
}

TEST(BatchRoutesTest, ThereTheyAreAfterARestart) {
  const Scratch scratch;
  std::string id, file;
  {
    Api api(Options(scratch));
    api.replica->Hold();
    const json batch = api.Create(Lines(20)).Json();
    id = batch["id"];
    file = batch["input_file_id"];
  }
  WriteFile(scratch / "store/kept/file-of-nobody", "left by a kill between the file and its row");
  Api api(Options(scratch));
  EXPECT_EQ(Files(scratch / "store/kept"), 1);
  EXPECT_EQ(api.Get("/v1/files/" + file + "/content").body, Lines(20));
  const std::string output = api.Ended(id)["output_file_id"];
  const std::string lines = api.Get("/v1/files/" + output + "/content").body;
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 20);
}

TEST(BatchRoutesTest, CancellingKeepsWhatThereIs) {
  const Scratch scratch;
  Api api(Options(scratch));
  const std::string id = api.Create(Lines(2000)).Json()["id"];
  EXPECT_TRUE(Eventually([&] { return api.Get("/v1/batches/" + id).Json()["request_counts"]["completed"] > 0; }));
  // As curl -X POST does it, without a body and without its length.
  httplib::Request request;
  request.method = "POST";
  request.path = "/v1/batches/" + id + "/cancel";
  request.headers = {{"Content-Type", "application/json"}};
  const auto cancelled = api.client.send(request);
  ASSERT_TRUE(cancelled && cancelled->status == 200) << (cancelled ? cancelled->body : "");
  const json batch = json::parse(cancelled->body);
  EXPECT_EQ(batch["status"], "cancelled");
  EXPECT_GE(batch["cancelled_at"], batch["created_at"]);
  const int64_t completed = batch["request_counts"]["completed"];
  ASSERT_LT(completed, 2000);
  const std::string output = api.Get("/v1/files/" + batch["output_file_id"].get<std::string>() + "/content").body;
  EXPECT_EQ(std::count(output.begin(), output.end(), '\n'), completed);
  EXPECT_EQ(api.Post("/v1/batches/" + id + "/cancel", "{}").Json()["status"], "cancelled") << "it is idempotent";
}

TEST(BatchRoutesTest, WhatIsWrongIsSaid) {
  const Scratch scratch;
  Api api(Options(scratch));
  const std::string file = api.Upload(Lines(2)).Json()["id"];
  struct Case {
    json body;
    int status;
    const char* code;
    const char* param;
  };
  const json good = {{"input_file_id", file}, {"endpoint", "/v1/completions"}};
  const auto with = [&](const char* name, const json& value) {
    json body = good;
    body[name] = value;
    return body;
  };
  for (const Case& wrong :
       std::vector<Case>{{json::array(), 400, "malformed_request", nullptr},
                         {{{"endpoint", "/v1/completions"}}, 400, "input_missing", "input_file_id"},
                         {with("input_file_id", 7), 400, "malformed_request", "input_file_id"},
                         {with("input_file_id", "../batch.sqlite"), 404, "file_not_found", nullptr},
                         {with("endpoint", "/v1/embeddings"), 400, "option_invalid", "endpoint"},
                         {with("endpoint", "/v1/chat/completions"), 400, "batch_input_invalid", "line 1, column 50"},
                         {with("completion_window", "1h"), 400, "option_invalid", "completion_window"},
                         {with("metadata", "me"), 400, "malformed_request", "metadata"},
                         {with("metadata", {{"a", 1}}), 400, "malformed_request", "metadata.a"},
                         {with("metadata", {{"a", std::string(513, 'a')}}), 400, "option_invalid", "metadata.a"},
                         {with("diffusion", {{"seed", -1}}), 400, "option_invalid", "diffusion.seed"},
                         {with("diffusion", {{"name", "mine"}}), 400, "malformed_request", "diffusion.name"},
                         {with("priority", 1), 400, "malformed_request", "priority"}}) {
    const Reply reply = api.Post("/v1/batches", wrong.body.dump());
    EXPECT_EQ(reply.status, wrong.status) << wrong.body << reply.body;
    EXPECT_EQ(reply.Code(), wrong.code) << wrong.body << reply.body;
    EXPECT_EQ(reply.Json()["error"]["param"], wrong.param == nullptr ? json() : json(wrong.param)) << reply.body;
  }
  const Reply broken = api.Create(Lines(1) + "{\"custom_id\": \"b\", }\n");
  EXPECT_EQ(broken.status, 400);
  EXPECT_THAT(broken.Message(), StartsWith("line 2, column 20: "));
  EXPECT_EQ(api.Create("").Code(), "input_missing");
  BatchClient(api.service.channel).Create("native", testing::TinyLines(1));
  for (const char* path : {"/v1/batches/nothing", "/v1/batches/native"}) EXPECT_EQ(api.Get(path).status, 404) << path;
  EXPECT_EQ(api.Post("/v1/batches/native/cancel", "").status, 404);
  EXPECT_THAT(api.Get("/v1/batches").Json()["data"], IsEmpty());
}

TEST(BatchRoutesTest, OnlyWellFormedFormsAreKept) {
  const Scratch scratch;
  Api api(Options(scratch));
  const httplib::MultipartFormData purpose = {"purpose", "batch", "", ""};
  const httplib::MultipartFormData file = {"file", "content", "a.jsonl", ""};
  struct Case {
    httplib::MultipartFormDataItems items;
    const char* code;
    const char* param;
  };
  for (const Case& wrong : std::vector<Case>{
           {{file}, "input_missing", "purpose"},
           {{purpose}, "input_missing", "file"},
           {{{"purpose", "fine-tune", "", ""}, file}, "option_invalid", "purpose"},
           {{{"purpose", std::string(1 << 20, 'p'), "", ""}, file}, "option_invalid", "purpose"},
           {{purpose, file, file}, "malformed_request", "file"},
           {{purpose, purpose, file}, "malformed_request", "purpose"},
           {{purpose, {"file", "content", std::string(300, 'n'), ""}}, "option_invalid", "file"},
           {{purpose, {"expires_after[seconds]", "1", "", ""}, file}, "malformed_request", "expires_after[seconds]"}}) {
    const Reply reply = api.Form(wrong.items);
    EXPECT_EQ(reply.status, 400) << reply.body;
    EXPECT_EQ(reply.Code(), wrong.code) << reply.body;
    EXPECT_EQ(reply.Json()["error"]["param"], wrong.param) << reply.body;
  }
  EXPECT_EQ(api.Upload("a", "fine-tune").Json()["error"]["message"], "purpose is \"fine-tune\", not \"batch\"");
  const auto raw = [&](const std::string& type, const std::string& body) {
    return Of(api.client.Post("/v1/files", body, type.c_str()));
  };
  EXPECT_EQ(raw("application/json", "{}").status, 415);
  EXPECT_EQ(raw("multipart/form-data", "x").Code(), "malformed_request");
  EXPECT_EQ(raw("multipart/form-data; boundary=b", "x").Code(), "malformed_request");
  // Cut off in the middle of the file.
  EXPECT_EQ(raw("multipart/form-data; boundary=b",
                "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n"
                "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nhalf")
                .Code(),
            "malformed_request");
  EXPECT_EQ(raw("multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"" +
                                                       std::string(8000, '"') + "\r\n\r\nbatch\r\n--b--\r\n")
                .status,
            400);
  EXPECT_EQ(api.Form({purpose, file}, {{"Origin", "http://elsewhere"}}).status, 403) << "of another origin's page";
  EXPECT_EQ(Files(scratch / "store/kept"), 0);
  EXPECT_TRUE(Eventually([&] { return Files(scratch / "store/uploads") == 0; }));
  EXPECT_EQ(api.Form({file, purpose}, {{"Origin", "http://" + api.service.server->http_address()}}).status, 200);
}

std::string Sha256Hex(const std::string& text) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const uint8_t*>(text.data()), text.size(), reinterpret_cast<uint8_t*>(digest.data()));
  return absl::BytesToHexString(digest);
}

TEST(BatchRoutesTest, EachNeedsTheScopeOfBatchJobs) {
  const Scratch scratch;
  std::ofstream(scratch / "tokens") << "infer " << Sha256Hex("infer-token") << "\nbatch " << Sha256Hex("batch-token")
                                    << "\n";
  ServerOptions options = Options(scratch);
  options.auth_tokens = scratch / "tokens";
  TestService service(options);
  httplib::Client client("http://" + service.server->http_address());
  const httplib::MultipartFormDataItems form = {{"purpose", "batch", "", ""}, {"file", "a", "a", ""}};
  const auto all = [&](const std::string& token) {
    httplib::Headers headers;
    if (!token.empty()) headers = {{"Authorization", "Bearer " + token}};
    std::vector<int> codes = {Of(client.Post("/v1/files", headers, form)).status};
    for (const char* path : {"/v1/files", "/v1/files/a", "/v1/files/a/content", "/v1/batches", "/v1/batches/a"}) {
      codes.push_back(Of(client.Get(path, headers)).status);
    }
    codes.push_back(Of(client.Delete("/v1/files/a", headers)).status);
    codes.push_back(Of(client.Post("/v1/batches", headers, "{}", "application/json")).status);
    codes.push_back(Of(client.Post("/v1/batches/a/cancel", headers, "{}", "application/json")).status);
    return codes;
  };
  EXPECT_THAT(all(""), ::testing::Each(401));
  EXPECT_THAT(all("infer-token"), ::testing::Each(403));
  EXPECT_THAT(all("batch-token"), ::testing::ElementsAre(200, 200, 404, 404, 200, 404, 404, 400, 404));
}

TEST(BatchRoutesTest, WithoutAStoreEachSaysSo) {
  ServerOptions options;
  options.http_listen = "127.0.0.1:0";
  Api api(options);
  EXPECT_EQ(api.Upload("a").Code(), "store_missing");
  EXPECT_EQ(api.Get("/v1/files").Code(), "store_missing");
  EXPECT_EQ(api.Get("/v1/batches/a").Code(), "store_missing");
}

TEST(BatchRoutesTest, MetricsKnowThePathsWithoutTheirIds) {
  const Scratch scratch;
  Api api(Options(scratch));
  api.Upload("a");
  api.Get("/v1/files/file-1/content");
  api.Get("/v1/batches/batch_1");
  const std::string metrics = httplib::Client("http://" + api.service.server->admin_address()).Get("/metrics")->body;
  EXPECT_THAT(metrics, HasSubstr("unmask_http_responses_total{code=\"200\",path=\"/v1/files\"} 1\n"));
  EXPECT_THAT(metrics, HasSubstr("unmask_http_responses_total{code=\"404\",path=\"/v1/files/{file}/content\"} 1\n"));
  EXPECT_THAT(metrics, HasSubstr("unmask_http_responses_total{code=\"404\",path=\"/v1/batches/{batch}\"} 1\n"));
  EXPECT_THAT(metrics, HasSubstr("unmask_requests_total{code=\"OK\",method=\"UploadFile\"} 1\n"));
}

}  // namespace
}  // namespace unmask
