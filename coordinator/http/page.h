// The page at "/": one HTML document, page.html, with all that it needs in it.
#ifndef UNMASK_COORDINATOR_HTTP_PAGE_H_
#define UNMASK_COORDINATOR_HTTP_PAGE_H_

#include "absl/strings/string_view.h"

namespace unmask {

absl::string_view Page();

}  // namespace unmask

#endif  // UNMASK_COORDINATOR_HTTP_PAGE_H_
