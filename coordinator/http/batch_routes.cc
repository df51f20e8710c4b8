#include "coordinator/http/batch_routes.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>
#include <regex>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/status.h"
#include "coordinator/batch/incoming_file.h"
#include "coordinator/errors.h"
#include "coordinator/http/exchange.h"
#include "coordinator/json_message.h"
#include "coordinator/openai/batch.h"
#include "coordinator/request_names.h"

namespace unmask {
namespace {

using httplib::ContentReader;
using httplib::DataSink;
using httplib::MultipartFormData;
using httplib::Request;
using httplib::Response;
using nlohmann::ordered_json;

constexpr char kFiles[] = "/v1/files";
constexpr char kFile[] = "/v1/files/([^/]+)";
constexpr char kContent[] = "/v1/files/([^/]+)/content";
constexpr char kBatches[] = "/v1/batches";
constexpr char kBatch[] = "/v1/batches/([^/]+)";
constexpr char kCancel[] = "/v1/batches/([^/]+)/cancel";

constexpr int64_t kLargestFileList = 10'000;
constexpr int64_t kBatchList = 20;
constexpr int64_t kLargestBatchList = 100;
constexpr size_t kLongestFileName = 255;
constexpr size_t kLongestPurpose = 64;
constexpr size_t kFormSlack = 64 << 10;  // What a form has beside its file.
constexpr std::chrono::minutes kUploadTime(10);
constexpr size_t kPiece = 64 << 10;  // Of a file on its way out.
constexpr char kJsonLines[] = "application/jsonl";

int64_t Now() { return absl::ToUnixSeconds(absl::Now()); }

// What `ask` yields on the runner's thread; the connection's waits for it.
template <typename T>
absl::StatusOr<T> AskBook(BatchRunner* runner, std::function<absl::StatusOr<T>(BatchBook&)> ask) {
  if (runner == nullptr) return NoBatchStore();
  const auto answer = std::make_shared<std::promise<absl::StatusOr<T>>>();
  std::future<absl::StatusOr<T>> answered = answer->get_future();
  runner->Post([answer, ask = std::move(ask)](BatchBook* book, const absl::Status& why) {
    answer->set_value(book == nullptr ? absl::StatusOr<T>(why) : ask(*book));
  });
  return answered.get();
}

ordered_json JsonOf(const KeptFile& file) {
  return openai::FileJson({file.id, file.name, file.job != 0}, file.bytes, file.created);
}

ordered_json JsonOf(const BatchBook::Batch& batch) {
  return openai::BatchJson(batch.job, {batch.origin.input_file, batch.origin.endpoint, batch.origin.metadata,
                                       batch.output_file, batch.error_file});
}

template <typename T>
absl::StatusOr<ordered_json> ListOf(const std::vector<T>& all, const openai::Page& page) {
  std::vector<ordered_json> objects;
  for (const T& each : all) objects.push_back(JsonOf(each));
  return openai::ListJson(std::move(objects), page);
}

absl::StatusOr<openai::Page> PageOf(const Request& request, int64_t limit, int64_t most) {
  std::vector<std::pair<std::string, std::string>> query;
  for (const auto& [name, value] : request.params) {
    if (name != "purpose") query.emplace_back(name, value);
  }
  return openai::ParsePage(query, limit, most);
}

absl::StatusOr<ordered_json> FileList(BatchRunner* runner, const Request& request) {
  UNMASK_ASSIGN_OR_RETURN(const openai::Page page, PageOf(request, kLargestFileList, kLargestFileList));
  UNMASK_ASSIGN_OR_RETURN(std::vector<KeptFile> files,
                          AskBook<std::vector<KeptFile>>(runner, [](BatchBook& book) { return book.files().All(); }));
  if (request.has_param("purpose")) {
    const bool results = request.get_param_value("purpose") == "batch_output";
    const bool uploads = request.get_param_value("purpose") == "batch";
    const auto is_other = [&](const KeptFile& file) { return file.job != 0 ? !results : !uploads; };
    files.erase(std::remove_if(files.begin(), files.end(), is_other), files.end());
  }
  return ListOf(files, page);
}

absl::StatusOr<ordered_json> GetFile(BatchRunner* runner, const std::string& id) {
  UNMASK_ASSIGN_OR_RETURN(const KeptFile file,
                          AskBook<KeptFile>(runner, [id](BatchBook& book) { return book.files().Get(id); }));
  return JsonOf(file);
}

absl::StatusOr<ordered_json> DeleteFile(BatchRunner* runner, const std::string& id) {
  return AskBook<ordered_json>(runner, [id](BatchBook& book) -> absl::StatusOr<ordered_json> {
    UNMASK_RETURN_IF_ERROR(book.files().Delete(id));
    return ordered_json{{"id", id}, {"object", "file"}, {"deleted", true}};
  });
}

absl::StatusOr<ordered_json> CreateBatch(BatchRunner* runner, const std::string& body) {
  UNMASK_ASSIGN_OR_RETURN(const openai::BatchRequest asked, openai::ParseBatch(body));
  UNMASK_ASSIGN_OR_RETURN(
      const BatchBook::Batch batch,
      AskBook<BatchBook::Batch>(runner, [&asked](BatchBook& book) -> absl::StatusOr<BatchBook::Batch> {
        v1::CreateBatchJobRequest request;
        *request.mutable_job() = asked.job;
        request.mutable_job()->set_name(absl::StrFormat("batch_%016x%016x", RandomWord(), RandomWord()));
        const BatchOrigin origin = {asked.input_file, asked.endpoint, asked.metadata};
        UNMASK_ASSIGN_OR_RETURN(const v1::BatchJob job, book.Create(request, RandomWord(), Now(), &origin));
        return book.GetBatch(job.name());
      }));
  return JsonOf(batch);
}

// change(book, name): on its way to what it is then.
absl::StatusOr<ordered_json> BatchThen(BatchRunner* runner, const std::string& name,
                                       const std::function<absl::Status(BatchBook&)>& change) {
  UNMASK_ASSIGN_OR_RETURN(const BatchBook::Batch batch,
                          AskBook<BatchBook::Batch>(runner, [&](BatchBook& book) -> absl::StatusOr<BatchBook::Batch> {
                            UNMASK_RETURN_IF_ERROR(book.GetBatch(name).status());
                            UNMASK_RETURN_IF_ERROR(change(book));
                            return book.GetBatch(name);
                          }));
  return JsonOf(batch);
}

absl::StatusOr<ordered_json> BatchList(BatchRunner* runner, const Request& request) {
  UNMASK_ASSIGN_OR_RETURN(const openai::Page page, PageOf(request, kBatchList, kLargestBatchList));
  UNMASK_ASSIGN_OR_RETURN(
      const std::vector<BatchBook::Batch> batches,
      AskBook<std::vector<BatchBook::Batch>>(runner, [](BatchBook& book) { return book.Batches(); }));
  return ListOf(batches, page);
}

// The form of POST /v1/files, field by field as it comes: the file goes to the disk, the rest is short.
class UploadForm {
 public:
  explicit UploadForm(std::string folder) : folder_(std::move(folder)) {}

