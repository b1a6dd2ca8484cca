// The structures of <linux/kvm.h> and <asm/kvm.h> under their C names. test/unit/kvm-layout.test.ts holds them
// against the headers.
//
// Here are also structures with addresses of this process in them (`userspace_addr`, `dirty_bitmap` …): to read what
// strace or a debugger shows. Methods take memory and buffers instead, never such an address.
import { type Input, type Layouts, layouts, type Value } from './layout.js';

const COMMON = {
  /**
   * A range of guest-physical memory that is memory of this process. `flags`: `KVM_MEM`; sizes and addresses in
   * bytes, multiples of the page size; a size of 0 removes the slot.
   * @see KVM_SET_USER_MEMORY_REGION
   */
  kvm_userspace_memory_region: {
    /** Bits 0–15: the slot; bits 16–31: the address space. */
    slot: 'u32',
    flags: 'u32',
    guest_phys_addr: 'u64',
    memory_size: 'u64',
    userspace_addr: 'u64',
  },
  /**
   * The same, with memory of a guest_memfd behind it.
   * @see KVM_SET_USER_MEMORY_REGION2
   */
  kvm_userspace_memory_region2: {
    slot: 'u32',
    flags: 'u32',
    guest_phys_addr: 'u64',
    memory_size: 'u64',
    userspace_addr: 'u64',
    guest_memfd_offset: 'u64',
    guest_memfd: 'u32',
    pad1: 'u32?',
    pad2: 'u64[14]?',
  },
  /**
   * `size` in bytes; `flags`: `GUEST_MEMFD_FLAG`.
   * @see KVM_CREATE_GUEST_MEMFD
   */
  kvm_create_guest_memfd: { size: 'u64', flags: 'u64', reserved: 'u64[6]?' },
  /**
   * `attributes`: `KVM_MEMORY_ATTRIBUTE`, for `size` bytes from the guest-physical `address` on.
   * @see KVM_SET_MEMORY_ATTRIBUTES
   */
  kvm_memory_attributes: { address: 'u64', size: 'u64', attributes: 'u64', flags: 'u64' },
  /**
   * Faults a guest-physical range in; comes back with what is left of it.
   * @see KVM_PRE_FAULT_MEMORY
   */
  kvm_pre_fault_memory: { gpa: 'u64', size: 'u64', flags: 'u64', padding: 'u64[5]?' },
  /**
   * One bit a page.
   * @see KVM_GET_DIRTY_LOG
   */
  kvm_dirty_log: { slot: 'u32', padding1: 'u32?', dirty_bitmap: 'u64' },
  /**
   * `first_page` is a multiple of 64; `num_pages`, too, except at the end of the slot.
   * @see KVM_CLEAR_DIRTY_LOG
   */
  kvm_clear_dirty_log: { slot: 'u32', num_pages: 'u32', first_page: 'u64', dirty_bitmap: 'u64' },
  /**
   * An entry of the dirty ring: page `offset` of a slot. `flags`: `KVM_DIRTY_GFN_F`.
   * @see KVM_CAP_DIRTY_LOG_RING
   */
  kvm_dirty_gfn: { flags: 'u32', slot: 'u32', offset: 'u64' },
  /**
   * Writes to this range are collected in the ring instead of causing exits. `pio`: 1 for ports.
   * @see KVM_REGISTER_COALESCED_MMIO
   */
  kvm_coalesced_mmio_zone: { addr: 'u64', size: 'u32', pio: 'u32' },
  /** One collected write of `len` bytes. */
  kvm_coalesced_mmio: { phys_addr: 'u64', len: 'u32', pio: 'u32', data: 'u8[8]' },
  /** The ring, a page of the vCPU's mapping: `kvm_coalesced_mmio` from index `first` up to `last` follow it. */
  kvm_coalesced_mmio_ring: { first: 'u32', last: 'u32' },

  /**
   * x86: `irq` is a GSI. arm64: bits 28–31 and 16–23 the vCPU, 24–27 the type (`KVM_ARM_IRQ`), 0–15 the number.
   * Comes back from KVM_IRQ_LINE_STATUS with a status in `irq`, signed.
   * @see KVM_IRQ_LINE
   */
  kvm_irq_level: { irq: 'u32', level: 'u32' },
  /**
   * `fd` is an eventfd that raises `gsi`; `flags`: `KVM_IRQFD_FLAG`; `resamplefd` is signalled at its end.
   * @see KVM_IRQFD
   */
  kvm_irqfd: { fd: 'u32', gsi: 'u32', flags: 'u32', resamplefd: 'u32', pad: 'u8[16]?' },
  /**
   * A write of `len` bytes (0: any number) to `addr`, with FLAG_DATAMATCH only of `datamatch`, signals the eventfd
   * `fd`. `flags`: `KVM_IOEVENTFD_FLAG`.
   * @see KVM_IOEVENTFD
   */
  kvm_ioeventfd: { datamatch: 'u64', addr: 'u64', len: 'u32', fd: 'i32', flags: 'u32', pad: 'u8[36]?' },
  /**
   * A message-signalled interrupt. `flags`: `KVM_MSI`, with which `devid` counts.
   * @see KVM_SIGNAL_MSI
   */
  kvm_msi: { address_lo: 'u32', address_hi: 'u32', data: 'u32', flags: 'u32', devid: 'u32?', pad: 'u8[12]?' },
  /**
   * Where GSIs lead.
   * @see KVM_SET_GSI_ROUTING
   */
  kvm_irq_routing: { nr: 'u32?', flags: 'u32', entries: 'kvm_irq_routing_entry[nr]' },
  /** `type`: `KVM_IRQ_ROUTING`, it says which member of `u` counts. */
  kvm_irq_routing_entry: {
    gsi: 'u32',
    type: 'u32',
    flags: 'u32',
    pad: 'u32?',
    u: {
      union: {
        irqchip: 'kvm_irq_routing_irqchip',
        msi: 'kvm_irq_routing_msi',
        adapter: 'kvm_irq_routing_s390_adapter',
        hv_sint: 'kvm_irq_routing_hv_sint',
        xen_evtchn: 'kvm_irq_routing_xen_evtchn',
        pad: 'u32[8]',
      },
    },
  },
  /** `irqchip`: `KVM_IRQCHIP`. */
  kvm_irq_routing_irqchip: { irqchip: 'u32', pin: 'u32' },
  kvm_irq_routing_msi: { address_lo: 'u32', address_hi: 'u32', data: 'u32', devid: 'u32?' },
  kvm_irq_routing_s390_adapter: {
    ind_addr: 'u64',
    summary_addr: 'u64',
    ind_offset: 'u64',
    summary_offset: 'u32',
    adapter_id: 'u32',
  },
  kvm_irq_routing_hv_sint: { vcpu: 'u32', sint: 'u32' },
  /** @see KVM_XEN_HVM_EVTCHN_SEND */
  kvm_irq_routing_xen_evtchn: { port: 'u32', vcpu: 'u32', priority: 'u32' },

  /**
   * What `args` mean depends on the capability; `flags` is 0.
   * @see KVM_ENABLE_CAP
   */
  kvm_enable_cap: { cap: 'u32', flags: 'u32', args: 'u64[4]', pad: 'u8[64]?' },
  /**
   * `type`: `KVM_DEV_TYPE`; `flags`: `KVM_CREATE_DEVICE`; comes back with `fd`.
   * @see KVM_CREATE_DEVICE
   */
  kvm_create_device: { type: 'u32', fd: 'u32', flags: 'u32' },
  /**
   * `addr` points to the value, which has a form of its own for each attribute.
   * @see KVM_SET_DEVICE_ATTR
   */
  kvm_device_attr: { flags: 'u32', group: 'u32', attr: 'u64', addr: 'u64' },
  /**
   * The guest's clock in nanoseconds. `flags`: `KVM_CLOCK`, they say which of the rest are valid: `realtime` is the
   * host's time of day in nanoseconds, `host_tsc` its TSC at that moment.
   * @see KVM_GET_CLOCK
   */
  kvm_clock_data: {
    clock: 'u64',
    flags: 'u32',
    pad0: 'u32?',
    realtime: 'u64',
    host_tsc: 'u64',
    pad: 'u32[4]?',
  },
  /**
   * A register by number (`KVM_REG`, then the architecture's own coding); `addr` points to its value.
   * @see KVM_GET_ONE_REG
   */
  kvm_one_reg: { id: 'u64', addr: 'u64' },
  /**
   * The numbers of all registers for KVM_GET_ONE_REG.
   * @see KVM_GET_REG_LIST
   */
  kvm_reg_list: { n: 'u64?', reg: 'u64[n]' },
  /** @see KVM_ARM_SET_DEVICE_ADDR */
  kvm_arm_device_addr: { id: 'u64', addr: 'u64' },

  /**
   * `mp_state`: `KVM_MP_STATE`.
   * @see KVM_GET_MP_STATE
   */
  kvm_mp_state: { mp_state: 'u32' },
  /**
   * Comes back with the guest-physical address; `valid`, `writeable` and `usermode` are 0 or 1.
   * @see KVM_TRANSLATE
   */
  kvm_translation: {
    linear_address: 'u64',
    physical_address: 'u64',
    valid: 'u8',
    writeable: 'u8',
    usermode: 'u8',
    pad: 'u8[5]?',
  },
  /**
   * `irq` is an interrupt vector on x86.
   * @see KVM_INTERRUPT
   */
  kvm_interrupt: { irq: 'u32' },
  /**
   * Blocked signals while the guest runs, a bit each from signal 1 on, as the kernel's sigset_t: 8 bytes.
   * @see KVM_SET_SIGNAL_MASK
   */
  kvm_signal_mask: { len: 'u32?', sigset: 'u8[len]' },

  /**
   * What a vCPU's mapping begins with.
   * @see https://docs.kernel.org/virt/kvm/api.html#the-kvm-run-structure
   */
  kvm_run: {
    /** 1: an exit is wanted as soon as an interrupt can be injected. */
    request_interrupt_window: 'u8',
    /** 1: KVM_RUN ends at once with EINTR. */
    immediate_exit: 'u8',
    padding1: 'u8[6]?',
    /** `KVM_EXIT`: it says what `exit` means. */
    exit_reason: 'u32',
    ready_for_interrupt_injection: 'u8',
    /** The guest's interrupt flag; only without an interrupt controller in the kernel. */
    if_flag: 'u8',
    /** x86: `KVM_RUN_X86`. */
    flags: 'u16',
    /** Only without an interrupt controller in the kernel. */
    cr8: 'u64',
    apic_base: 'u64',
    /** A union without a name in C. */
    exit: 'u8[256]',
    /** x86: `KVM_SYNC_X86`, the register sets that the kernel stores in `s` at each exit. */
    kvm_valid_regs: 'u64',
    /** The register sets that it loads from `s` at the next entry. */
    kvm_dirty_regs: 'u64',
    /** Begins with a `kvm_sync_regs`. */
    s: 'u8[2048]',
  },
} as const;

