// Every ioctl of KVM whose argument is all there is to it: no address of this process inside, no descriptor that comes
// back. Such an ioctl can be made with bytes from anywhere, once their number is right.
//
// A row is a form, the object that takes it, its name, and what the argument is. An ioctl that two objects take has two
// rows. Sizes and offsets come from the C types, so that they cannot drift.
//   NONE(object, request)                            no argument
//   SCALAR(object, request)                          a number, by value
//   STRUCT(object, request, type)                    one structure, by address
//   LIST(object, request, type, count, entry)        one that ends in as many entries as its member `count` says
//   SIZED(object, request, type, size)               one whose member `size` says how many bytes there are, itself
//   included
// The kernel believes `count` and `size`: the buffer must be checked against them before the call, and must be one that
// nobody can change meanwhile, another Worker in a SharedArrayBuffer for one.
//
// With methods of their own instead:
//   descriptors come back: KVM_CREATE_VM, _VCPU, _DEVICE, _GUEST_MEMFD, KVM_GET_STATS_FD
//   addresses inside: KVM_SET_USER_MEMORY_REGION, _REGION2, KVM_GET_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG,
//   KVM_X86_SET_MSR_FILTER,
//     KVM_GET_, KVM_SET_, KVM_HAS_DEVICE_ATTR, KVM_GET_, KVM_SET_ONE_REG
//   KVM_ENABLE_CAP: with KVM_CAP_HYPERV_ENLIGHTENED_VMCS the kernel writes where args[0] points
//   KVM_SET_XSAVE, KVM_GET_XSAVE2: as many bytes as KVM_CHECK_EXTENSION(KVM_CAP_XSAVE2) of the VM says, which may be
//   more
//     than the structure has
//   KVM_RUN
#pragma once

#include "kvm/uapi.h"

#define VMENTRY_KVM_IOCTLS_COMMON(NONE, SCALAR, STRUCT, LIST, SIZED)        \
  NONE(System, KVM_GET_API_VERSION)                                         \
  NONE(System, KVM_GET_VCPU_MMAP_SIZE)                                      \
  SCALAR(System, KVM_CHECK_EXTENSION)                                       \
  SCALAR(Vm, KVM_CHECK_EXTENSION)                                           \
  /* Interrupts. */                                                         \
  NONE(Vm, KVM_CREATE_IRQCHIP)                                              \
  STRUCT(Vm, KVM_IRQ_LINE, kvm_irq_level)                                   \
  STRUCT(Vm, KVM_IRQ_LINE_STATUS, kvm_irq_level)                            \
  STRUCT(Vm, KVM_IRQFD, kvm_irqfd)                                          \
  STRUCT(Vm, KVM_IOEVENTFD, kvm_ioeventfd)                                  \
  STRUCT(Vm, KVM_SIGNAL_MSI, kvm_msi)                                       \
  LIST(Vm, KVM_SET_GSI_ROUTING, kvm_irq_routing, nr, kvm_irq_routing_entry) \
  /* Memory. */                                                             \
  STRUCT(Vm, KVM_REGISTER_COALESCED_MMIO, kvm_coalesced_mmio_zone)          \
  STRUCT(Vm, KVM_UNREGISTER_COALESCED_MMIO, kvm_coalesced_mmio_zone)        \
  STRUCT(Vm, KVM_SET_MEMORY_ATTRIBUTES, kvm_memory_attributes)              \
  NONE(Vm, KVM_RESET_DIRTY_RINGS)                                           \
  STRUCT(Vcpu, KVM_PRE_FAULT_MEMORY, kvm_pre_fault_memory)                  \
  /* Virtual processors. */                                                 \
  STRUCT(Vcpu, KVM_GET_MP_STATE, kvm_mp_state)                              \
  STRUCT(Vcpu, KVM_SET_MP_STATE, kvm_mp_state)                              \
  STRUCT(Vcpu, KVM_GET_VCPU_EVENTS, kvm_vcpu_events)                        \
  STRUCT(Vcpu, KVM_SET_VCPU_EVENTS, kvm_vcpu_events)                        \
  STRUCT(Vcpu, KVM_SET_GUEST_DEBUG, kvm_guest_debug)                        \
  LIST(Vcpu, KVM_GET_REG_LIST, kvm_reg_list, n, __u64)                      \
  LIST(Vcpu, KVM_SET_SIGNAL_MASK, kvm_signal_mask, len, __u8)

