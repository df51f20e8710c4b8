// What the view must know of a model.
#ifndef UNMASK_CLI_CANVAS_LAYOUT_H_
#define UNMASK_CLI_CANVAS_LAYOUT_H_

#include <string>

#include "cli/canvas_state.h"
#include "unmask/v1/model.pb.h"

namespace unmask {

inline CanvasLayout LayoutFor(const v1::Model& model, const std::string& prompt) {
  CanvasLayout layout{.prompt = prompt};
  layout.mask_id = model.special_tokens().mask();
  layout.end_ids.insert(model.special_tokens().eos());
  if (model.special_tokens().has_eot()) layout.end_ids.insert(model.special_tokens().eot());
  layout.ids_only = !model.has_tokenizer();
  return layout;
}

}  // namespace unmask

#endif  // UNMASK_CLI_CANVAS_LAYOUT_H_
