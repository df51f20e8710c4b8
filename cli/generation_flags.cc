#include "cli/generation_flags.h"

#include <cmath>
#include <cstdint>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "cli/numbers.h"

namespace unmask {
namespace {

using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;

std::string FlagName(const FieldDescriptor& field) { return absl::StrReplaceAll(field.name(), {{"_", "-"}}); }

std::vector<std::string> Choices(const EnumDescriptor& type) {
  std::vector<std::string> names;
  for (int i = 1; i < type.value_count(); ++i) names.push_back(EnumFlagName(*type.value(i)));  // 0 is UNSPECIFIED.
  return names;
}

// The number of the value that `name` calls. Throws what CLI11 reports.
int ParseEnum(const EnumDescriptor& type, const std::string& flag, const std::string& name) {
  const std::string wanted = absl::AsciiStrToLower(absl::StrReplaceAll(name, {{"_", "-"}}));
  for (int i = 1; i < type.value_count(); ++i) {
    if (EnumFlagName(*type.value(i)) == wanted) return type.value(i)->number();
  }
  throw CLI::ValidationError(flag, absl::StrCat("'", name, "' is none of ", absl::StrJoin(Choices(type), ", ")));
}

// What a user needs to know of each option; the rules stand in unmask/v1/options.proto.
struct OptionHelp {
  const char* field;
  const char* help;
};
constexpr OptionHelp kOptionHelp[] = {
    {"gen_length", "Tokens to generate (128)"},
    {"block_length", "Tokens denoised together, left to right block by block; divides gen-length (32)"},
    {"steps", "Denoising steps over all blocks (gen-length)"},
    {"remasking", "Which predicted tokens are kept in a step (low-confidence)"},
    {"threshold", "confidence-threshold: keep every token at least this probable (0.9)"},
    {"factor", "factor: dInfer's factor (1)"},
    {"entropy_bound", "entropy-bound: nats (0.1)"},
    {"cache", "Keys and values kept between steps; none is exact (none)"},
    {"temperature", "0 takes the likeliest token (0)"},
    {"cfg_scale", "Classifier-free guidance; 0 is off (0)"},
    {"seed", "Same seed, same text (drawn by the service)"},
    {"logits_eos_inf", "Never predict the end of the sequence"},
    {"confidence_eos_eot_inf", "Reveal the ends of sequence and turn last"},
    {"stop", "End the text before this string; may be repeated"},
    {"reference_parity", "LLaDA's released code to the letter"},
    {"deadline_policy", "fit: as many steps, up to --steps, as are over within --timeout (none)"},
};

// Adds the flag of one field, whose value goes straight into the proto.
CLI::Option* AddField(CLI::App* app, const FieldDescriptor* field, const std::string& help,
                      v1::GenerationOptions* options) {
  const std::string flag = absl::StrCat("--", FlagName(*field));
  const google::protobuf::Reflection* reflection = options->GetReflection();
  if (field->is_repeated()) {
    return app
        ->add_option_function<std::vector<std::string>>(
            flag,
            [=](const std::vector<std::string>& values) {
              reflection->ClearField(options, field);
              for (const std::string& value : values) reflection->AddString(options, field, value);
            },
            help)
        ->allow_extra_args(false);  // One string a flag: --stop A PROMPT has a prompt.
  }
  const auto add = [&](const auto& set) { return app->add_option_function<std::string>(flag, set, help); };
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return add([=](const std::string& text) {
               reflection->SetInt32(options, field, ParseNumber<int32_t>(flag, text));
             })
          ->type_name("N");
    case FieldDescriptor::CPPTYPE_UINT64:
      return add([=](const std::string& text) {
               reflection->SetUInt64(options, field, ParseNumber<uint64_t>(flag, text));
             })
          ->type_name("N");
    case FieldDescriptor::CPPTYPE_FLOAT:
      return add([=](const std::string& text) { reflection->SetFloat(options, field, ParseNumber<float>(flag, text)); })
          ->type_name("X");
    case FieldDescriptor::CPPTYPE_BOOL:
      return app->add_flag_function(
          flag, [=](int64_t n) { reflection->SetBool(options, field, n > 0); }, help);
    case FieldDescriptor::CPPTYPE_ENUM:
      return add([=](const std::string& name) {
               reflection->SetEnumValue(options, field, ParseEnum(*field->enum_type(), flag, name));
             })
          ->type_name(absl::StrJoin(Choices(*field->enum_type()), "|"));
    default:
      return nullptr;  // No option has another type.
  }
}

std::string ValueText(const v1::GenerationOptions& options, const FieldDescriptor* field) {
  const google::protobuf::Reflection* reflection = options.GetReflection();
  if (field->is_repeated()) {
    const int n = reflection->FieldSize(options, field);
    std::vector<std::string> values;
    for (int i = 0; i < n; ++i)
      values.push_back(absl::StrCat("\"", reflection->GetRepeatedString(options, field, i), "\""));
    return n == 0 ? "default" : absl::StrJoin(values, " ");
  }
  if (!reflection->HasField(options, field)) return "default";
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return absl::StrCat(reflection->GetInt32(options, field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return absl::StrCat(reflection->GetUInt64(options, field));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return absl::StrCat(reflection->GetFloat(options, field));
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection->GetBool(options, field) ? "true" : "false";
    default:
      return EnumFlagName(*reflection->GetEnum(options, field));
  }
}

const FieldDescriptor* FindField(absl::string_view name) {
  const std::string field = absl::StrReplaceAll(absl::AsciiStrToLower(name), {{"-", "_"}});
  return v1::GenerationOptions::descriptor()->FindFieldByName(field);
}

}  // namespace

std::string EnumFlagName(const EnumValueDescriptor& value) {
  const std::string zero = value.type()->value(0)->name();  // "REMASKING_UNSPECIFIED"
  const size_t prefix = zero.size() - std::string("UNSPECIFIED").size();
  return absl::AsciiStrToLower(absl::StrReplaceAll(value.name().substr(prefix), {{"_", "-"}}));
}

void GenerationFlags::RegisterOptions(CLI::App* app, bool with_gen_length) {
  for (const OptionHelp& option : kOptionHelp) {
    const FieldDescriptor* field = FindField(option.field);
    if (field->name() == "gen_length" && !with_gen_length) continue;
    AddField(app, field, option.help, &options)->group("Generation");
  }
}

void GenerationFlags::Register(CLI::App* app, bool with_gen_length) {
  RegisterOptions(app, with_gen_length);
  const EnumDescriptor* priorities = v1::Priority_descriptor();
  app->add_option_function<std::string>(
         "--priority",
         [this, priorities](const std::string& name) {
           priority = static_cast<v1::Priority>(ParseEnum(*priorities, "--priority", name));
         },
         "Who goes first in the queue (interactive)")
      ->type_name(absl::StrJoin(Choices(*priorities), "|"))
      ->group("Generation");
  app->add_option_function<std::string>(
         "--timeout",
         [this](const std::string& text) {
           const double seconds = ParseNumber<double>("--timeout", text);
           if (!(seconds >= 0 && std::isfinite(seconds))) {
             throw CLI::ValidationError("--timeout", absl::StrCat("'", text, "' is no number of seconds >= 0"));
           }
           timeout_s = seconds;
         },
         "Give up after this many seconds (never)")
      ->type_name("SECONDS")
      ->group("Generation");
}

absl::Status GenerationFlags::Set(absl::string_view name, absl::string_view value) {
  GenerationFlags changed = *this;
  if (value == "default") {
    if (const FieldDescriptor* field = FindField(name)) {
      changed.options.GetReflection()->ClearField(&changed.options, field);
    } else if (name == "priority") {
      changed.priority = v1::PRIORITY_UNSPECIFIED;
    } else if (name == "timeout") {
      changed.timeout_s = 0;
    } else {
      return absl::InvalidArgumentError(absl::StrCat("there is no option ", name));
    }
    *this = std::move(changed);
    return absl::OkStatus();
  }
  CLI::App parser;
  changed.Register(&parser);
  const std::string flag = absl::StrCat("--", absl::StrReplaceAll(absl::AsciiStrToLower(name), {{"_", "-"}}));
  try {
    if (name.empty() || parser.get_option_no_throw(flag) == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("there is no option ", name));
    }
    parser.parse(std::vector<std::string>{absl::StrCat(flag, "=", value)});
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(error.what());
  }
  *this = std::move(changed);
  return absl::OkStatus();
}

void GenerationFlags::ApplyTimeout(Client* client) const {
  client->SetTimeout(timeout_s > 0 ? absl::Seconds(timeout_s) : absl::InfiniteDuration());
}

std::vector<std::string> GenerationFlags::Describe() const {
  std::vector<std::string> lines;
  const auto line = [&](absl::string_view name, absl::string_view value) {
    lines.push_back(absl::StrFormat("%-24s %s", name, value));
  };
  for (const OptionHelp& option : kOptionHelp) {
    const FieldDescriptor* field = FindField(option.field);
    line(FlagName(*field), ValueText(options, field));
  }
  line("priority", priority == v1::PRIORITY_UNSPECIFIED
                       ? "default"
                       : EnumFlagName(*v1::Priority_descriptor()->FindValueByNumber(priority)));
  line("timeout", timeout_s > 0 ? absl::StrCat(timeout_s, " s") : "default");
  return lines;
}

}  // namespace unmask
