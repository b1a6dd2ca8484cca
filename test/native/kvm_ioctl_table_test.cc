// The table of flat ioctls against the header's own coding: the number of an ioctl has the size of its argument in it.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "kvm/ioctl_table.h"

namespace {

enum class Object { System, Vm, Vcpu, Device };
enum class Form { None, Scalar, Struct, List, Sized };

struct Row {
  Form form;
  Object object;
  std::string name;
  unsigned long request;
  size_t size = 0;
};

#define NONE_ROW(object, request) {Form::None, Object::object, #request, request},
#define SCALAR_ROW(object, request) {Form::Scalar, Object::object, #request, request},
#define STRUCT_ROW(object, request, type) {Form::Struct, Object::object, #request, request, sizeof(type)},
#define LIST_ROW(object, request, type, count, entry) {Form::List, Object::object, #request, request, sizeof(type)},
#define SIZED_ROW(object, request, type, size) {Form::Sized, Object::object, #request, request, sizeof(type)},

const std::vector<Row>& Rows() {
  static const std::vector<Row> rows = {VMENTRY_KVM_IOCTLS(NONE_ROW, SCALAR_ROW, STRUCT_ROW, LIST_ROW, SIZED_ROW)};
  return rows;
}

}  // namespace

// Entries begin where the structure ends: whoever reserves `sizeof(type) + count * sizeof(entry)` reserves enough.
#define NOTHING(...)
#define COUNT_IS_UNSIGNED(object, request, type, count, ...)                      \
  static_assert(std::is_unsigned_v<decltype(std::declval<type>().count)>, #type); \
  static_assert(offsetof(type, count) + sizeof(std::declval<type>().count) <= sizeof(type), #type);
VMENTRY_KVM_IOCTLS(NOTHING, NOTHING, NOTHING, COUNT_IS_UNSIGNED, COUNT_IS_UNSIGNED)

static_assert(offsetof(kvm_irq_routing, entries) == sizeof(kvm_irq_routing));
static_assert(offsetof(kvm_reg_list, reg) == sizeof(kvm_reg_list));
static_assert(offsetof(kvm_signal_mask, sigset) == sizeof(kvm_signal_mask));
#ifdef __x86_64__
static_assert(offsetof(kvm_cpuid2, entries) == sizeof(kvm_cpuid2));
static_assert(offsetof(kvm_cpuid, entries) == sizeof(kvm_cpuid));
static_assert(offsetof(kvm_msrs, entries) == sizeof(kvm_msrs));
static_assert(offsetof(kvm_msr_list, indices) == sizeof(kvm_msr_list));
static_assert(offsetof(kvm_pmu_event_filter, events) == sizeof(kvm_pmu_event_filter));
static_assert(offsetof(kvm_nested_state, data) == sizeof(kvm_nested_state));
#endif

TEST_CASE("Every row is an ioctl of KVM, whose number has the argument's size in it") {
  for (const Row& row : Rows()) {
    CAPTURE(row.name);
    CHECK(_IOC_TYPE(row.request) == KVMIO);
    // Declared without an argument in 2008, and kept so.
    if (row.name != "KVM_REINJECT_CONTROL") CHECK(_IOC_SIZE(row.request) == row.size);
  }
}

TEST_CASE("An object takes an ioctl in one form only") {
  std::set<std::pair<Object, std::string>> names;
  for (const Row& row : Rows()) {
    CAPTURE(row.name);
    CHECK(names.insert({row.object, row.name}).second);
  }
  CHECK(names.size() == Rows().size());
}

TEST_CASE("The numbers of ioctls that end in an array are those that C has") {
#ifdef __x86_64__
  CHECK(KVM_GET_MSRS == 0xc008ae88);
  CHECK(KVM_GET_SUPPORTED_CPUID == 0xc008ae05);
  CHECK(KVM_GET_MSR_INDEX_LIST == 0xc004ae02);
  CHECK(KVM_GET_NESTED_STATE == 0xc080aebe);
  CHECK(KVM_GET_XSAVE == 0x9000aea4);
#endif
  CHECK(KVM_SET_GSI_ROUTING == 0x4008ae6a);
  CHECK(KVM_GET_REG_LIST == 0xc008aeb0);
  CHECK(KVM_SET_SIGNAL_MASK == 0x4004ae8b);
}

TEST_CASE("No flat ioctl gives a descriptor or takes an address") {
  const std::set<std::string> refused = {"KVM_CREATE_VM",
                                         "KVM_CREATE_VCPU",
                                         "KVM_CREATE_DEVICE",
                                         "KVM_CREATE_GUEST_MEMFD",
                                         "KVM_GET_STATS_FD",
                                         "KVM_ENABLE_CAP",
                                         "KVM_SET_USER_MEMORY_REGION",
                                         "KVM_SET_USER_MEMORY_REGION2",
                                         "KVM_GET_DIRTY_LOG",
                                         "KVM_CLEAR_DIRTY_LOG",
                                         "KVM_X86_SET_MSR_FILTER",
                                         "KVM_GET_DEVICE_ATTR",
                                         "KVM_SET_DEVICE_ATTR",
                                         "KVM_HAS_DEVICE_ATTR",
                                         "KVM_GET_ONE_REG",
                                         "KVM_SET_ONE_REG",
                                         "KVM_SET_XSAVE",
                                         "KVM_GET_XSAVE2",
                                         "KVM_XEN_HVM_CONFIG",
                                         "KVM_XEN_HVM_SET_ATTR",
                                         "KVM_RUN",
                                         "KVM_MEMORY_ENCRYPT_OP",
                                         "KVM_MEMORY_ENCRYPT_REG_REGION"};
  for (const Row& row : Rows()) {
    CAPTURE(row.name);
    CHECK(refused.count(row.name) == 0);
  }
}