const X86 = {
  /**
   * The general registers.
   * @see KVM_GET_REGS
   */
  kvm_regs: {
    rax: 'u64',
    rbx: 'u64',
    rcx: 'u64',
    rdx: 'u64',
    rsi: 'u64',
    rdi: 'u64',
    rsp: 'u64',
    rbp: 'u64',
    r8: 'u64',
    r9: 'u64',
    r10: 'u64',
    r11: 'u64',
    r12: 'u64',
    r13: 'u64',
    r14: 'u64',
    r15: 'u64',
    rip: 'u64',
    rflags: 'u64',
  },
  /** A segment register with what the processor caches of its descriptor. */
  kvm_segment: {
    base: 'u64',
    /** In bytes, whatever `g` says. */
    limit: 'u32',
    selector: 'u16',
    type: 'u8',
    present: 'u8',
    dpl: 'u8',
    db: 'u8',
    /** 1: code or data; 0: system. */
    s: 'u8',
    /** 1: 64-bit code. */
    l: 'u8',
    g: 'u8',
    avl: 'u8',
    unusable: 'u8',
    padding: 'u8?',
  },
  /** A descriptor table register. */
  kvm_dtable: { base: 'u64', limit: 'u16', padding: 'u16[3]?' },
  /**
   * Segments, control registers and pending external interrupts.
   * @see KVM_GET_SREGS
   */
  kvm_sregs: {
    cs: 'kvm_segment',
    ds: 'kvm_segment',
    es: 'kvm_segment',
    fs: 'kvm_segment',
    gs: 'kvm_segment',
    ss: 'kvm_segment',
    tr: 'kvm_segment',
    ldt: 'kvm_segment',
    gdt: 'kvm_dtable',
    idt: 'kvm_dtable',
    cr0: 'u64',
    cr2: 'u64',
    cr3: 'u64',
    cr4: 'u64',
    cr8: 'u64',
    efer: 'u64',
    apic_base: 'u64',
    /** At most one bit of the 256 is set: the vector that has been acknowledged but not injected. */
    interrupt_bitmap: 'u64[4]',
  },
  /**
   * The same without the bitmap, with the PAE pointers. `flags`: `KVM_SREGS2_FLAGS`.
   * @see KVM_GET_SREGS2
   */
  kvm_sregs2: {
    cs: 'kvm_segment',
    ds: 'kvm_segment',
    es: 'kvm_segment',
    fs: 'kvm_segment',
    gs: 'kvm_segment',
    ss: 'kvm_segment',
    tr: 'kvm_segment',
    ldt: 'kvm_segment',
    gdt: 'kvm_dtable',
    idt: 'kvm_dtable',
    cr0: 'u64',
    cr2: 'u64',
    cr3: 'u64',
    cr4: 'u64',
    cr8: 'u64',
    efer: 'u64',
    apic_base: 'u64',
    flags: 'u64',
    pdptrs: 'u64[4]',
  },
  /**
   * x87 and SSE.
   * @see KVM_GET_FPU
   */
  kvm_fpu: {
    fpr: 'u8[8][16]',
    fcw: 'u16',
    fsw: 'u16',
    /** One bit a register, as FXSAVE writes it. */
    ftwx: 'u8',
    pad1: 'u8?',
    last_opcode: 'u16',
    last_ip: 'u64',
    last_dp: 'u64',
    xmm: 'u8[16][16]',
    mxcsr: 'u32',
    pad2: 'u32?',
  },
  /**
   * The XSAVE area, laid out as CPUID leaf 0xD of the host says. KVM_GET_XSAVE2 has more of it, where
   * `KVM_CAP.XSAVE2` says so.
   * @see KVM_GET_XSAVE
   */
  kvm_xsave: { region: 'u32[1024]' },
  /** An extended control register by number; 0 is XCR0. */
  kvm_xcr: { xcr: 'u32', reserved: 'u32?', value: 'u64' },
  /**
   * `nr_xcrs` of the 16 count.
   * @see KVM_GET_XCRS
   */
  kvm_xcrs: { nr_xcrs: 'u32', flags: 'u32', xcrs: 'kvm_xcr[16]', padding: 'u64[16]?' },
  /** @see KVM_GET_DEBUGREGS */
  kvm_debugregs: { db: 'u64[4]', dr6: 'u64', dr7: 'u64', flags: 'u64', reserved: 'u64[9]?' },
  kvm_msr_entry: { index: 'u32', reserved: 'u32?', data: 'u64' },
  /**
   * The ioctl's result is how many entries went well, from the first on.
   * @see KVM_GET_MSRS
   */
  kvm_msrs: { nmsrs: 'u32?', pad: 'u32?', entries: 'kvm_msr_entry[nmsrs]' },
  /** @see KVM_GET_MSR_INDEX_LIST */
  kvm_msr_list: { nmsrs: 'u32?', indices: 'u32[nmsrs]' },
  /** A set bit in `bitmap` allows MSR `base` + its number what `flags` (`KVM_MSR_FILTER`) name. */
  kvm_msr_filter_range: { flags: 'u32', nmsrs: 'u32', base: 'u32', bitmap: 'u64' },
  /** @see KVM_X86_SET_MSR_FILTER */
  kvm_msr_filter: { flags: 'u32', ranges: 'kvm_msr_filter_range[16]' },
  /** `flags`: `KVM_CPUID_FLAG`. */
  kvm_cpuid_entry2: {
    function: 'u32',
    index: 'u32',
    flags: 'u32',
    eax: 'u32',
    ebx: 'u32',
    ecx: 'u32',
    edx: 'u32',
    padding: 'u32[3]?',
  },
  /** @see KVM_SET_CPUID2 */
  kvm_cpuid2: { nent: 'u32?', padding: 'u32?', entries: 'kvm_cpuid_entry2[nent]' },
  kvm_cpuid_entry: { function: 'u32', eax: 'u32', ebx: 'u32', ecx: 'u32', edx: 'u32', padding: 'u32?' },
  /** @see KVM_SET_CPUID */
  kvm_cpuid: { nent: 'u32?', padding: 'u32?', entries: 'kvm_cpuid_entry[nent]' },
  /**
   * The local APIC's registers as they are in its page, 16 bytes apart.
   * @see KVM_GET_LAPIC
   */
  kvm_lapic_state: { regs: 'u8[1024]' },
  /**
   * Events that have been raised but not taken. `flags`: `KVM_VCPUEVENT_VALID`, which of them count when set.
   * @see KVM_GET_VCPU_EVENTS
   */
  kvm_vcpu_events: {
    exception: { injected: 'u8', nr: 'u8', has_error_code: 'u8', pending: 'u8', error_code: 'u32' },
    /** `shadow`: `KVM_X86_SHADOW_INT`. */
    interrupt: { injected: 'u8', nr: 'u8', soft: 'u8', shadow: 'u8' },
    nmi: { injected: 'u8', pending: 'u8', masked: 'u8', pad: 'u8?' },
    sipi_vector: 'u32',
    flags: 'u32',
    smi: { smm: 'u8', pending: 'u8', smm_inside_nmi: 'u8', latched_init: 'u8' },
    triple_fault: { pending: 'u8' },
    reserved: 'u8[26]?',
    exception_has_payload: 'u8',
    exception_payload: 'u64',
  },
  kvm_guest_debug_arch: {
    /** DR0–DR7. */
    debugreg: 'u64[8]',
  },
  /**
   * `control`: `KVM_GUESTDBG`.
   * @see KVM_SET_GUEST_DEBUG
   */
  kvm_guest_debug: { control: 'u32', pad: 'u32?', arch: 'kvm_guest_debug_arch' },
  /** What KVM_EXIT_DEBUG reports: `exception` is 1 for #DB, 3 for #BP. */
  kvm_debug_exit_arch: { exception: 'u32', pad: 'u32?', pc: 'u64', dr6: 'u64', dr7: 'u64' },
  /**
   * `flags`: `KVM_STATE_NESTED`; `format`: `KVM_STATE_NESTED_FORMAT`, it says which member of `hdr` counts and what
   * `data` is: VMX's vmcs12 and shadow vmcs12, or SVM's vmcb12, 4096 bytes each. `size` counts the 128 bytes before
   * `data`, too.
   * @see KVM_GET_NESTED_STATE
   */
  kvm_nested_state: {
    flags: 'u16',
    format: 'u16',
    size: 'u32?',
    hdr: { union: { vmx: 'kvm_vmx_nested_state_hdr', svm: 'kvm_svm_nested_state_hdr', pad: 'u8[120]' } },
    data: 'u8[size-128]',
  },
  /** All ones where there is no VMXON region or VMCS. */
  kvm_vmx_nested_state_hdr: {
    vmxon_pa: 'u64',
    vmcs12_pa: 'u64',
    /** `KVM_STATE_NESTED_SMM`. */
    smm: { flags: 'u16' },
    pad: 'u16?',
    flags: 'u32',
    preemption_timer_deadline: 'u64',
  },
  kvm_svm_nested_state_hdr: {
    vmcb_pa: 'u64',
    /** Since Linux 7.2, with `KVM_X86_QUIRK.NESTED_SVM_SHARED_PAT` off. */
    gpat: 'u64?',
  },
  /** What a vCPU's `kvm_run.s` begins with. */
  kvm_sync_regs: { regs: 'kvm_regs', sregs: 'kvm_sregs', events: 'kvm_vcpu_events' },

  /**
   * `chip_id`: `KVM_IRQCHIP`, it says which member of `chip` counts.
   * @see KVM_GET_IRQCHIP
   */
  kvm_irqchip: {
    chip_id: 'u32',
    pad: 'u32?',
    chip: { union: { dummy: 'u8[512]', pic: 'kvm_pic_state', ioapic: 'kvm_ioapic_state' } },
  },
  /** An 8259A. */
  kvm_pic_state: {
    last_irr: 'u8',
    irr: 'u8',
    imr: 'u8',
    isr: 'u8',
    priority_add: 'u8',
    irq_base: 'u8',
    read_reg_select: 'u8',
    poll: 'u8',
    special_mask: 'u8',
    init_state: 'u8',
    auto_eoi: 'u8',
    rotate_on_auto_eoi: 'u8',
    special_fully_nested_mode: 'u8',
    init4: 'u8',
    elcr: 'u8',
    elcr_mask: 'u8',
  },
  kvm_ioapic_state: {
    base_address: 'u64',
    ioregsel: 'u32',
    id: 'u32',
    irr: 'u32',
    pad: 'u32?',
    /** The redirection entries as the chip has them: vector in bits 0–7, mask in bit 16, destination in bits 56–63. */
    redirtbl: 'u64[24]',
  },
  /**
   * `flags`: `KVM_PIT`.
   * @see KVM_CREATE_PIT2
   */
  kvm_pit_config: { flags: 'u32', pad: 'u32[15]?' },
  kvm_pit_channel_state: {
    /** 65536 for a programmed 0. */
    count: 'u32',
    latched_count: 'u16',
    count_latched: 'u8',
    status_latched: 'u8',
    status: 'u8',
    read_state: 'u8',
    write_state: 'u8',
    write_latch: 'u8',
    rw_mode: 'u8',
    mode: 'u8',
    bcd: 'u8',
    gate: 'u8',
    /** In nanoseconds. */
    count_load_time: 'i64',
  },
  /** @see KVM_GET_PIT */
  kvm_pit_state: { channels: 'kvm_pit_channel_state[3]' },
  /**
   * `flags`: `KVM_PIT_FLAGS`.
   * @see KVM_GET_PIT2
   */
  kvm_pit_state2: { channels: 'kvm_pit_channel_state[3]', flags: 'u32', reserved: 'u32[9]?' },
  /**
   * 1: timer interrupts that the guest missed are delivered later.
   * @see KVM_REINJECT_CONTROL
   */
  kvm_reinject_control: { pit_reinject: 'u8', reserved: 'u8[31]?' },
  /**
   * `action`: `KVM_PMU_EVENT`; `flags`: `KVM_PMU_EVENT_FLAG`; `fixed_counter_bitmap` for the fixed counters.
   * @see KVM_SET_PMU_EVENT_FILTER
   */
  kvm_pmu_event_filter: {
    action: 'u32',
    nevents: 'u32?',
    fixed_counter_bitmap: 'u32',
    flags: 'u32',
    pad: 'u32[4]?',
    events: 'u64[nevents]',
  },
  /**
   * A machine check to inject.
   * @see KVM_X86_SET_MCE
   */
  kvm_x86_mce: {
    status: 'u64',
    addr: 'u64',
    misc: 'u64',
    mcg_status: 'u64',
    bank: 'u8',
    pad1: 'u8[7]?',
    pad2: 'u64[3]?',
  },
  /** @see KVM_TPR_ACCESS_REPORTING */
  kvm_tpr_access_ctl: { enabled: 'u32', flags: 'u32', reserved: 'u32[8]?' },
  /**
   * A guest-physical address.
   * @see KVM_SET_VAPIC_ADDR
   */
  kvm_vapic_addr: { vapic_addr: 'u64' },
  /**
   * `flags`: `KVM_HYPERV_EVENTFD`.
   * @see KVM_HYPERV_EVENTFD
   */
  kvm_hyperv_eventfd: { conn_id: 'u32', fd: 'i32', flags: 'u32', padding: 'u32[3]?' },
} as const;

