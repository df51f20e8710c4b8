#include "coordinator/http/http_server.h"

#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "coordinator/errors.h"
#include "coordinator/host_port.h"
#include "coordinator/http/batch_routes.h"
#include "coordinator/http/exchange.h"
#include "coordinator/http/http_generation.h"
#include "coordinator/http/listener.h"
#include "coordinator/http/page.h"
#include "coordinator/json_message.h"
#include "coordinator/openai/completion.h"
#include "coordinator/openai/error.h"
#include "coordinator/openai/reply.h"
#include "coordinator/request.h"
#include "coordinator/services.h"
#include "coordinator/text_methods.h"

namespace unmask {
namespace {

using httplib::DataSink;
using httplib::Request;
using httplib::Response;
using nlohmann::ordered_json;

constexpr char kTokenizePath[] = "/v1/tokenize";
constexpr char kModelsPath[] = "/v1/models";

// The page holds all that it needs, asks this server alone, and is in nobody's frame.
constexpr char kPagePolicy[] =
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

std::string Events(const std::vector<ordered_json>& objects) {
  std::string text;
  for (const ordered_json& object : objects) absl::StrAppend(&text, "data: ", Dump(object), "\n\n");
  return text;
}

// Metrics know the paths that there are; what clients make up is "other".
std::string PathLabel(const std::string& path) {
  for (const char* known : {"/", "/v1/completions", "/v1/chat/completions", kModelsPath, kTokenizePath}) {
    if (path == known) return known;
  }
  if (absl::StartsWith(path, "/v1/models/")) return "/v1/models/{model}";
  return BatchPathLabel(path).value_or("other");
}

class OpenAiServer final : public HttpServer {
 public:
  OpenAiServer(const ServiceContext& context, const FleetOptions& model, BatchRunner* batch,
               std::unique_ptr<TlsContext> tls)
      : context_(context), model_(model), started_(std::time(nullptr)), listener_({}, std::move(tls)) {
    for (const auto endpoint : {openai::Endpoint::kCompletions, openai::Endpoint::kChatCompletions}) {
      listener_.Post(openai::EndpointPath(endpoint), [this, endpoint](const Request& request, Response& reply) {
        Complete(endpoint, request, &reply);
      });
    }
    listener_.Get(kModelsPath, [this](const Request& request, Response& reply) {
      Answer(context_, "ListModels", request, &reply, [this]() -> absl::StatusOr<ordered_json> {
        return ordered_json{{"object", "list"},
                            {"data", {openai::ModelJson(DescribeModel(context_, model_), started_)}}};
      });
    });
    listener_.Get(std::string(kModelsPath) + "/(.+)", [this](const Request& request, Response& reply) {
      Answer(context_, "GetModel", request, &reply, [&]() -> absl::StatusOr<ordered_json> {
        UNMASK_RETURN_IF_ERROR(CheckModelName(request.matches[1], ServedModel{.name = model_.model_name}));
        return openai::ModelJson(DescribeModel(context_, model_), started_);
      });
    });
    listener_.Post(kTokenizePath, [this](const Request& request, Response& reply) {
      Answer(context_, "Tokenize", request, &reply, [&] { return TokenizeJson(request.body); });
    });
    listener_.Get("/", [](const Request&, Response& reply) {
      reply.set_header("Content-Security-Policy", kPagePolicy);
      reply.set_header("X-Content-Type-Options", "nosniff");
      reply.set_header("Referrer-Policy", "no-referrer");
      reply.set_header("Cache-Control", "no-cache");
      reply.set_content(Page().data(), Page().size(), "text/html; charset=utf-8");
    });
    AddBatchRoutes(context, batch, &listener_);
    listener_.set_logger([this](const Request& request, const Response& reply) {
      context_.metrics->HttpResponded(PathLabel(request.path), reply.status);
    });
  }

  absl::Status Listen(HostPort address) {
    UNMASK_RETURN_IF_ERROR(listener_.Start(&address));
    address_ = address.ToString();
    return absl::OkStatus();
  }

  const std::string& address() const override { return address_; }
  int connections() const override { return listener_.connections(); }