  // Both are the library's callbacks. False: it is wrong; error() says how.
  bool BeginField(const MultipartFormData& field) {
    field_ = field.name;
    if (field_ == "purpose") return Check(Once(&has_purpose_, field_));
    if (field_ == "file") return Check(BeginFile(field.filename));
    return Check(UnknownField(JsonPath("", field_)));
  }
  bool Take(const char* data, size_t size) {
    if (field_ == "file") return Check(file_->Append({data, size}, "file"));
    purpose_.append(data, size);
    return Check(purpose_.size() <= kLongestPurpose ? absl::OkStatus() : WrongPurpose());
  }

  const absl::Status& error() const { return error_; }

  absl::StatusOr<ordered_json> Keep(BatchRunner* runner) {
    if (!has_purpose_) return InvalidField(kInputMissing, "purpose", "purpose is missing");
    if (purpose_ != "batch") return WrongPurpose();
    if (file_ == nullptr) return InvalidField(kInputMissing, "file", "file is missing");
    UNMASK_RETURN_IF_ERROR(file_->Keep());
    UNMASK_ASSIGN_OR_RETURN(const KeptFile kept, AskBook<KeptFile>(runner, [this](BatchBook& book) {
                              return book.files().Keep(file_->name(), file_name_, file_->size(), Now());
                            }));
    return JsonOf(kept);
  }

