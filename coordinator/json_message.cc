#include "coordinator/json_message.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "coordinator/errors.h"

namespace unmask {
namespace {

using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using nlohmann::json;

constexpr size_t kMaxDepth = 32;
constexpr size_t kMaxName = 64;  // Bytes of a document's name that an error repeats.

absl::Status Malformed(absl::string_view path, absl::string_view message) {
  return InvalidField(kMalformedRequest, path, message);
}

// Builds a document; the library's own builder knows no depth, takes the last of equal keys, and tells no place of a
// number that is too large.
class Builder : public nlohmann::json_sax<json> {
 public:
  explicit Builder(absl::string_view text) : text_(text) {}

  bool null() override { return Put(nullptr); }
  bool boolean(bool value) override { return Put(value); }
  bool number_integer(int64_t value) override { return Put(value); }
  bool number_unsigned(uint64_t value) override { return Put(value); }
  bool number_float(double value, const std::string&) override { return Put(value); }
  bool string(std::string& value) override { return Put(std::move(value)); }
  bool binary(json::binary_t&) override { return false; }  // Not in text.
  bool start_object(size_t) override { return Open(json::object()); }
  bool start_array(size_t) override { return Open(json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(std::string& name) override {
    key_ = std::move(name);
    if (!open_.back()->contains(key_)) return true;
    status_ = Malformed("", absl::StrCat("the JSON has the key \"", Shown(key_, kMaxName), "\" twice in one object"));
    return false;
  }

  bool parse_error(size_t position, const std::string&, const json::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: WHAT; last read: 'TEXT'"
    absl::string_view what = error.what();
    if (const size_t place = what.find(" column "); place != what.npos) what = what.substr(what.find(": ", place) + 2);
    if (absl::string_view(error.what()).find("out_of_range") != absl::string_view::npos) what = "a number is too large";
    what = what.substr(0, what.find("; last read"));
    const absl::string_view before = text_.substr(0, position > 0 ? position - 1 : 0);
    const size_t line = 1 + std::count(before.begin(), before.end(), '\n');
    const size_t column = before.size() - (line > 1 ? before.rfind('\n') + 1 : 0) + 1;
    status_ = Malformed("", absl::StrCat("not JSON at line ", line, ", column ", column, ": ", what));
    return false;
  }

  absl::StatusOr<json> Take() && {
    if (!status_.ok()) return status_;
    return std::move(root_);
  }

 private:
  bool Put(json value) { return Insert(std::move(value)) != nullptr; }

  json* Insert(json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (open_.back()->is_array()) {
      open_.back()->push_back(std::move(value));
      return &open_.back()->back();
    }
    return &((*open_.back())[key_] = std::move(value));
  }

  bool Open(json empty) {
    if (open_.size() == kMaxDepth) {
      status_ = Malformed("", absl::StrCat("the JSON is nested deeper than ", kMaxDepth, " levels"));
      return false;
    }
    open_.push_back(Insert(std::move(empty)));
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  const absl::string_view text_;
  json root_;
  std::vector<json*> open_;  // From the root to where values go. Stable: only the innermost grows.
  std::string key_;
  absl::Status status_;
};

// "remasking" of REMASKING_LOW_CONFIDENCE: what an enum's values begin with.
std::string EnumPrefix(const FieldDescriptor& field) {
  return std::string(absl::StripSuffix(field.enum_type()->value(0)->name(), "UNSPECIFIED"));
}

absl::StatusOr<const EnumValueDescriptor*> ReadEnum(const json& value, absl::string_view path,
                                                    const FieldDescriptor& field) {
  if (!value.is_string()) return WrongType(path, "a string", value);
  const std::string& name = value.get_ref<const std::string&>();
  const std::string upper = absl::AsciiStrToUpper(absl::StrReplaceAll(name, {{"-", "_"}}));
  const std::string prefix = EnumPrefix(field);
  const auto& type = *field.enum_type();
  for (const std::string& full : {upper, prefix + upper}) {
    if (const EnumValueDescriptor* found = type.FindValueByName(full)) return found;
  }
  std::vector<std::string> known;
  for (int i = 1; i < type.value_count(); ++i) {
    const absl::string_view bare = absl::StripPrefix(type.value(i)->name(), prefix);
    known.push_back(absl::AsciiStrToLower(absl::StrReplaceAll(bare, {{"_", "-"}})));
  }
  return InvalidField(kOptionInvalid, path,
                      absl::StrCat(path, " \"", Shown(name, kMaxName), "\" is none of ", absl::StrJoin(known, ", ")));
}

template <typename Integer>
absl::StatusOr<Integer> ReadInteger(const json& value, absl::string_view path) {
  using Limits = std::numeric_limits<Integer>;
  if (value.is_number_unsigned() && value.get<uint64_t>() <= uint64_t{Limits::max()}) return value.get<Integer>();
  if (value.is_number_integer() && !value.is_number_unsigned() && value.get<int64_t>() < 0 &&
      int64_t{static_cast<int64_t>(Limits::min())} <= value.get<int64_t>()) {
    return value.get<Integer>();
  }
  if (Integer number = 0;
      sizeof(Integer) == 8 && value.is_string() && absl::SimpleAtoi(value.get_ref<const std::string&>(), &number)) {
    return number;
  }
  if (!value.is_number()) return WrongType(path, "an integer", value);
  return InvalidField(
      kOptionInvalid, path,
      absl::StrCat(path, " ", value.dump(), " is not an integer in [", Limits::min(), ", ", Limits::max(), "]"));
}

// One element of a repeated field, or a field that is not.
absl::Status ReadValue(const json& value, absl::string_view path, const FieldDescriptor* field, Message* message) {
  const Reflection& reflection = *message->GetReflection();
  const bool repeated = field->is_repeated();
  const auto set = [&](auto add, auto assign, auto content) {
    repeated ? (reflection.*add)(message, field, content) : (reflection.*assign)(message, field, content);
    return absl::OkStatus();
  };
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: {
      UNMASK_ASSIGN_OR_RETURN(const int32_t number, ReadInteger<int32_t>(value, path));
      return set(&Reflection::AddInt32, &Reflection::SetInt32, number);
    }
    case FieldDescriptor::CPPTYPE_INT64: {
      UNMASK_ASSIGN_OR_RETURN(const int64_t number, ReadInteger<int64_t>(value, path));
      return set(&Reflection::AddInt64, &Reflection::SetInt64, number);
    }
    case FieldDescriptor::CPPTYPE_UINT32: {
      UNMASK_ASSIGN_OR_RETURN(const uint32_t number, ReadInteger<uint32_t>(value, path));
      return set(&Reflection::AddUInt32, &Reflection::SetUInt32, number);
    }
    case FieldDescriptor::CPPTYPE_UINT64: {
      UNMASK_ASSIGN_OR_RETURN(const uint64_t number, ReadInteger<uint64_t>(value, path));
      return set(&Reflection::AddUInt64, &Reflection::SetUInt64, number);
    }
    case FieldDescriptor::CPPTYPE_FLOAT:
      if (!value.is_number()) return WrongType(path, "a number", value);
      return set(&Reflection::AddFloat, &Reflection::SetFloat, static_cast<float>(value.get<double>()));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      if (!value.is_number()) return WrongType(path, "a number", value);
      return set(&Reflection::AddDouble, &Reflection::SetDouble, value.get<double>());
    case FieldDescriptor::CPPTYPE_BOOL:
      if (!value.is_boolean()) return WrongType(path, "true or false", value);
      return set(&Reflection::AddBool, &Reflection::SetBool, value.get<bool>());
    case FieldDescriptor::CPPTYPE_STRING:
      if (!value.is_string()) return WrongType(path, "a string", value);
      return set(&Reflection::AddString, &Reflection::SetString, value.get<std::string>());
    case FieldDescriptor::CPPTYPE_ENUM: {
      UNMASK_ASSIGN_OR_RETURN(const EnumValueDescriptor* const number, ReadEnum(value, path, *field));
      return set(&Reflection::AddEnum, &Reflection::SetEnum, number);
    }
    case FieldDescriptor::CPPTYPE_MESSAGE: {
      Message* part = repeated ? reflection.AddMessage(message, field) : reflection.MutableMessage(message, field);
      // A list of ids is written as one.
      const bool is_list = part->GetDescriptor()->name() == "TokenIds" && value.is_array();
      if (is_list) return ReadField(value, path, part->GetDescriptor()->FindFieldByName("ids"), part);
      return ReadMessage(value, path, part);
    }
  }
  return UnknownField(path);
}

}  // namespace

std::string JsonPath(absl::string_view path, absl::string_view name) {
  const std::string shown = Shown(name, kMaxName);
  return path.empty() ? shown : absl::StrCat(path, ".", shown);
}

absl::Status WrongType(absl::string_view path, absl::string_view wanted, const json& value) {
  const absl::string_view subject = path.empty() ? "the JSON" : path;
  return Malformed(path, absl::StrCat(subject, " must be ", wanted, ", not ", value.type_name()));
}

absl::Status UnknownField(absl::string_view path) {
  return Malformed(path, absl::StrCat(path, " is not a field of this request"));
}

absl::StatusOr<json> ParseJson(absl::string_view text) {
  Builder builder(text);
  json::sax_parse(text.begin(), text.end(), &builder);
  return std::move(builder).Take();
}

absl::Status ReadField(const json& value, absl::string_view path, const FieldDescriptor* field, Message* message) {
  if (value.is_null()) return absl::OkStatus();
  const auto* oneof = field->real_containing_oneof();
  if (oneof != nullptr && message->GetReflection()->HasOneof(*message, oneof)) {
    const FieldDescriptor* other = message->GetReflection()->GetOneofFieldDescriptor(*message, oneof);
    return Malformed(path, absl::StrCat(path, " and ", other->name(), " are both set"));
  }
  if (!field->is_repeated()) return ReadValue(value, path, field, message);
  if (!value.is_array()) return WrongType(path, "an array", value);
  for (size_t i = 0; i < value.size(); ++i) {
    UNMASK_RETURN_IF_ERROR(ReadValue(value[i], absl::StrCat(path, "[", i, "]"), field, message));
  }
  return absl::OkStatus();
}

absl::Status ReadMessage(const json& object, absl::string_view path, Message* message) {
  if (!object.is_object()) return WrongType(path, "an object", object);
  for (const auto& [name, value] : object.items()) {
    const FieldDescriptor* field = message->GetDescriptor()->FindFieldByName(name);
    const std::string where = JsonPath(path, name);
    if (field == nullptr) {
      if (value.is_null()) continue;
      return UnknownField(where);
    }
    UNMASK_RETURN_IF_ERROR(ReadField(value, where, field, message));
  }
  return absl::OkStatus();
}

nlohmann::ordered_json MessageJson(const Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string text;
  // Fails only for messages with Any or Struct that cannot be resolved; ours have none.
  (void)google::protobuf::util::MessageToJsonString(message, &text, options);
  return nlohmann::ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
}

}  // namespace unmask
