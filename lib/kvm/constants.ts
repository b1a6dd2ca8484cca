// The constants of <linux/kvm.h> and <asm/kvm.h>, Linux 7.2: `KVM_CAP.IRQCHIP` is C's KVM_CAP_IRQCHIP, and so on, the
// name of a group and that of a constant with `_` between. test/unit/kvm-layout.test.ts holds them against the headers,
// and the headers against them.

/**
 * The only version that KVM_GET_API_VERSION has said since 2007.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-get-api-version
 */
export const KVM_API_VERSION = 12;

/**
 * Capabilities: what KVM_CHECK_EXTENSION asks for by number.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-check-extension
 */
export const KVM_CAP = {
  IRQCHIP: 0,
  HLT: 1,
  MMU_SHADOW_CACHE_CONTROL: 2,
  USER_MEMORY: 3,
  SET_TSS_ADDR: 4,
  VAPIC: 6,
  EXT_CPUID: 7,
  CLOCKSOURCE: 8,
  NR_VCPUS: 9,
  NR_MEMSLOTS: 10,
  PIT: 11,
  NOP_IO_DELAY: 12,
  PV_MMU: 13,
  MP_STATE: 14,
  COALESCED_MMIO: 15,
  SYNC_MMU: 16,
  IOMMU: 18,
  DESTROY_MEMORY_REGION_WORKS: 21,
  USER_NMI: 22,
  SET_GUEST_DEBUG: 23,
  REINJECT_CONTROL: 24,
  IRQ_ROUTING: 25,
  IRQ_INJECT_STATUS: 26,
  ASSIGN_DEV_IRQ: 29,
  JOIN_MEMORY_REGIONS_WORKS: 30,
  MCE: 31,
  IRQFD: 32,
  PIT2: 33,
  SET_BOOT_CPU_ID: 34,
  PIT_STATE2: 35,
  IOEVENTFD: 36,
  SET_IDENTITY_MAP_ADDR: 37,
  XEN_HVM: 38,
  ADJUST_CLOCK: 39,
  INTERNAL_ERROR_DATA: 40,
  VCPU_EVENTS: 41,
  S390_PSW: 42,
  PPC_SEGSTATE: 43,
  HYPERV: 44,
  HYPERV_VAPIC: 45,
  HYPERV_SPIN: 46,
  PCI_SEGMENT: 47,
  PPC_PAIRED_SINGLES: 48,
  INTR_SHADOW: 49,
  DEBUGREGS: 50,
  X86_ROBUST_SINGLESTEP: 51,
  PPC_OSI: 52,
  PPC_UNSET_IRQ: 53,
  ENABLE_CAP: 54,
  XSAVE: 55,
  XCRS: 56,
  PPC_GET_PVINFO: 57,
  PPC_IRQ_LEVEL: 58,
  ASYNC_PF: 59,
  TSC_CONTROL: 60,
  GET_TSC_KHZ: 61,
  PPC_BOOKE_SREGS: 62,
  SPAPR_TCE: 63,
  PPC_SMT: 64,
  PPC_RMA: 65,
  MAX_VCPUS: 66,
  PPC_HIOR: 67,
  PPC_PAPR: 68,
  SW_TLB: 69,
  ONE_REG: 70,
  S390_GMAP: 71,
  TSC_DEADLINE_TIMER: 72,
  S390_UCONTROL: 73,
  SYNC_REGS: 74,
  PCI_2_3: 75,
  KVMCLOCK_CTRL: 76,
  SIGNAL_MSI: 77,
  PPC_GET_SMMU_INFO: 78,
  S390_COW: 79,
  PPC_ALLOC_HTAB: 80,
  READONLY_MEM: 81,
  IRQFD_RESAMPLE: 82,
  PPC_BOOKE_WATCHDOG: 83,
  PPC_HTAB_FD: 84,
  S390_CSS_SUPPORT: 85,
  PPC_EPR: 86,
  ARM_PSCI: 87,
  ARM_SET_DEVICE_ADDR: 88,
  DEVICE_CTRL: 89,
  IRQ_MPIC: 90,
  PPC_RTAS: 91,
  IRQ_XICS: 92,
  ARM_EL1_32BIT: 93,
  SPAPR_MULTITCE: 94,
  EXT_EMUL_CPUID: 95,
  HYPERV_TIME: 96,
  IOAPIC_POLARITY_IGNORED: 97,
  ENABLE_CAP_VM: 98,
  S390_IRQCHIP: 99,
  IOEVENTFD_NO_LENGTH: 100,
  VM_ATTRIBUTES: 101,
  ARM_PSCI_0_2: 102,
  PPC_FIXUP_HCALL: 103,
  PPC_ENABLE_HCALL: 104,
  CHECK_EXTENSION_VM: 105,
  S390_USER_SIGP: 106,
  S390_VECTOR_REGISTERS: 107,
  S390_MEM_OP: 108,
  S390_USER_STSI: 109,
  S390_SKEYS: 110,
  MIPS_FPU: 111,
  MIPS_MSA: 112,
  S390_INJECT_IRQ: 113,
  S390_IRQ_STATE: 114,
  PPC_HWRNG: 115,
  DISABLE_QUIRKS: 116,
  X86_SMM: 117,
  MULTI_ADDRESS_SPACE: 118,
  GUEST_DEBUG_HW_BPS: 119,
  GUEST_DEBUG_HW_WPS: 120,
  SPLIT_IRQCHIP: 121,
  IOEVENTFD_ANY_LENGTH: 122,
  HYPERV_SYNIC: 123,
  S390_RI: 124,
  SPAPR_TCE_64: 125,
  ARM_PMU_V3: 126,
  VCPU_ATTRIBUTES: 127,
  MAX_VCPU_ID: 128,
  X2APIC_API: 129,
  S390_USER_INSTR0: 130,
  MSI_DEVID: 131,
  PPC_HTM: 132,
  SPAPR_RESIZE_HPT: 133,
  PPC_MMU_RADIX: 134,
  PPC_MMU_HASH_V3: 135,
  IMMEDIATE_EXIT: 136,
  MIPS_VZ: 137,
  MIPS_TE: 138,
  MIPS_64BIT: 139,
  S390_GS: 140,
  S390_AIS: 141,
  SPAPR_TCE_VFIO: 142,
  X86_DISABLE_EXITS: 143,
  ARM_USER_IRQ: 144,
  S390_CMMA_MIGRATION: 145,
  PPC_FWNMI: 146,
  PPC_SMT_POSSIBLE: 147,
  HYPERV_SYNIC2: 148,
  HYPERV_VP_INDEX: 149,
  S390_AIS_MIGRATION: 150,
  PPC_GET_CPU_CHAR: 151,
  S390_BPB: 152,
  GET_MSR_FEATURES: 153,
  HYPERV_EVENTFD: 154,
  HYPERV_TLBFLUSH: 155,
  S390_HPAGE_1M: 156,
  NESTED_STATE: 157,
  ARM_INJECT_SERROR_ESR: 158,
  MSR_PLATFORM_INFO: 159,
  PPC_NESTED_HV: 160,
  HYPERV_SEND_IPI: 161,
  COALESCED_PIO: 162,
  HYPERV_ENLIGHTENED_VMCS: 163,
  EXCEPTION_PAYLOAD: 164,
  ARM_VM_IPA_SIZE: 165,
  MANUAL_DIRTY_LOG_PROTECT: 166,
  HYPERV_CPUID: 167,
  MANUAL_DIRTY_LOG_PROTECT2: 168,
  PPC_IRQ_XIVE: 169,
  ARM_SVE: 170,
  ARM_PTRAUTH_ADDRESS: 171,
  ARM_PTRAUTH_GENERIC: 172,
  PMU_EVENT_FILTER: 173,
  ARM_IRQ_LINE_LAYOUT_2: 174,
  HYPERV_DIRECT_TLBFLUSH: 175,
  PPC_GUEST_DEBUG_SSTEP: 176,
  ARM_NISV_TO_USER: 177,
  ARM_INJECT_EXT_DABT: 178,
  S390_VCPU_RESETS: 179,
  S390_PROTECTED: 180,
  PPC_SECURE_GUEST: 181,
  HALT_POLL: 182,
  ASYNC_PF_INT: 183,
  LAST_CPU: 184,
  SMALLER_MAXPHYADDR: 185,
  S390_DIAG318: 186,
  STEAL_TIME: 187,
  X86_USER_SPACE_MSR: 188,
  X86_MSR_FILTER: 189,
  ENFORCE_PV_FEATURE_CPUID: 190,
  SYS_HYPERV_CPUID: 191,
  DIRTY_LOG_RING: 192,
  X86_BUS_LOCK_EXIT: 193,
  PPC_DAWR1: 194,
  SET_GUEST_DEBUG2: 195,
  SGX_ATTRIBUTE: 196,
  VM_COPY_ENC_CONTEXT_FROM: 197,
  PTP_KVM: 198,
  HYPERV_ENFORCE_CPUID: 199,
  SREGS2: 200,
  EXIT_HYPERCALL: 201,
  PPC_RPT_INVALIDATE: 202,
  BINARY_STATS_FD: 203,
  EXIT_ON_EMULATION_FAILURE: 204,
  ARM_MTE: 205,
  VM_MOVE_ENC_CONTEXT_FROM: 206,
  VM_GPA_BITS: 207,
  XSAVE2: 208,
  SYS_ATTRIBUTES: 209,
  PPC_AIL_MODE_3: 210,
  S390_MEM_OP_EXTENSION: 211,
  PMU_CAPABILITY: 212,
  DISABLE_QUIRKS2: 213,
  VM_TSC_CONTROL: 214,
  SYSTEM_EVENT_DATA: 215,
  ARM_SYSTEM_SUSPEND: 216,
  S390_PROTECTED_DUMP: 217,
  X86_TRIPLE_FAULT_EVENT: 218,
  X86_NOTIFY_VMEXIT: 219,
  VM_DISABLE_NX_HUGE_PAGES: 220,
  S390_ZPCI_OP: 221,
  S390_CPU_TOPOLOGY: 222,
  DIRTY_LOG_RING_ACQ_REL: 223,
  S390_PROTECTED_ASYNC_DISABLE: 224,
  DIRTY_LOG_RING_WITH_BITMAP: 225,
  PMU_EVENT_MASKED_EVENTS: 226,
  COUNTER_OFFSET: 227,
  ARM_EAGER_SPLIT_CHUNK_SIZE: 228,
  ARM_SUPPORTED_BLOCK_SIZES: 229,
  ARM_SUPPORTED_REG_MASK_RANGES: 230,
  USER_MEMORY2: 231,
  MEMORY_FAULT_INFO: 232,
  MEMORY_ATTRIBUTES: 233,
  GUEST_MEMFD: 234,
  VM_TYPES: 235,
  PRE_FAULT_MEMORY: 236,
  X86_APIC_BUS_CYCLES_NS: 237,
  X86_GUEST_MODE: 238,
  ARM_WRITABLE_IMP_ID_REGS: 239,
  ARM_EL2: 240,
  ARM_EL2_E2H0: 241,
  RISCV_MP_STATE_RESET: 242,
  ARM_CACHEABLE_PFNMAP_SUPPORTED: 243,
  GUEST_MEMFD_FLAGS: 244,
  ARM_SEA_TO_USER: 245,
  S390_USER_OPEREXEC: 246,
  S390_KEYOP: 247,
  S390_VSIE_ESAMODE: 248,
  S390_HPAGE_2G: 249,
} as const;

