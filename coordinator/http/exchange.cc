#include "coordinator/http/exchange.h"

#include "absl/strings/str_cat.h"
#include "coordinator/openai/error.h"

namespace unmask {

std::optional<std::string> Authorization(const httplib::Request& request) {
  if (!request.has_header("Authorization")) return std::nullopt;
  return request.get_header_value("Authorization");
}

std::string Dump(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::ordered_json::error_handler_t::replace);
}

void SetError(const absl::Status& status, const openai::Completion* asked, httplib::Response* reply) {
  reply->status = openai::HttpCode(status.code());
  if (const int64_t seconds = openai::RetryAfterSeconds(status); seconds > 0) {
    reply->set_header("Retry-After", absl::StrCat(seconds));
  }
  if (reply->status == 401) reply->set_header("WWW-Authenticate", "Bearer");
  reply->set_content(Dump(openai::ErrorJson(status, asked)) + "\n", kJson);
}

}  // namespace unmask
