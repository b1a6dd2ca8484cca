// Labels of files: what is in the security.selinux attribute, and what the policy's file_contexts say
// should be there. Both also work where SELinux is off, as in C: a label is then only an attribute.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

#include "core/result.h"
#include "selinux/contexts.h"

struct selabel_handle;

namespace vmentry::selinux {

class Library;

// Which inode a path names: with `kFollow` the target of a symbolic link.
enum class Links { kFollow, kNoFollow };

// getfilecon(3), lgetfilecon(3), fgetfilecon(3). Nothing where the file has no label (ENODATA); a
// file system without labels is an error (ENOTSUP).
Result<std::optional<std::string>> FileContext(const std::string& path, Links links, Form form);
Result<std::optional<std::string>> FileContext(int fd, Form form);
// setfilecon(3), lsetfilecon(3), fsetfilecon(3).
Status SetFileContext(const std::string& path, Links links, const std::string& context, Form form);
Status SetFileContext(int fd, const std::string& context, Form form);

// selabel_open(3) for files: the table of path patterns, read and compiled once (milliseconds).
class FileContextTable {
 public:
  // An empty path is the active policy's file_contexts.
  static Result<FileContextTable> Open(const std::string& path);
  FileContextTable(FileContextTable&& other) noexcept;
  FileContextTable& operator=(FileContextTable&&) = delete;
  ~FileContextTable();

  // The label that a file of type `mode` (S_IFREG, …; 0 for any) should have at `path`. Nothing where
  // no pattern matches or the matching one says <<none>>.
  Result<std::optional<std::string>> Lookup(const std::string& path, mode_t mode, Form form) const;

 private:
  FileContextTable(const Library* library, selabel_handle* handle) : library_(library), handle_(handle) {}
  const Library* library_;
  selabel_handle* handle_;
};

}  // namespace vmentry::selinux
