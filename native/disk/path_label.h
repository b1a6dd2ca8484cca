// The type and label of the file at a path, without opening it: for questions about many images,
// where nothing is used afterwards. A launch never does this (Pin): between the look and the
// use the path may come to name another file.
#pragma once

#include <sys/types.h>

#include <string>

#include "core/result.h"

namespace vmentry::disk {

struct PathLabel {
  mode_t mode = 0;
  std::string context;
};

// Refuses what Pin refuses, with the same errors. ERR_DISK_CHANGED when the path was given to
// another file while it was looked at, so that type and label are those of one file.
Result<PathLabel> ReadPathLabel(const std::string& path);

}  // namespace vmentry::disk
