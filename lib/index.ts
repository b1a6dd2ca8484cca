// What `import … from 'vm-entrypoint'` gives.
export type * from '../types/public.js';
export * from './decide.js';
export * from './denial-message.js';
export { type CommandOptions, command } from './emulators/command.js';
export { type QemuOptions, qemu } from './emulators/qemu.js';
export {
  AbortError,
  AccessDeniedError,
  ContextError,
  DiskError,
  LaunchError,
  PolicyChangedError,
  SelinuxError,
  SelinuxUnavailableError,
  StateError,
  SystemError,
  VmEntrypointError,
} from './errors.js';
export { withExecContext } from './exec-context.js';
export { launch } from './launch.js';
export { VirtualMachine, type VirtualMachineEvents } from './virtual-machine.js';