/**
 * Why KVM_RUN came back: `kvm_run.exit_reason`.
 * @see https://docs.kernel.org/virt/kvm/api.html#the-kvm-run-structure
 */
export const KVM_EXIT = {
  UNKNOWN: 0,
  EXCEPTION: 1,
  IO: 2,
  HYPERCALL: 3,
  DEBUG: 4,
  HLT: 5,
  MMIO: 6,
  IRQ_WINDOW_OPEN: 7,
  SHUTDOWN: 8,
  FAIL_ENTRY: 9,
  INTR: 10,
  SET_TPR: 11,
  TPR_ACCESS: 12,
  S390_SIEIC: 13,
  S390_RESET: 14,
  DCR: 15,
  NMI: 16,
  INTERNAL_ERROR: 17,
  OSI: 18,
  PAPR_HCALL: 19,
  S390_UCONTROL: 20,
  WATCHDOG: 21,
  S390_TSCH: 22,
  EPR: 23,
  SYSTEM_EVENT: 24,
  S390_STSI: 25,
  IOAPIC_EOI: 26,
  HYPERV: 27,
  ARM_NISV: 28,
  X86_RDMSR: 29,
  X86_WRMSR: 30,
  DIRTY_RING_FULL: 31,
  AP_RESET_HOLD: 32,
  X86_BUS_LOCK: 33,
  XEN: 34,
  RISCV_SBI: 35,
  RISCV_CSR: 36,
  NOTIFY: 37,
  LOONGARCH_IOCSR: 38,
  MEMORY_FAULT: 39,
  TDX: 40,
  ARM_SEA: 41,
  ARM_LDST64B: 42,
  SNP_REQ_CERTS: 43,
} as const;

