// The addon's area `selinux`: what native/binding/selinux_binding.cc provides. Arguments arrive
// validated; contexts come and go raw when the last argument `raw` is true, else translated.

import type { Context } from './public.js';

export interface NativePolicyState {
  /** Changes with every policy load and every switch of the mode; even while nothing is changing. */
  sequence: number;
  enforcing: boolean;
  policyload: number;
  denyUnknown: boolean;
}

/** `permissions[i]` is the name of bit `1 << i`; empty where a bit has no name. */
export interface NativeObjectClass {
  value: number;
  name: string;
  permissions: string[];
}

export interface NativeAccessAnswer {
  allowed: number;
  decided: number;
  auditallow: number;
  auditdeny: number;
  seqno: number;
  flags: number;
  objectClass: NativeObjectClass;
}

/** Owns the compiled table until `close`. */
export interface NativeFileContexts {
  lookup(path: string, mode: number, raw: boolean): Context | null;
  close(): void;
}

/** Does not keep the event loop alive. */
export interface NativePolicyEvents {
  close(): void;
}

export interface NativeSelinuxArea {
  isSelinuxEnabled(): boolean;
  isSelinuxMlsEnabled(): boolean;
  securityDenyUnknown(): boolean;
  securityRejectUnknown(): boolean;
  securityGetenforce(): boolean;
  securitySetenforce(enforcing: boolean): void;
  securityPolicyvers(): number;
  selinuxGetpolicytype(): string;
  selinuxStatus(): NativePolicyState;
  /** One load of the status page; 1 before the first `selinuxStatus`. */
  selinuxSequence(): number;
  /** Calls `changed` when the kernel may have changed its state. */
  openPolicyEvents(changed: () => void): NativePolicyEvents;

  getcon(raw: boolean): Context;
  getprevcon(raw: boolean): Context;
  getpidcon(pid: number, raw: boolean): Context;
  getpidprevcon(pid: number, raw: boolean): Context;
  getpeercon(fd: number, raw: boolean): Context;
  getexeccon(raw: boolean): Context | null;
  setexeccon(context: Context | null, raw: boolean): void;
  getfscreatecon(raw: boolean): Context | null;
  setfscreatecon(context: Context | null, raw: boolean): void;
  getsockcreatecon(raw: boolean): Context | null;
  setsockcreatecon(context: Context | null, raw: boolean): void;
  getkeycreatecon(raw: boolean): Context | null;
  setkeycreatecon(context: Context | null, raw: boolean): void;
  securityCheckContext(context: Context, raw: boolean): boolean;
  securityCanonicalizeContext(context: Context, raw: boolean): Context;
  selinuxTransToRawContext(translated: Context): Context;
  selinuxRawToTransContext(raw: Context): Context;

  getfilecon(path: string, raw: boolean): Context | null;
  lgetfilecon(path: string, raw: boolean): Context | null;
  fgetfilecon(fd: number, raw: boolean): Context | null;
  setfilecon(path: string, context: Context, raw: boolean): void;
  lsetfilecon(path: string, context: Context, raw: boolean): void;
  fsetfilecon(fd: number, context: Context, raw: boolean): void;
  /** An empty path is the active policy's file_contexts. */
  selabelOpen(path: string): NativeFileContexts;

  findClass(nameOrValue: string | number): NativeObjectClass;
  securityComputeAv(source: Context, target: Context, objectClass: string, raw: boolean): NativeAccessAnswer;
  securityComputeCreate(
    source: Context,
    target: Context,
    objectClass: string,
    objectName: string | undefined,
    raw: boolean,
  ): Context;
  securityComputeRelabel(source: Context, target: Context, objectClass: string, raw: boolean): Context;
  securityComputeMember(source: Context, target: Context, objectClass: string, raw: boolean): Context;

  securityGetBooleanNames(): string[];
  securityGetBooleanActive(name: string): boolean;
  securityGetBooleanPending(name: string): boolean;
  securitySetBoolean(name: string, value: boolean): void;
  securityCommitBooleans(): void;
  securitySetBooleanList(names: string[], values: boolean[]): void;
}
