# Makes page.cc of the files in page/: one document, with its style and its scripts inside, as an array of bytes.
file(READ ${IN}/index.html page)
file(READ ${IN}/style.css style)
set(script "")
foreach(part run lane app)
  file(READ ${IN}/${part}.js text)
  string(APPEND script "${text}")
endforeach()
string(REPLACE "/*STYLE*/" "${style}" page "${page}")
string(REPLACE "/*SCRIPT*/" "${script}" page "${page}")
string(HEX "${page}" bytes)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE ${OUT} "// Made of coordinator/http/page.
#include \"coordinator/http/page.h\"

namespace unmask {
namespace {

constexpr unsigned char kPage[] = {${bytes}};

}  // namespace

absl::string_view Page() { return {reinterpret_cast<const char*>(kPage), sizeof(kPage)}; }

}  // namespace unmask
")