/**
 * Direction of a port access.
 * @see https://docs.kernel.org/virt/kvm/api.html#the-kvm-run-structure
 */
export const KVM_EXIT_IO = {
  IN: 0,
  OUT: 1,
} as const;

/**
 * Flags of a hypercall exit. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#the-kvm-run-structure
 */
export const KVM_EXIT_HYPERCALL = {
  LONG_MODE: 0x1,
} as const;

/**
 * Kinds of Hyper-V exit. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#the-kvm-run-structure
 */
export const KVM_EXIT_HYPERV = {
  SYNIC: 1,
  HCALL: 2,
  SYNDBG: 3,
} as const;

/**
 * Kinds of Xen exit. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#the-kvm-run-structure
 */
export const KVM_EXIT_XEN = {
  HCALL: 1,
} as const;

/**
 * Flags of a synchronous external abort. arm64.
 * @see https://docs.kernel.org/virt/kvm/api.html#the-kvm-run-structure
 */
export const KVM_EXIT_ARM_SEA_FLAG = {
  GPA_VALID: 0x1,
} as const;

/**
 * What went wrong inside KVM.
 * @see https://docs.kernel.org/virt/kvm/api.html#the-kvm-run-structure
 */
export const KVM_INTERNAL_ERROR = {
  EMULATION: 1,
  SIMUL_EX: 2,
  DELIVERY_EV: 3,
  UNEXPECTED_EXIT_REASON: 4,
} as const;

