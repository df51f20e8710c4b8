#include "worker/state_file.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "base/log.h"

namespace unmask {
namespace {

constexpr std::chrono::seconds kAnew(1);

}  // namespace

StateFile::~StateFile() {
  if (watched()) unlink(path_.c_str());
}

void StateFile::Say(const std::string& state) {
  const auto now = std::chrono::steady_clock::now();
  if (!watched() || (state == said_ && now < said_at_ + kAnew)) return;
  said_ = state;
  said_at_ = now;
  const std::string draft = path_ + ".new";
  std::ofstream file(draft);
  file << state << "\n";
  file.close();
  const bool written = file.good() && rename(draft.c_str(), path_.c_str()) == 0;
  if (!written && !failed_) LogWarning("nobody will see how this replica is: ", path_, ": ", strerror(errno));
  failed_ = !written;
}

}  // namespace unmask
