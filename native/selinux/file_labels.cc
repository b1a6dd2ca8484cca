#include "selinux/file_labels.h"

#include <utility>

#include "selinux/library.h"

namespace vmentry::selinux {
namespace {

constexpr unsigned kFileBackend = 0;  // SELABEL_CTX_FILE
constexpr int kOptionPath = 3;        // SELABEL_OPT_PATH

// A label that libselinux gives out, or nothing where `missing` says that there is none.
template <typename Function>
Result<std::optional<std::string>> Label(const Library* library, std::string_view syscall, std::string_view path,
                                         int missing, Form form, Function call) {
  std::string raw;
  {
    LibraryString context(library);
    std::lock_guard lock(library->mutex());
    if (call(context.out()) < 0) {
      if (errno == missing) return std::optional<std::string>();
      return LastError(syscall, path);
    }
    if (context.get() == nullptr) return Error::System(syscall, EIO, path);
    raw = context.get();
  }
  VMENTRY_TRY(std::string label, FromRaw(std::move(raw), form));
  return std::optional<std::string>(std::move(label));
}

// EINVAL from the kernel means that its policy does not know the label.
Status Written(int result, std::string_view syscall, std::string_view path, const std::string& context) {
  if (result >= 0) return Ok();
  Error error = LastError(syscall, path);
  if (error.errno_value == EINVAL) {
    error = UnknownContext(syscall, context);
    error.path = path;
  }
  return error;
}

}  // namespace

Result<std::optional<std::string>> FileContext(const std::string& path, Links links, Form form) {
  VMENTRY_TRY(const Library* library, Library::Get());
  if (links == Links::kFollow) {
    return Label(library, "getfilecon", path, ENODATA, form,
                 [&](char** out) { return Call("getfilecon_raw", library->getfilecon_raw, path.c_str(), out); });
  }
  return Label(library, "lgetfilecon", path, ENODATA, form,
               [&](char** out) { return Call("lgetfilecon_raw", library->lgetfilecon_raw, path.c_str(), out); });
}

Result<std::optional<std::string>> FileContext(int fd, Form form) {
  VMENTRY_TRY(const Library* library, Library::Get());
  auto label = Label(library, "fgetfilecon", {}, ENODATA, form,
                     [&](char** out) { return Call("fgetfilecon_raw", library->fgetfilecon_raw, fd, out); });
  if (!label.ok()) label.error().fd = fd;
  return label;
}

Status SetFileContext(const std::string& path, Links links, const std::string& context, Form form) {
  VMENTRY_TRY(const Library* library, Library::Get());
  const std::string_view syscall = links == Links::kFollow ? "setfilecon" : "lsetfilecon";
  VMENTRY_TRY(const std::string raw, ToRaw(syscall, context, form));
  std::lock_guard lock(library->mutex());
  const int result = links == Links::kFollow
                         ? Call("setfilecon_raw", library->setfilecon_raw, path.c_str(), raw.c_str())
                         : Call("lsetfilecon_raw", library->lsetfilecon_raw, path.c_str(), raw.c_str());
  return Written(result, syscall, path, context);
}

Status SetFileContext(int fd, const std::string& context, Form form) {
  VMENTRY_TRY(const Library* library, Library::Get());
  VMENTRY_TRY(const std::string raw, ToRaw("fsetfilecon", context, form));
  std::lock_guard lock(library->mutex());
  Status written =
      Written(Call("fsetfilecon_raw", library->fsetfilecon_raw, fd, raw.c_str()), "fsetfilecon", {}, context);
  if (!written.ok()) written.error().fd = fd;
  return written;
}

Result<FileContextTable> FileContextTable::Open(const std::string& path) {
  VMENTRY_TRY(const Library* library, Library::Get());
  const LabelOption option = {kOptionPath, path.c_str()};
  std::lock_guard lock(library->mutex());
  selabel_handle* handle = Call("selabel_open", library->selabel_open, kFileBackend, path.empty() ? nullptr : &option,
                                path.empty() ? 0u : 1u);
  if (handle == nullptr) return LastError("selabel_open", path);
  return FileContextTable(library, handle);
}

FileContextTable::FileContextTable(FileContextTable&& other) noexcept
    : library_(other.library_), handle_(std::exchange(other.handle_, nullptr)) {}

FileContextTable::~FileContextTable() {
  if (handle_ == nullptr) return;
  std::lock_guard lock(library_->mutex());
  library_->selabel_close(handle_);
}

Result<std::optional<std::string>> FileContextTable::Lookup(const std::string& path, mode_t mode, Form form) const {
  return Label(library_, "selabel_lookup", path, ENOENT, form, [&](char** out) {
    return Call("selabel_lookup_raw", library_->selabel_lookup_raw, handle_, out, path.c_str(), static_cast<int>(mode));
  });
}

}  // namespace vmentry::selinux