 private:
  bool Check(absl::Status status) {
    error_ = std::move(status);
    return error_.ok();
  }

  absl::Status WrongPurpose() const {
    const bool cut = purpose_.size() > kLongestPurpose;
    return InvalidField(
        kOptionInvalid, "purpose",
        absl::StrCat("purpose is \"", Shown(purpose_, kLongestPurpose), cut ? "..." : "", "\", not \"batch\""));
  }

  static absl::Status Once(bool* has, absl::string_view field) {
    if (!std::exchange(*has, true)) return absl::OkStatus();
    return InvalidField(kMalformedRequest, field, absl::StrCat(field, " is there twice"));
  }

  absl::Status BeginFile(const std::string& name) {
    UNMASK_RETURN_IF_ERROR(Once(&has_file_, "file"));
    if (name.size() > kLongestFileName) {
      return InvalidField(kOptionInvalid, "file",
                          absl::StrCat("file has a name of ", name.size(), " bytes, more than ", kLongestFileName));
    }
    file_name_ = name.empty() ? "input.jsonl" : name;
    UNMASK_ASSIGN_OR_RETURN(file_, IncomingFile::Begin(folder_));
    return absl::OkStatus();
  }

  const std::string folder_;
  std::string field_;  // That comes now.
  bool has_purpose_ = false;
  bool has_file_ = false;
  std::string purpose_;
  std::string file_name_;
  std::unique_ptr<IncomingFile> file_;
  absl::Status error_;
};

// Draining waits for the reply's last byte.
void StayInside(const ServiceContext& context) {
  Listener::Current().Keep(std::make_shared<FrontDoor::Visit>(context.door));
}

void Upload(const ServiceContext& context, BatchRunner* runner, const Request& request, const ContentReader& read,
            Response* reply) {
  StayInside(context);
  bool whole = false;
  bool readable = true;
  Answer(context, "UploadFile", request, reply, [&]() -> absl::StatusOr<ordered_json> {
    if (runner == nullptr) return NoBatchStore();
    UploadForm form(runner->folder().uploads());
    whole = read([&](const MultipartFormData& field) { return form.BeginField(field); },
                 [&](const char* data, size_t size) { return form.Take(data, size); });
    if (whole) return form.Keep(runner);
    if (!form.error().ok()) return form.error();
    readable = false;
    return InvalidField(kMalformedRequest, "", "the body is no well-formed multipart/form-data");
  });
  if (whole) return;
  Connection& connection = Listener::Current();
  connection.MustClose();  // The rest of the body stays unread.
  const bool late = connection.too_large() || connection.timed_out();
  if (!readable && late) reply->body.clear();  // The listener says why.
}

// The bytes of an upload, from the disk to the sink.
httplib::ContentProvider FromDisk(OwnedFd opened) {
  const auto file = std::make_shared<OwnedFd>(std::move(opened));
  return [file](size_t offset, size_t length, DataSink& sink) {
    std::string piece(std::min(length, kPiece), '\0');
    const ssize_t got = pread(file->get(), piece.data(), piece.size(), offset);
    return got > 0 && sink.write(piece.data(), got);
  };
}

// Results, as the store has them, piece by piece.
httplib::ContentProvider FromStore(BatchRunner* runner, const KeptFile& file) {
  return [runner, file, index = int64_t{0}](size_t, size_t, DataSink& sink) mutable {
    const absl::StatusOr<std::string> lines =
        AskBook<std::string>(runner, [&](BatchBook& book) { return book.ResultLines(file, &index); });
    return lines.ok() && !lines->empty() && sink.write(lines->data(), lines->size());
  };
}

// Of a known length: a reply that ends early is seen to be short.
void SendContent(const ServiceContext& context, BatchRunner* runner, const Request& request, Response* reply) {
  StayInside(context);
  Perform(context, "GetFileContent", request, reply, [&]() -> absl::Status {
    const std::string id = request.matches[1];
    UNMASK_ASSIGN_OR_RETURN(const KeptFile file,
                            AskBook<KeptFile>(runner, [&](BatchBook& book) { return book.files().Get(id); }));
    if (file.bytes == 0) {
      reply->set_content("", kJsonLines);
    } else if (file.job != 0) {
      reply->set_content_provider(file.bytes, kJsonLines, FromStore(runner, file));
    } else {
      UNMASK_ASSIGN_OR_RETURN(OwnedFd opened,
                              AskBook<OwnedFd>(runner, [&](BatchBook& book) { return book.files().Open(id, "file"); }));
      reply->set_content_provider(file.bytes, kJsonLines, FromDisk(std::move(opened)));
    }
    return absl::OkStatus();
  });
}

}  // namespace

void AddBatchRoutes(const ServiceContext& context, BatchRunner* runner, Listener* listener) {
  const BodyLimits form = {kUploadTime, static_cast<size_t>(BatchLimits().bytes) + kFormSlack};
  listener->PostForm(kFiles, form, [=](const Request& request, Response& reply, const ContentReader& read) {
    Upload(context, runner, request, read, &reply);
  });
  listener->Get(kFiles, [=](const Request& request, Response& reply) {
    Answer(context, "ListFiles", request, &reply, [&] { return FileList(runner, request); });
  });
  listener->Get(kFile, [=](const Request& request, Response& reply) {
    Answer(context, "GetFile", request, &reply, [&] { return GetFile(runner, request.matches[1]); });
  });
  listener->Get(kContent,
                [=](const Request& request, Response& reply) { SendContent(context, runner, request, &reply); });
  listener->Delete(kFile, [=](const Request& request, Response& reply) {
    Answer(context, "DeleteFile", request, &reply, [&] { return DeleteFile(runner, request.matches[1]); });
  });
  listener->Post(kBatches, [=](const Request& request, Response& reply) {
    Answer(context, "CreateBatchJob", request, &reply, [&] { return CreateBatch(runner, request.body); });
  });
  listener->Get(kBatches, [=](const Request& request, Response& reply) {
    Answer(context, "ListBatchJobs", request, &reply, [&] { return BatchList(runner, request); });
  });
  listener->Get(kBatch, [=](const Request& request, Response& reply) {
    Answer(context, "GetBatchJob", request, &reply,
           [&] { return BatchThen(runner, request.matches[1], [](BatchBook&) { return absl::OkStatus(); }); });
  });
  listener->PostNothing(kCancel, [=](const Request& request, Response& reply) {
    const std::string name = request.matches[1];
    Answer(context, "CancelBatchJob", request, &reply,
           [&] { return BatchThen(runner, name, [&](BatchBook& book) { return book.Cancel(name, Now()).status(); }); });
  });
}

std::optional<std::string> BatchPathLabel(const std::string& path) {
  static const auto& known =
      *new std::vector<std::pair<std::regex, const char*>>{{std::regex(kFiles), kFiles},
                                                           {std::regex(kFile), "/v1/files/{file}"},
                                                           {std::regex(kBatches), kBatches},
                                                           {std::regex(kContent), "/v1/files/{file}/content"},
                                                           {std::regex(kBatch), "/v1/batches/{batch}"},
                                                           {std::regex(kCancel), "/v1/batches/{batch}/cancel"}};
  for (const auto& [pattern, label] : known) {
    if (std::regex_match(path, pattern)) return label;
  }
  return std::nullopt;
}

}  // namespace unmask