 private:
  absl::StatusOr<ordered_json> TokenizeJson(const std::string& body) {
    v1::TokenizeRequest request;
    UNMASK_ASSIGN_OR_RETURN(const nlohmann::json json, ParseJson(body));
    UNMASK_RETURN_IF_ERROR(ReadMessage(json, "", &request));
    const FrontDoor::Visit visit(context_.door);
    UNMASK_ASSIGN_OR_RETURN(const std::shared_ptr<const ServedModel> model, context_.door->Enter());
    UNMASK_ASSIGN_OR_RETURN(const v1::TokenizeResponse response, Tokenize(request, *model));
    return MessageJson(response);
  }

  void Complete(openai::Endpoint endpoint, const Request& request, Response* reply) {
    absl::Status status = context_.access->Check("Generate", Authorization(request));  // Before anything is parsed.
    openai::Completion asked;
    if (status.ok()) {
      absl::StatusOr<openai::Completion> parsed = openai::ParseCompletion(endpoint, request.body);
      status = parsed.status();
      if (parsed.ok()) asked = *std::move(parsed);
    }
    const bool streams = asked.stream != openai::Stream::kNone;
    const bool infill = std::holds_alternative<v1::InfillRequest>(asked.request);
    const std::string id_field = std::visit([](const auto& of) { return of.request_id(); }, asked.request);
    const RequestNames names =
        NameRequest(id_field, request.get_header_value(kRequestIdHeader), request.get_header_value(kTraceparentHeader));
    reply->set_header(kRequestIdHeader, names.request_id);
    if (!names.traceparent.empty()) reply->set_header(kTraceparentHeader, names.traceparent);

    const char* method = infill ? (streams ? "InfillStream" : "Infill") : (streams ? "GenerateStream" : "Generate");
    const auto generation = std::make_shared<HttpGeneration>(context_, method, names);
    Listener::Current().Keep(generation);  // Draining waits for the reply's last byte.
    if (status.ok()) {
      status = generation->Submit(asked, streams);
    } else {
      generation->Refuse(status);
    }
    if (!status.ok()) return SetError(status, &asked, reply);
    const openai::ReplyNames reply_names = {names.request_id, std::time(nullptr), model_.model_name};
    if (streams) return Stream(generation, std::move(asked), reply_names, reply);
    const absl::StatusOr<v1::GenerateResponse> result = *generation->Wait(Listener::Current()).result;
    if (!result.ok()) return SetError(result.status(), &asked, reply);
    reply->set_content(Dump(openai::CompletionJson(asked, reply_names, *result)) + "\n", kJson);
  }

  // Server-sent events, one an object, then [DONE]; an error that comes later is the last object, without [DONE].
  static void Stream(const std::shared_ptr<HttpGeneration>& generation, openai::Completion asked,
                     const openai::ReplyNames& names, Response* reply) {
    reply->set_header("Cache-Control", "no-cache");
    reply->set_header("X-Accel-Buffering", "no");
    reply->set_chunked_content_provider(
        "text/event-stream", [generation, asked = std::move(asked), names](size_t, DataSink& sink) {
          HttpGeneration::Next next = generation->Wait(Listener::Current());
          std::string text;
          if (next.event) {
            text = Events(openai::ChunkJson(asked, names, *next.event));
            return text.empty() || sink.write(text.data(), text.size());
          }
          if (absl::StatusOr<v1::GenerateResponse>& result = *next.result; result.ok()) {
            v1::GenerateStreamResponse completed;
            *completed.mutable_completed() = *std::move(result);
            text = absl::StrCat(Events(openai::ChunkJson(asked, names, completed)), "data: [DONE]\n\n");
          } else {
            text = Events({openai::ErrorJson(result.status(), &asked)});
          }
          if (!sink.write(text.data(), text.size())) return false;
          sink.done();
          return true;
        });
  }

  const ServiceContext context_;
  const FleetOptions model_;
  const int64_t started_;
  std::string address_;
  Listener listener_;  // Ends first.
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const std::string& address, const TlsFiles& tls,
                                                              const ServiceContext& context, const FleetOptions& model,
                                                              BatchRunner* batch) {
  UNMASK_ASSIGN_OR_RETURN(HostPort host_port, ParseHostPort(address));
  std::unique_ptr<TlsContext> tls_context;
  if (!tls.empty()) {
    UNMASK_ASSIGN_OR_RETURN(tls_context, TlsContext::Make(tls));
  }
  auto server = std::make_unique<OpenAiServer>(context, model, batch, std::move(tls_context));
  if (!server->Listen(std::move(host_port)).ok()) {
    return absl::FailedPreconditionError(absl::StrCat("the HTTP address ", address, " cannot be bound"));
  }
  return server;
}

}  // namespace unmask
