#!/usr/bin/env bash
# What a fresh Debian or Ubuntu machine needs to build and to test: packages and npm modules.
# Installs what is missing where it may (root, or sudo without a password); otherwise names it and
# ends with status 3. --demo: only what building and the lab need.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(g++ make python3)
if [ "${1:-}" != --demo ]; then
  packages+=(cmake clang clang-format clang-tidy libclang-rt-dev doctest-dev libsepol-dev libselinux1-dev secilc checkpolicy
    sepol-utils policycoreutils qemu-utils qemu-system-x86 seabios attr strace fakeroot uidmap)
  # The kernel's headers for the other architecture, to hold lib/kvm against.
  if [ "$(uname -m)" = aarch64 ]; then packages+=(linux-libc-dev-amd64-cross); else packages+=(linux-libc-dev-arm64-cross); fi
fi

missing=()
for package in "${packages[@]}"; do
  # A virtual package (libclang-rt-dev has a version in its name) counts when something provides it.
  if [ "$package" = libclang-rt-dev ]; then
    ls /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-x86_64.a > /dev/null 2>&1 ||
      missing+=("$(apt-cache depends clang 2> /dev/null | sed -nE 's/.*Depends: clang-([0-9]+)$/libclang-rt-\1-dev/p' | head -n 1)")
    continue
  fi
  dpkg-query -W -f '${db:Status-Status}\n' "$package" 2> /dev/null | grep -qx installed || missing+=("$package")
done

if [ ${#missing[@]} -gt 0 ]; then
  as_root=()
  if [ "$(id -u)" != 0 ]; then
    if sudo -n true 2> /dev/null; then
      as_root=(sudo -n)
    else
      echo "These packages are missing; install them and start again:" >&2
      echo "  sudo apt-get install --no-install-recommends ${missing[*]}" >&2
      exit 3
    fi
  fi
  echo "Installing ${missing[*]}" >&2
  export DEBIAN_FRONTEND=noninteractive
  # Another program may be at work with packages: wait for it.
  "${as_root[@]}" apt-get -o DPkg::Lock::Timeout=600 update -qq
  "${as_root[@]}" apt-get -o DPkg::Lock::Timeout=600 install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
fi

# The lock file's own time stamp tells whether the installed modules are its.
if [ ! -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo "Installing npm modules" >&2
  # A mirror that lacks the optional packages of other platforms makes `npm ci` call the lock file
  # incomplete; `npm install` takes the same locked versions and leaves those out.
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=silent ||
    npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error
  touch node_modules/.package-lock.json
fi
