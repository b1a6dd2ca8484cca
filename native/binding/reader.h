// Reader: the members of a request that lib/ has validated, read so that nothing is taken for something
// else. What is missing, unknown or of another type leaves the reader incomplete, and a request that was
// read in part must not be used. The same goes for an environment that is being ended (Worker.terminate),
// where any call fails and values are empty.
#pragma once

#include <napi.h>

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vmentry::binding {

class Reader {
 public:
  explicit Reader(const Napi::Value& value) {
    if (Check(value.IsObject())) object_ = value.As<Napi::Object>();
  }

  std::string String(const char* key) { return StringFrom(Get(key)); }
  // Empty means that it is not given, so one that is given must not be.
  std::string StringOrEmpty(const char* key) {
    const Napi::Value value = Get(key);
    if (!IsGiven(value)) return {};
    std::string text = StringFrom(value);
    Check(!text.empty());
    return text;
  }
  bool Boolean(const char* key) {
    const Napi::Value value = Get(key);
    return Check(value.IsBoolean()) && value.As<Napi::Boolean>().Value();
  }
  int32_t Integer(const char* key) { return IntegerFrom(Get(key)); }
  uint32_t Unsigned(const char* key) { return UnsignedFrom(Get(key)); }
  uint64_t BigInt(const char* key) {
    const Napi::Value value = Get(key);
    bool lossless = false;
    const uint64_t number = Check(value.IsBigInt()) ? value.As<Napi::BigInt>().Uint64Value(&lossless) : 0;
    Check(lossless);
    return number;
  }
  // The value that goes with a name. An unknown one gets the first, and is not usable either.
  template <typename T>
  T OneOf(const char* key, std::initializer_list<std::pair<std::string_view, T>> choices) {
    return OneOfFrom(String(key), choices);
  }
  // The same, where a missing one means the first.
  template <typename T>
  T OneOfOrFirst(const char* key, std::initializer_list<std::pair<std::string_view, T>> choices) {
    const Napi::Value value = Get(key);
    return IsGiven(value) ? OneOfFrom(StringFrom(value), choices) : choices.begin()->second;
  }
  bool Has(const char* key) { return IsGiven(Get(key)); }
  std::vector<Napi::Value> Array(const char* key) { return ArrayFrom(Get(key)); }
  std::vector<Reader> Objects(const char* key) {
    std::vector<Reader> readers;
    for (const Napi::Value& value : Array(key)) Merge(readers.emplace_back(value));
    return readers;
  }
  Napi::Value Get(const char* key) { return object_.IsEmpty() ? Napi::Value() : Napi::Value(object_.Get(key)); }

  std::string StringFrom(const Napi::Value& value) {
    return Check(value.IsString()) ? value.As<Napi::String>().Utf8Value() : std::string();
  }
  int32_t IntegerFrom(const Napi::Value& value) { return WholeFrom<int32_t>(value); }
  uint32_t UnsignedFrom(const Napi::Value& value) { return WholeFrom<uint32_t>(value); }
  std::vector<Napi::Value> ArrayFrom(const Napi::Value& value) {
    std::vector<Napi::Value> elements;
    if (!Check(value.IsArray())) return elements;
    const Napi::Array array = value.As<Napi::Array>();
    const uint32_t length = array.Length();
    for (uint32_t i = 0; i < length; ++i) elements.push_back(array.Get(i));
    return elements;
  }

  bool complete() const { return complete_; }
  // What was read through `part` counts as part of this.
  void Merge(const Reader& part) { Check(part.complete_); }
  // False: the request is not one.
  bool Check(bool good) {
    complete_ = complete_ && good;
    return good;
  }

 private:
  bool IsGiven(const Napi::Value& value) { return Check(!value.IsEmpty()) && !value.IsUndefined(); }
  // A number that does not fit would become another one.
  template <typename T>
  T WholeFrom(const Napi::Value& value) {
    const double number = Check(value.IsNumber()) ? value.As<Napi::Number>().DoubleValue() : 0;
    const bool fits = number >= std::numeric_limits<T>::min() && number <= std::numeric_limits<T>::max() &&
                      number == std::trunc(number);
    return Check(fits) ? static_cast<T>(number) : T{0};
  }
  template <typename T>
  T OneOfFrom(const std::string& name, std::initializer_list<std::pair<std::string_view, T>> choices) {
    for (const auto& [known, value] : choices) {
      if (known == name) return value;
    }
    Check(false);
    return choices.begin()->second;
  }

  Napi::Object object_;
  bool complete_ = true;
};

}  // namespace vmentry::binding
