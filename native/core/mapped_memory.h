// MappedMemory: sole owner of one mmap(2) mapping.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <utility>

namespace vmentry {

class [[nodiscard]] MappedMemory {
 public:
  MappedMemory() = default;
  MappedMemory(void* address, size_t size) : address_(address), size_(size) {}
  MappedMemory(MappedMemory&& other) noexcept
      : address_(std::exchange(other.address_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  MappedMemory& operator=(MappedMemory&& other) noexcept {
    if (this != &other) {
      Reset();
      address_ = std::exchange(other.address_, nullptr);
      size_ = std::exchange(other.size_, 0);
    }
    return *this;
  }
  MappedMemory(const MappedMemory&) = delete;
  MappedMemory& operator=(const MappedMemory&) = delete;
  ~MappedMemory() { Reset(); }

  void* address() const { return address_; }
  size_t size() const { return size_; }
  // Gives the mapping up without unmapping: it stays for the life of the process.
  void* Leak() { return std::exchange(address_, nullptr); }

 private:
  void Reset() {
    if (address_ != nullptr) ::munmap(address_, size_);
    address_ = nullptr;
  }
  void* address_ = nullptr;
  size_t size_ = 0;
};

}  // namespace vmentry