/**
 * What came with KVM_INTERNAL_ERROR_EMULATION.
 * @see https://docs.kernel.org/virt/kvm/api.html#the-kvm-run-structure
 */
export const KVM_INTERNAL_ERROR_EMULATION_FLAG = {
  INSTRUCTION_BYTES: 0x1,
} as const;

/**
 * What the guest asked of the whole machine.
 * @see https://docs.kernel.org/virt/kvm/api.html#the-kvm-run-structure
 */
export const KVM_SYSTEM_EVENT = {
  SHUTDOWN: 1,
  RESET: 2,
  CRASH: 3,
  WAKEUP: 4,
  SUSPEND: 5,
  SEV_TERM: 6,
  TDX_FATAL: 7,
} as const;

/**
 * Kinds of reset. arm64.
 * @see https://docs.kernel.org/virt/kvm/api.html#the-kvm-run-structure
 */
export const KVM_SYSTEM_EVENT_RESET_FLAG = {
  PSCI_RESET2: 0x1,
} as const;

/**
 * Why an MSR access came to user space; also what to enable `KVM_CAP.X86_USER_SPACE_MSR` with. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-cap-x86-user-space-msr
 */
export const KVM_MSR_EXIT_REASON = {
  INVAL: 0x1,
  UNKNOWN: 0x2,
  FILTER: 0x4,
} as const;

/**
 * Flags of a notify exit. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-cap-x86-notify-vmexit
 */
export const KVM_NOTIFY = {
  CONTEXT_INVALID: 0x1,
} as const;

/**
 * Flags of a memory fault.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-cap-memory-fault-info
 */
export const KVM_MEMORY_EXIT_FLAG = {
  PRIVATE: 0x8,
} as const;

/**
 * `kvm_run.flags` after an exit. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#the-kvm-run-structure
 */
export const KVM_RUN_X86 = {
  SMM: 0x1,
  BUS_LOCK: 0x2,
  GUEST_MODE: 0x4,
} as const;

/**
 * Flags of a memory slot.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-set-user-memory-region
 */
export const KVM_MEM = {
  LOG_DIRTY_PAGES: 0x1,
  READONLY: 0x2,
  GUEST_MEMFD: 0x4,
} as const;

/**
 * Attributes of guest-physical memory.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-set-memory-attributes
 */
export const KVM_MEMORY_ATTRIBUTE = {
  PRIVATE: 0x8,
} as const;

/**
 * Flags of KVM_CREATE_GUEST_MEMFD.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-create-guest-memfd
 */
export const GUEST_MEMFD_FLAG = {
  MMAP: 0x1,
  INIT_SHARED: 0x2,
} as const;

/**
 * What to enable `KVM_CAP.MANUAL_DIRTY_LOG_PROTECT2` with.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-cap-manual-dirty-log-protect2
 */
export const KVM_DIRTY_LOG = {
  MANUAL_PROTECT_ENABLE: 0x1,
  INITIALLY_SET: 0x2,
} as const;

/**
 * States of an entry of the dirty ring.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-cap-dirty-log-ring-kvm-cap-dirty-log-ring-acq-rel
 */
export const KVM_DIRTY_GFN_F = {
  DIRTY: 0x1,
  RESET: 0x2,
} as const;

/**
 * What a vCPU is doing.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-get-mp-state
 */
export const KVM_MP_STATE = {
  RUNNABLE: 0,
  UNINITIALIZED: 1,
  INIT_RECEIVED: 2,
  HALTED: 3,
  SIPI_RECEIVED: 4,
  STOPPED: 5,
  CHECK_STOP: 6,
  OPERATING: 7,
  LOAD: 8,
  AP_RESET_HOLD: 9,
  SUSPENDED: 10,
} as const;

/**
 * What KVM_SET_GUEST_DEBUG switches on.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-set-guest-debug
 */
export const KVM_GUESTDBG = {
  ENABLE: 0x1,
  SINGLESTEP: 0x2,
  /** x86 and arm64. */
  USE_SW_BP: 0x10000,
  /** arm64. */
  USE_HW: 0x20000,
  /** x86, like the rest. */
  USE_HW_BP: 0x20000,
  INJECT_DB: 0x40000,
  INJECT_BP: 0x80000,
  BLOCKIRQ: 0x100000,
} as const;

