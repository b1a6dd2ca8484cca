// Decorators for cases that not every machine can run. Such a case is counted as skipped, with its reason on stderr,
// and never passes without having run.
#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace skipping {

inline doctest::skip Where(bool impossible, const char* reason) {
  if (impossible) std::fprintf(stderr, "skipped: %s\n", reason);
  return doctest::skip(impossible);
}

// For what a machine can be given: as root in CI the case runs, and has to fail by itself where it is missing.
inline doctest::skip Without(bool there, const char* what) {
  const bool must_be_there = ::geteuid() == 0 && std::getenv("CI") != nullptr;
  return Where(!there && !must_be_there, what);
}

inline bool SelinuxHost() { return ::access("/sys/fs/selinux/enforce", F_OK) == 0; }

}  // namespace skipping
