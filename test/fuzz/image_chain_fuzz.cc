// Fuzz target: walking a chain. The input is cut into three images in a directory that also holds
// everything a chain must not lead to; whatever their headers say, only allowed files may come out.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "disk/image.h"

using vmentry::Result;
using vmentry::disk::Format;
using vmentry::disk::ImageChain;
using vmentry::disk::ImageMember;
using vmentry::disk::ImageRequest;
using vmentry::disk::kMaxChainLength;
using vmentry::disk::Labels;
using vmentry::disk::OpenChain;
using vmentry::disk::OpenForUse;
using vmentry::disk::VerifyLabel;

namespace {

constexpr int kImages = 3;
constexpr off_t kImageSize = 1 << 17;

void Require(bool condition) {
  if (!condition) std::abort();
}

// The directory is kept for the whole run; run.sh removes its parent.
struct Place {
  std::string path;
  int images[kImages];

  Place() {
    const char* base = std::getenv("TMPDIR");
    path = std::string(base != nullptr ? base : "/tmp") + "/vmentry-fuzz-XXXXXX";
    Require(::mkdtemp(path.data()) != nullptr);
    for (int i = 0; i < kImages; ++i) {
      images[i] = ::open((path + "/" + std::to_string(i)).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
      Require(images[i] >= 0);
    }
    const int raw = ::open((path + "/r").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    Require(raw >= 0 && ::ftruncate(raw, kImageSize) == 0);
    ::close(raw);
    // Opening this would block, and the time limit of a run would find it.
    Require(::mkfifo((path + "/f").c_str(), 0600) == 0);
    Require(::symlink("r", (path + "/l").c_str()) == 0);
    Require(::mkdir((path + "/d").c_str(), 0700) == 0);
  }
};

// The number the next descriptor gets: the same before and after, if none was left open.
int NextDescriptor() {
  const int fd = ::open("/", O_PATH | O_CLOEXEC);
  ::close(fd);
  return fd;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Place place;
  const size_t part = size / kImages;
  for (int i = 0; i < kImages; ++i) {
    Require(::ftruncate(place.images[i], 0) == 0 && ::ftruncate(place.images[i], kImageSize) == 0);
    Require(::pwrite(place.images[i], data + static_cast<size_t>(i) * part, part, 0) == static_cast<ssize_t>(part));
  }
  const int next = NextDescriptor();
  {
    ImageRequest request;
    request.path = place.path + "/0";
    request.format = Format::kQcow2;
    // Reading only: a header may name any file of this machine.
    request.read_only = true;
    Result<ImageChain> chain = OpenChain(request, Labels::kOptional);
    if (!chain.ok()) {
      Require(!chain.error().code.empty() || chain.error().errno_value != 0);
    } else {
      const auto& members = chain.value().members;
      Require(!members.empty() && members.size() <= kMaxChainLength);
      for (size_t i = 0; i < members.size(); ++i) {
        const ImageMember& member = members[i];
        Require(S_ISREG(member.file.status.st_mode) || S_ISBLK(member.file.status.st_mode));
        Require(member.read_only && !member.use.valid());
        Require(member.backing < static_cast<int>(members.size()) &&
                member.data_file < static_cast<int>(members.size()));
        Require(member.format == Format::kQcow2 || (member.backing == -1 && member.data_file == -1));
        for (size_t j = 0; j < i; ++j) {
          Require(member.file.status.st_ino != members[j].file.status.st_ino ||
                  member.file.status.st_dev != members[j].file.status.st_dev);
        }
      }
      if (OpenForUse(&chain.value()).ok()) {
        for (const ImageMember& member : members) Require(VerifyLabel(member, Labels::kOptional).ok());
      }
    }
  }
  Require(NextDescriptor() == next);
  return 0;
}