/**
 * The interrupt controllers that KVM_CREATE_IRQCHIP makes. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-get-irqchip
 */
export const KVM_IRQCHIP = {
  PIC_MASTER: 0,
  PIC_SLAVE: 1,
  IOAPIC: 2,
} as const;

/**
 * Flags of KVM_CREATE_PIT2. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-create-pit2
 */
export const KVM_PIT = {
  SPEAKER_DUMMY: 0x1,
} as const;

/**
 * Flags of the timer's state. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-get-pit2
 */
export const KVM_PIT_FLAGS = {
  HPET_LEGACY: 0x1,
  SPEAKER_DATA_ON: 0x2,
} as const;

/**
 * Where a GSI leads.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-set-gsi-routing
 */
export const KVM_IRQ_ROUTING = {
  IRQCHIP: 1,
  MSI: 2,
  S390_ADAPTER: 3,
  HV_SINT: 4,
  XEN_EVTCHN: 5,
} as const;

/**
 * Flags of KVM_IRQFD.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-irqfd
 */
export const KVM_IRQFD_FLAG = {
  DEASSIGN: 0x1,
  RESAMPLE: 0x2,
} as const;

/**
 * Flags of KVM_IOEVENTFD.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-ioeventfd
 */
export const KVM_IOEVENTFD_FLAG = {
  DATAMATCH: 0x1,
  PIO: 0x2,
  DEASSIGN: 0x4,
  VIRTIO_CCW_NOTIFY: 0x8,
} as const;

/**
 * Flags of KVM_SIGNAL_MSI and of MSI routes.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-signal-msi
 */
export const KVM_MSI = {
  VALID_DEVID: 0x1,
} as const;

/**
 * What of `kvm_clock_data` is valid; what KVM_SET_CLOCK is to take into account. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-get-clock
 */
export const KVM_CLOCK = {
  TSC_STABLE: 0x2,
  REALTIME: 0x4,
  HOST_TSC: 0x8,
} as const;

/**
 * Flags of KVM_CREATE_DEVICE.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-create-device
 */
export const KVM_CREATE_DEVICE = {
  TEST: 0x1,
} as const;

/**
 * Kinds of device for KVM_CREATE_DEVICE.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-create-device
 */
export const KVM_DEV_TYPE = {
  FSL_MPIC_20: 1,
  FSL_MPIC_42: 2,
  XICS: 3,
  VFIO: 4,
  ARM_VGIC_V2: 5,
  FLIC: 6,
  ARM_VGIC_V3: 7,
  ARM_VGIC_ITS: 8,
  XIVE: 9,
  ARM_PV_TIME: 10,
  RISCV_AIA: 11,
  LOONGARCH_IPI: 12,
  LOONGARCH_EIOINTC: 13,
  LOONGARCH_PCHPIC: 14,
} as const;

/**
 * Numbers of registers: architecture | size | what the architecture makes of the rest.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-set-one-reg
 */
export const KVM_REG = {
  ARCH_MASK: 0xff00_0000_0000_0000n,
  X86: 0x2000_0000_0000_0000n,
  ARM64: 0x6000_0000_0000_0000n,
  SIZE_MASK: 0x00f0_0000_0000_0000n,
  SIZE_U8: 0x0000_0000_0000_0000n,
  SIZE_U16: 0x0010_0000_0000_0000n,
  SIZE_U32: 0x0020_0000_0000_0000n,
  SIZE_U64: 0x0030_0000_0000_0000n,
  SIZE_U128: 0x0040_0000_0000_0000n,
  SIZE_U256: 0x0050_0000_0000_0000n,
  SIZE_U512: 0x0060_0000_0000_0000n,
  SIZE_U1024: 0x0070_0000_0000_0000n,
  SIZE_U2048: 0x0080_0000_0000_0000n,
} as const;

/**
 * Types of VM for KVM_CREATE_VM; attributes of the system in the groups of `KVM_X86_GRP`. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-create-vm
 */
export const KVM_X86 = {
  DEFAULT_VM: 0,
  SW_PROTECTED_VM: 1,
  SEV_VM: 2,
  SEV_ES_VM: 3,
  SNP_VM: 4,
  TDX_VM: 5,
  /** In group SYSTEM: the XSAVE features that guests may use. */
  XCOMP_GUEST_SUPP: 0,
  /** In group SEV. */
  SEV_VMSA_FEATURES: 0,
  SNP_POLICY_BITS: 1,
  SEV_SNP_REQ_CERTS: 2,
} as const;

/**
 * Groups of attributes of the system. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-set-device-attr-kvm-get-device-attr
 */