const ARM64 = {
  /**
   * `target`: `KVM_ARM_TARGET`, or what KVM_ARM_PREFERRED_TARGET said; bit n of `features` (the first element has
   * bits 0–31): `KVM_ARM_VCPU`.
   * @see KVM_ARM_VCPU_INIT
   */
  kvm_vcpu_init: { target: 'u32', features: 'u32[7]' },
  /**
   * An SError, or an external abort of the access that the last exit reported.
   * @see KVM_SET_VCPU_EVENTS
   */
  kvm_vcpu_events: {
    exception: {
      serror_pending: 'u8',
      serror_has_esr: 'u8',
      ext_dabt_pending: 'u8',
      pad: 'u8[5]?',
      serror_esr: 'u64',
    },
    reserved: 'u32[12]?',
  },
  /** Control and value registers of breakpoints (`b`) and watchpoints (`w`). */
  kvm_guest_debug_arch: { dbg_bcr: 'u64[16]', dbg_bvr: 'u64[16]', dbg_wcr: 'u64[16]', dbg_wvr: 'u64[16]' },
  /**
   * `control`: `KVM_GUESTDBG`.
   * @see KVM_SET_GUEST_DEBUG
   */
  kvm_guest_debug: { control: 'u32', pad: 'u32?', arch: 'kvm_guest_debug_arch' },
  /** What KVM_EXIT_DEBUG reports: ESR_EL2 in two halves, and the address of a watchpoint. */
  kvm_debug_exit_arch: { hsr: 'u32', hsr_high: 'u32', far: 'u64' },
  /** What a vCPU's `kvm_run.s` begins with: the levels of timers and PMU. */
  kvm_sync_regs: { device_irq_level: 'u64' },
  /**
   * `nevents` event numbers from `base_event` on; `action`: `KVM_PMU_EVENT`.
   * @see KVM_ARM_VCPU_PMU_V3_FILTER
   */
  kvm_pmu_event_filter: { base_event: 'u16', nevents: 'u16', action: 'u8', pad: 'u8[3]?' },
  /**
   * What the guest's counters lag behind the host's.
   * @see KVM_ARM_SET_COUNTER_OFFSET
   */
  kvm_arm_counter_offset: { counter_offset: 'u64', reserved: 'u64?' },
} as const;

/** Structures that are the same everywhere. */
export const common: Layouts<typeof COMMON> = layouts(COMMON);
/** Those of x86-64. */
export const x86: Layouts<typeof X86> = layouts(X86);
/** Those of arm64. */
export const arm64: Layouts<typeof ARM64> = layouts(ARM64);

/** A value of a structure, as `common.NAME.decode` makes it. */
export type CommonValue<Name extends keyof typeof COMMON> = Value<typeof COMMON, Name>;
/** What `common.NAME.encode` takes. */
export type CommonInput<Name extends keyof typeof COMMON> = Input<typeof COMMON, Name>;
export type X86Value<Name extends keyof typeof X86> = Value<typeof X86, Name>;
export type X86Input<Name extends keyof typeof X86> = Input<typeof X86, Name>;
export type Arm64Value<Name extends keyof typeof ARM64> = Value<typeof ARM64, Name>;
export type Arm64Input<Name extends keyof typeof ARM64> = Input<typeof ARM64, Name>;
