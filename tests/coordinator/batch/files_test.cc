// S5: paths that clients name lead to files below one folder and nowhere else, and what is refused was not opened.
#include "coordinator/batch/files.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coordinator/errors.h"
#include "gmock/gmock.h"
#include "tests/coordinator/batch/scratch.h"

namespace unmask {
namespace {

namespace fs = std::filesystem;
using testing::ReadFile;
using testing::Scratch;
using testing::WriteFile;

// Tells whether anybody opened a file.
class OpenWatch {
 public:
  explicit OpenWatch(const std::string& path) : fd_(inotify_init1(IN_NONBLOCK)) {
    EXPECT_GE(inotify_add_watch(fd_, path.c_str(), IN_OPEN), 0) << path;
  }
  ~OpenWatch() { close(fd_); }
  bool Opened() const {
    char events[4096];
    return read(fd_, events, sizeof(events)) > 0;
  }

 private:
  const int fd_;
};

// root/ is what clients see; secret stands beside it.
struct Tree {
  Tree() : root(scratch / "root") {
    fs::create_directories(scratch / "root/sub");
    WriteFile(scratch / "secret", "secret");
    WriteFile(scratch / "root/in", "in");
    WriteFile(scratch / "root/sub/in", "below");
    fs::create_symlink(scratch / "secret", scratch / "root/link");
    fs::create_symlink("in", scratch / "root/inner-link");
    fs::create_directory_symlink(scratch.path(), scratch / "root/out");
    fs::create_directory_symlink("sub", scratch / "root/inner-folder");
    EXPECT_EQ(mkfifo((scratch / "root/fifo").c_str(), 0600), 0);
  }
  Scratch scratch;
  FilesRoot root;
};

const char* const kRefused[] = {"../secret", "/etc/passwd", "sub/../../secret", "out/secret", "link", "inner-link",
                                "sub/../in", "./in",        "inner-folder/in",  "fifo",       "sub",  "",
                                "sub//in",   "in/",         "in/more",          "..",         "/",    "out/../secret"};

TEST(BatchFilesTest, OpensWhatIsBelow) {
  const Tree tree;
  for (const auto& [path, content] : {std::pair("in", "in"), std::pair("sub/in", "below")}) {
    const auto file = tree.root.OpenForReading(path, "path");
    ASSERT_TRUE(file.ok()) << file.status();
    char bytes[16] = {};
    EXPECT_GT(read(file->get(), bytes, sizeof(bytes)), 0);
    EXPECT_STREQ(bytes, content);
  }
  EXPECT_EQ(tree.root.OpenForReading("nothing", "path").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(tree.root.OpenForReading("no/thing", "path").status().code(), absl::StatusCode::kNotFound);
}

TEST(BatchFilesTest, RefusesEverythingElseAndOpensNothing) {
  const Tree tree;
  const OpenWatch secret(tree.scratch / "secret");
  const OpenWatch fifo(tree.scratch / "root/fifo");
  for (const std::string path : kRefused) {
    for (const absl::Status& status :
         {tree.root.OpenForReading(path, "path").status(), tree.root.ForWriting(path, "path").status()}) {
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << path;
      EXPECT_EQ(ErrorReason(status), kPathNotAllowed) << path;
    }
  }
  EXPECT_FALSE(tree.root.OpenForReading(std::string("in\0x", 4), "path").ok());
  EXPECT_FALSE(secret.Opened());
  EXPECT_FALSE(fifo.Opened());
  // The watch does bite.
  EXPECT_EQ(ReadFile(tree.scratch / "secret"), "secret");
  EXPECT_TRUE(secret.Opened());
}

TEST(BatchFilesTest, RefusesDevices) {
  const FilesRoot dev("/dev");
  EXPECT_EQ(ErrorReason(dev.OpenForReading("zero", "path").status()), kPathNotAllowed);
  EXPECT_EQ(ErrorReason(dev.ForWriting("null", "path").status()), kPathNotAllowed);
}

TEST(BatchFilesTest, AFileIsThereWholeOrNotAtAll) {
  const Tree tree;
  {
    absl::StatusOr<WholeFile> file = tree.root.ForWriting("sub/out", "path");
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE(file->Begin().ok());
    ASSERT_TRUE(file->Append(std::string(1 << 20, 'x')).ok());
    EXPECT_TRUE(fs::exists(tree.scratch / "root/sub/out.partial"));
    EXPECT_FALSE(fs::exists(tree.scratch / "root/sub/out"));
    ASSERT_TRUE(file->Commit().ok());
  }
  EXPECT_EQ(fs::file_size(tree.scratch / "root/sub/out"), 1u << 20);
  EXPECT_FALSE(fs::exists(tree.scratch / "root/sub/out.partial"));
  {
    absl::StatusOr<WholeFile> file = tree.root.ForWriting("sub/out", "path");
    ASSERT_TRUE(file->Begin().ok() && file->Append("half").ok());
  }
  EXPECT_EQ(fs::file_size(tree.scratch / "root/sub/out"), 1u << 20) << "given up, and it replaced what was there";
  EXPECT_FALSE(fs::exists(tree.scratch / "root/sub/out.partial"));
}

TEST(BatchFilesTest, ALinkInPlaceOfThePartialFileIsNotFollowed) {
  const Tree tree;
  fs::create_symlink(tree.scratch / "secret", tree.scratch / "root/out.txt.partial");
  absl::StatusOr<WholeFile> file = tree.root.ForWriting("out.txt", "path");
  ASSERT_TRUE(file->Begin().ok() && file->Append("output").ok() && file->Commit().ok());
  EXPECT_EQ(ReadFile(tree.scratch / "secret"), "secret");
  EXPECT_EQ(ReadFile(tree.scratch / "root/out.txt"), "output");
}

}  // namespace
}  // namespace unmask