export const KVM_X86_GRP = {
  SYSTEM: 0,
  SEV: 1,
} as const;

/**
 * Bits 32–39 of a register's number. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-set-one-reg
 */
export const KVM_X86_REG_TYPE = {
  MSR: 2,
  KVM: 3,
} as const;

/**
 * The group and the attribute of a vCPU's TSC offset. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-set-device-attr-kvm-get-device-attr
 */
export const KVM_VCPU_TSC = {
  CTRL: 0,
  OFFSET: 0,
} as const;

/**
 * What to enable `KVM_CAP.X86_DISABLE_EXITS` with. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-cap-x86-disable-exits
 */
export const KVM_X86_DISABLE_EXITS = {
  MWAIT: 0x1,
  HLT: 0x2,
  PAUSE: 0x4,
  CSTATE: 0x8,
  APERFMPERF: 0x10,
} as const;

/**
 * What to enable `KVM_CAP.X86_NOTIFY_VMEXIT` with. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-cap-x86-notify-vmexit
 */
export const KVM_X86_NOTIFY_VMEXIT = {
  ENABLED: 0x1,
  USER: 0x2,
} as const;

/**
 * What to enable `KVM_CAP.DISABLE_QUIRKS2` with. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-cap-disable-quirks2
 */
export const KVM_X86_QUIRK = {
  LINT0_REENABLED: 0x1,
  CD_NW_CLEARED: 0x2,
  LAPIC_MMIO_HOLE: 0x4,
  OUT_7E_INC_RIP: 0x8,
  MISC_ENABLE_NO_MWAIT: 0x10,
  FIX_HYPERCALL_INSN: 0x20,
  MWAIT_NEVER_UD_FAULTS: 0x40,
  SLOT_ZAP_ALL: 0x80,
  STUFF_FEATURE_MSRS: 0x100,
  IGNORE_GUEST_PAT: 0x200,
  VMCS12_ALLOW_FREEZE_IN_SMM: 0x400,
  NESTED_SVM_SHARED_PAT: 0x800,
} as const;

/**
 * What to enable `KVM_CAP.X2APIC_API` with. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-cap-x2apic-api
 */
export const KVM_X2APIC = {
  API_USE_32BIT_IDS: 0x1,
  API_DISABLE_BROADCAST_QUIRK: 0x2,
  ENABLE_SUPPRESS_EOI_BROADCAST: 0x4,
  DISABLE_SUPPRESS_EOI_BROADCAST: 0x8,
} as const;

/**
 * What to enable `KVM_CAP.X86_BUS_LOCK_EXIT` with. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-cap-x86-bus-lock-exit
 */
export const KVM_BUS_LOCK_DETECTION = {
  OFF: 0x1,
  EXIT: 0x2,
} as const;

/**
 * What to enable `KVM_CAP.PMU_CAPABILITY` with. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-cap-pmu-capability
 */
export const KVM_PMU_CAP = {
  DISABLE: 0x1,
} as const;

/**
 * What a filter does with the events in it.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-set-pmu-event-filter
 */
export const KVM_PMU_EVENT = {
  ALLOW: 0,
  DENY: 1,
} as const;

/**
 * Flags of an event filter. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-set-pmu-event-filter
 */
export const KVM_PMU_EVENT_FLAG = {
  MASKED_EVENTS: 0x1,
} as const;

/**
 * Flags of an MSR filter's range (READ, WRITE) and of the filter (DEFAULT_…). x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-x86-set-msr-filter
 */
export const KVM_MSR_FILTER = {
  READ: 0x1,
  WRITE: 0x2,
  DEFAULT_ALLOW: 0,
  DEFAULT_DENY: 0x1,
} as const;

/**
 * Flags of a CPUID entry. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-get-supported-cpuid
 */
export const KVM_CPUID_FLAG = {
  SIGNIFCANT_INDEX: 0x1,
  STATEFUL_FUNC: 0x2,
  STATE_READ_NEXT: 0x4,
} as const;

/**
 * Flags of `kvm_sregs2`. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-get-sregs2
 */
export const KVM_SREGS2_FLAGS = {
  PDPTRS_VALID: 0x1,
} as const;

/**
 * Register sets that are shared through `kvm_run`. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#the-kvm-run-structure
 */
export const KVM_SYNC_X86 = {
  REGS: 0x1,
  SREGS: 0x2,
  EVENTS: 0x4,
} as const;

/**
 * What of `kvm_vcpu_events` counts when it is set. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-set-vcpu-events
 */
export const KVM_VCPUEVENT_VALID = {
  NMI_PENDING: 0x1,
  SIPI_VECTOR: 0x2,
  SHADOW: 0x4,
  SMM: 0x8,
  PAYLOAD: 0x10,
  TRIPLE_FAULT: 0x20,
} as const;