#if defined(__x86_64__)

#define VMENTRY_KVM_IOCTLS_ARCH(NONE, SCALAR, STRUCT, LIST, SIZED)             \
  LIST(System, KVM_GET_SUPPORTED_CPUID, kvm_cpuid2, nent, kvm_cpuid_entry2)    \
  LIST(System, KVM_GET_EMULATED_CPUID, kvm_cpuid2, nent, kvm_cpuid_entry2)     \
  LIST(System, KVM_GET_SUPPORTED_HV_CPUID, kvm_cpuid2, nent, kvm_cpuid_entry2) \
  LIST(System, KVM_GET_MSR_INDEX_LIST, kvm_msr_list, nmsrs, __u32)             \
  LIST(System, KVM_GET_MSR_FEATURE_INDEX_LIST, kvm_msr_list, nmsrs, __u32)     \
  LIST(System, KVM_GET_MSRS, kvm_msrs, nmsrs, kvm_msr_entry)                   \
  STRUCT(System, KVM_X86_GET_MCE_CAP_SUPPORTED, __u64)                         \
  /* The board. */                                                             \
  SCALAR(Vm, KVM_SET_TSS_ADDR)                                                 \
  STRUCT(Vm, KVM_SET_IDENTITY_MAP_ADDR, __u64)                                 \
  SCALAR(Vm, KVM_SET_NR_MMU_PAGES)                                             \
  SCALAR(Vm, KVM_SET_BOOT_CPU_ID)                                              \
  STRUCT(Vm, KVM_GET_IRQCHIP, kvm_irqchip)                                     \
  STRUCT(Vm, KVM_SET_IRQCHIP, kvm_irqchip)                                     \
  NONE(Vm, KVM_CREATE_PIT)                                                     \
  STRUCT(Vm, KVM_CREATE_PIT2, kvm_pit_config)                                  \
  STRUCT(Vm, KVM_GET_PIT, kvm_pit_state)                                       \
  STRUCT(Vm, KVM_SET_PIT, kvm_pit_state)                                       \
  STRUCT(Vm, KVM_GET_PIT2, kvm_pit_state2)                                     \
  STRUCT(Vm, KVM_SET_PIT2, kvm_pit_state2)                                     \
  STRUCT(Vm, KVM_REINJECT_CONTROL, kvm_reinject_control)                       \
  STRUCT(Vm, KVM_GET_CLOCK, kvm_clock_data)                                    \
  STRUCT(Vm, KVM_SET_CLOCK, kvm_clock_data)                                    \
  NONE(Vm, KVM_GET_TSC_KHZ)                                                    \
  SCALAR(Vm, KVM_SET_TSC_KHZ)                                                  \
  LIST(Vm, KVM_SET_PMU_EVENT_FILTER, kvm_pmu_event_filter, nevents, __u64)     \
  STRUCT(Vm, KVM_HYPERV_EVENTFD, kvm_hyperv_eventfd)                           \
  STRUCT(Vm, KVM_XEN_HVM_EVTCHN_SEND, kvm_irq_routing_xen_evtchn)              \
  /* Registers. */                                                             \
  STRUCT(Vcpu, KVM_GET_REGS, kvm_regs)                                         \
  STRUCT(Vcpu, KVM_SET_REGS, kvm_regs)                                         \
  STRUCT(Vcpu, KVM_GET_SREGS, kvm_sregs)                                       \
  STRUCT(Vcpu, KVM_SET_SREGS, kvm_sregs)                                       \
  STRUCT(Vcpu, KVM_GET_SREGS2, kvm_sregs2)                                     \
  STRUCT(Vcpu, KVM_SET_SREGS2, kvm_sregs2)                                     \
  STRUCT(Vcpu, KVM_GET_FPU, kvm_fpu)                                           \
  STRUCT(Vcpu, KVM_SET_FPU, kvm_fpu)                                           \
  STRUCT(Vcpu, KVM_GET_XSAVE, kvm_xsave)                                       \
  STRUCT(Vcpu, KVM_GET_XCRS, kvm_xcrs)                                         \
  STRUCT(Vcpu, KVM_SET_XCRS, kvm_xcrs)                                         \
  STRUCT(Vcpu, KVM_GET_DEBUGREGS, kvm_debugregs)                               \
  STRUCT(Vcpu, KVM_SET_DEBUGREGS, kvm_debugregs)                               \
  LIST(Vcpu, KVM_GET_MSRS, kvm_msrs, nmsrs, kvm_msr_entry)                     \
  LIST(Vcpu, KVM_SET_MSRS, kvm_msrs, nmsrs, kvm_msr_entry)                     \
  LIST(Vcpu, KVM_SET_CPUID, kvm_cpuid, nent, kvm_cpuid_entry)                  \
  LIST(Vcpu, KVM_GET_CPUID2, kvm_cpuid2, nent, kvm_cpuid_entry2)               \
  LIST(Vcpu, KVM_SET_CPUID2, kvm_cpuid2, nent, kvm_cpuid_entry2)               \
  LIST(Vcpu, KVM_GET_SUPPORTED_HV_CPUID, kvm_cpuid2, nent, kvm_cpuid_entry2)   \
  STRUCT(Vcpu, KVM_GET_LAPIC, kvm_lapic_state)                                 \
  STRUCT(Vcpu, KVM_SET_LAPIC, kvm_lapic_state)                                 \
  SIZED(Vcpu, KVM_GET_NESTED_STATE, kvm_nested_state, size)                    \
  SIZED(Vcpu, KVM_SET_NESTED_STATE, kvm_nested_state, size)                    \
  /* Everything else that a virtual processor can be told. */                  \
  STRUCT(Vcpu, KVM_TRANSLATE, kvm_translation)                                 \
  STRUCT(Vcpu, KVM_INTERRUPT, kvm_interrupt)                                   \
  NONE(Vcpu, KVM_NMI)                                                          \
  NONE(Vcpu, KVM_SMI)                                                          \
  NONE(Vcpu, KVM_KVMCLOCK_CTRL)                                                \
  NONE(Vcpu, KVM_GET_TSC_KHZ)                                                  \
  SCALAR(Vcpu, KVM_SET_TSC_KHZ)                                                \
  STRUCT(Vcpu, KVM_TPR_ACCESS_REPORTING, kvm_tpr_access_ctl)                   \
  STRUCT(Vcpu, KVM_SET_VAPIC_ADDR, kvm_vapic_addr)                             \
  STRUCT(Vcpu, KVM_X86_SETUP_MCE, __u64)                                       \
  STRUCT(Vcpu, KVM_X86_SET_MCE, kvm_x86_mce)

#elif defined(__aarch64__)

#define VMENTRY_KVM_IOCTLS_ARCH(NONE, SCALAR, STRUCT, LIST, SIZED) \
  STRUCT(Vm, KVM_ARM_SET_DEVICE_ADDR, kvm_arm_device_addr)         \
  STRUCT(Vm, KVM_ARM_PREFERRED_TARGET, kvm_vcpu_init)              \
  STRUCT(Vm, KVM_ARM_SET_COUNTER_OFFSET, kvm_arm_counter_offset)   \
  STRUCT(Vcpu, KVM_ARM_VCPU_INIT, kvm_vcpu_init)                   \
  STRUCT(Vcpu, KVM_ARM_VCPU_FINALIZE, int)

#else
#error "KVM: x86-64 and arm64 only"
#endif

#define VMENTRY_KVM_IOCTLS(NONE, SCALAR, STRUCT, LIST, SIZED)  \
  VMENTRY_KVM_IOCTLS_COMMON(NONE, SCALAR, STRUCT, LIST, SIZED) \
  VMENTRY_KVM_IOCTLS_ARCH(NONE, SCALAR, STRUCT, LIST, SIZED)