/**
 * Instructions after which interrupts wait for one more. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-get-vcpu-events
 */
export const KVM_X86_SHADOW_INT = {
  MOV_SS: 0x1,
  STI: 0x2,
} as const;

/**
 * Flags of `kvm_nested_state`. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-get-nested-state
 */
export const KVM_STATE_NESTED = {
  GUEST_MODE: 0x1,
  RUN_PENDING: 0x2,
  EVMCS: 0x4,
  MTF_PENDING: 0x8,
  GIF_SET: 0x100,
} as const;

/**
 * Formats of `kvm_nested_state`. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-get-nested-state
 */
export const KVM_STATE_NESTED_FORMAT = {
  VMX: 0,
  SVM: 1,
} as const;

/**
 * `smm.flags` of VMX's header. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-get-nested-state
 */
export const KVM_STATE_NESTED_SMM = {
  GUEST_MODE: 0x1,
  VMXON: 0x2,
} as const;

/**
 * `flags` of VMX's header. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-get-nested-state
 */
export const KVM_STATE_VMX = {
  PREEMPTION_TIMER_DEADLINE: 0x1,
} as const;

/**
 * Flags of KVM_HYPERV_EVENTFD. x86.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-hyperv-eventfd
 */
export const KVM_HYPERV_EVENTFD = {
  DEASSIGN: 0x1,
} as const;

/**
 * Targets of KVM_ARM_VCPU_INIT. arm64.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-arm-vcpu-init
 */
export const KVM_ARM_TARGET = {
  AEM_V8: 0,
  FOUNDATION_V8: 1,
  CORTEX_A57: 2,
  XGENE_POTENZA: 3,
  CORTEX_A53: 4,
  GENERIC_V8: 5,
} as const;

/**
 * Features of KVM_ARM_VCPU_INIT, as numbers of bits. arm64.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-arm-vcpu-init
 */
export const KVM_ARM_VCPU = {
  POWER_OFF: 0,
  EL1_32BIT: 1,
  PSCI_0_2: 2,
  PMU_V3: 3,
  SVE: 4,
  PTRAUTH_ADDRESS: 5,
  PTRAUTH_GENERIC: 6,
  HAS_EL2: 7,
  HAS_EL2_E2H0: 8,
} as const;

/**
 * The group and the attributes of a vCPU's PMU. arm64.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-set-device-attr-kvm-get-device-attr
 */
export const KVM_ARM_VCPU_PMU_V3 = {
  CTRL: 0,
  IRQ: 0,
  INIT: 1,
  FILTER: 2,
  SET_PMU: 3,
  SET_NR_COUNTERS: 4,
} as const;

/**
 * The group and the attributes of a vCPU's timers. arm64.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-set-device-attr-kvm-get-device-attr
 */
export const KVM_ARM_VCPU_TIMER = {
  CTRL: 1,
  IRQ_VTIMER: 0,
  IRQ_PTIMER: 1,
  IRQ_HVTIMER: 2,
  IRQ_HPTIMER: 3,
} as const;

/**
 * The group and the attribute of a vCPU's stolen time. arm64.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-set-device-attr-kvm-get-device-attr
 */
export const KVM_ARM_VCPU_PVTIME = {
  CTRL: 2,
  IPA: 0,
} as const;

/**
 * Fields of `kvm_irq_level.irq` and their values. arm64.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-irq-line
 */
export const KVM_ARM_IRQ = {
  VCPU2_SHIFT: 28,
  TYPE_SHIFT: 24,
  VCPU_SHIFT: 16,
  NUM_SHIFT: 0,
  TYPE_CPU: 0,
  TYPE_SPI: 1,
  TYPE_PPI: 2,
  CPU_IRQ: 0,
  CPU_FIQ: 1,
} as const;

/**
 * Lines of `kvm_sync_regs.device_irq_level`. arm64.
 * @see https://docs.kernel.org/virt/kvm/api.html#the-kvm-run-structure
 */
export const KVM_ARM_DEV = {
  EL1_VTIMER: 0x1,
  EL1_PTIMER: 0x2,
  PMU: 0x4,
} as const;

/**
 * Devices of KVM_ARM_SET_DEVICE_ADDR. arm64.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-arm-set-device-addr
 */
export const KVM_ARM_DEVICE = {
  ID_SHIFT: 16,
  TYPE_SHIFT: 0,
  VGIC_V2: 0,
} as const;

/**
 * Attributes of the group ADDR of an interrupt controller. arm64.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-set-device-attr-kvm-get-device-attr
 */
export const KVM_VGIC = {
  V2_ADDR_TYPE_DIST: 0,
  V2_ADDR_TYPE_CPU: 1,
  V3_ADDR_TYPE_DIST: 2,
  V3_ADDR_TYPE_REDIST: 3,
  ITS_ADDR_TYPE: 4,
  V3_ADDR_TYPE_REDIST_REGION: 5,
} as const;

/**
 * Groups of attributes of an interrupt controller; attributes of the group CTRL. arm64.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-set-device-attr-kvm-get-device-attr
 */
export const KVM_DEV_ARM_VGIC = {
  GRP_ADDR: 0,
  GRP_DIST_REGS: 1,
  GRP_CPU_REGS: 2,
  GRP_NR_IRQS: 3,
  GRP_CTRL: 4,
  GRP_REDIST_REGS: 5,
  GRP_CPU_SYSREGS: 6,
  GRP_LEVEL_INFO: 7,
  GRP_ITS_REGS: 8,
  GRP_MAINT_IRQ: 9,
  CTRL_INIT: 0,
  SAVE_PENDING_TABLES: 3,
} as const;

/**
 * More attributes of the group CTRL. arm64.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-set-device-attr-kvm-get-device-attr
 */
export const KVM_DEV_ARM_ITS = {
  SAVE_TABLES: 1,
  RESTORE_TABLES: 2,
  CTRL_RESET: 4,
} as const;

/**
 * Bits 16–31 of a register's number. arm64.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-set-one-reg
 */
export const KVM_REG_ARM = {
  CORE: 0x100000n,
  DEMUX: 0x110000n,
  FW: 0x140000n,
  FW_FEAT_BMAP: 0x160000n,
} as const;

/**
 * More of them. arm64.
 * @see https://docs.kernel.org/virt/kvm/api.html#kvm-set-one-reg
 */
export const KVM_REG_ARM64 = {
  SYSREG: 0x130000n,
  SVE: 0x150000n,
} as const;

for (const group of [
  KVM_CAP,
  KVM_EXIT,
  KVM_EXIT_IO,
  KVM_EXIT_HYPERCALL,
  KVM_EXIT_HYPERV,
  KVM_EXIT_XEN,
  KVM_EXIT_ARM_SEA_FLAG,
  KVM_INTERNAL_ERROR,
  KVM_INTERNAL_ERROR_EMULATION_FLAG,
  KVM_SYSTEM_EVENT,
  KVM_SYSTEM_EVENT_RESET_FLAG,
  KVM_MSR_EXIT_REASON,
  KVM_NOTIFY,
  KVM_MEMORY_EXIT_FLAG,
  KVM_RUN_X86,
  KVM_MEM,
  KVM_MEMORY_ATTRIBUTE,
  GUEST_MEMFD_FLAG,
  KVM_DIRTY_LOG,
  KVM_DIRTY_GFN_F,
  KVM_MP_STATE,
  KVM_GUESTDBG,
  KVM_IRQCHIP,
  KVM_PIT,
  KVM_PIT_FLAGS,
  KVM_IRQ_ROUTING,
  KVM_IRQFD_FLAG,
  KVM_IOEVENTFD_FLAG,
  KVM_MSI,
  KVM_CLOCK,
  KVM_CREATE_DEVICE,
  KVM_DEV_TYPE,
  KVM_REG,
  KVM_X86,
  KVM_X86_GRP,
  KVM_X86_REG_TYPE,
  KVM_VCPU_TSC,
  KVM_X86_DISABLE_EXITS,
  KVM_X86_NOTIFY_VMEXIT,
  KVM_X86_QUIRK,
  KVM_X2APIC,
  KVM_BUS_LOCK_DETECTION,
  KVM_PMU_CAP,
  KVM_PMU_EVENT,
  KVM_PMU_EVENT_FLAG,
  KVM_MSR_FILTER,
  KVM_CPUID_FLAG,
  KVM_SREGS2_FLAGS,
  KVM_SYNC_X86,
  KVM_VCPUEVENT_VALID,
  KVM_X86_SHADOW_INT,
  KVM_STATE_NESTED,
  KVM_STATE_NESTED_FORMAT,
  KVM_STATE_NESTED_SMM,
  KVM_STATE_VMX,
  KVM_HYPERV_EVENTFD,
  KVM_ARM_TARGET,
  KVM_ARM_VCPU,
  KVM_ARM_VCPU_PMU_V3,
  KVM_ARM_VCPU_TIMER,
  KVM_ARM_VCPU_PVTIME,
  KVM_ARM_IRQ,
  KVM_ARM_DEV,
  KVM_ARM_DEVICE,
  KVM_VGIC,
  KVM_DEV_ARM_VGIC,
  KVM_DEV_ARM_ITS,
  KVM_REG_ARM,
  KVM_REG_ARM64,
]) {
  Object.freeze(group);
}
