// Machine code for the smallest guests: boot sectors and a firmware that say on the first serial port what they are.
// 16-bit code, position-independent but for the addresses that are noted.

/** Where the firmware puts a boot sector. */
const LOADED = 0x7c00;
const SECTOR = 512;
const IMAGE_SIZE = 1 << 20;
const FIRMWARE_SIZE = 1 << 16;

const word = (value) => [value & 0xff, value >> 8];

/** Prints the zero-terminated text at `ds:address` on COM1, and halts. */
const printAndHalt = (address) => [
  ...[0xfc, 0xbe, ...word(address)], //     cld; mov si, address
  ...[0xba, ...word(0x3f8)], //             mov dx, 0x3f8
  ...[0xac, 0x84, 0xc0, 0x74, 0x03], //     next: lodsb; test al, al; jz done
  ...[0xee, 0xeb, 0xf8], //                 out dx, al; jmp next
  ...[0xf4, 0xeb, 0xfd], //                 done: hlt; jmp done
];
/** Data segment 0, where a boot sector lies. */
const SEGMENT_0 = [0x31, 0xc0, 0x8e, 0xd8]; // xor ax, ax; mov ds, ax

function signed(image) {
  image.writeUInt16LE(0xaa55, SECTOR - 2);
  return image;
}

/**
 * A raw image whose boot sector says `>` and then answers every byte that comes in with the next digit: what it
 * counts it has in a register, so a guest that goes on counting was continued and not begun anew.
 */
export function countingImage() {
  const image = Buffer.alloc(IMAGE_SIZE);
  image.set([
    ...[0xb3, 0x30], //                              mov bl, '0'
    ...[0xba, ...word(0x3f8), 0xb0, 0x3e, 0xee], //  mov dx, 0x3f8; mov al, '>'; out dx, al
    ...[0xba, ...word(0x3fd)], //                    next: mov dx, 0x3fd
    ...[0xec, 0xa8, 0x01, 0x74, 0xfb], //            wait: in al, dx; test al, 1; jz wait
    ...[0xba, ...word(0x3f8), 0xec], //              mov dx, 0x3f8; in al, dx
    ...[0xfe, 0xc3, 0x88, 0xd8, 0xee], //            inc bl; mov al, bl; out dx, al
    ...[0xeb, 0xed], //                              jmp next
  ]);
  return signed(image);
}

/**
 * What a guest could make of its raw disk: a correct qcow2 header that names `backing`, and a boot sector as before.
 * It boots, and says first what it begins with: `QFI`, as the guest itself reads it, and then `text`.
 */
export function forgedImage(backing, text) {
  const image = Buffer.alloc(IMAGE_SIZE);
  // The fields are executed from the first byte on. All but one are harmless; the size, near 4 GB, holds the jump.
  const code = 0x88;
  const name = 0x1d8;
  const jump = 0x1c;
  image.writeUInt32BE(0x514649fb, 0);
  image.writeUInt32BE(3, 4);
  image.writeBigUInt64BE(BigInt(name), 8);
  // Its low byte is the operand of an addition: without a displacement, or the jump would be part of that.
  if (backing.length > 0x3f || backing.length % 8 === 6) throw new RangeError('the name has no harmless length');
  image.writeUInt32BE(backing.length, 16);
  image.writeUInt32BE(16, 20); // clusters of 64 KiB
  image.set([0xeb, code - (jump + 2)], jump);
  image.writeUInt32BE(8, 36); // entries of the L1 table, all empty: everything comes from the backing file
  image.writeBigUInt64BE(3n << 16n, 40);
  image.writeBigUInt64BE(1n << 16n, 48); // reference counts
  image.writeUInt32BE(1, 56);
  image.writeUInt32BE(4, 96);
  image.writeUInt32BE(112, 100); // length of the header
  image.writeUInt32BE(0xe2792aca, 112); // format of the backing file
  image.writeUInt32BE(3, 116);
  image.write('raw', 120, 'latin1');
  const print = [
    ...SEGMENT_0,
    ...[0xfc, 0xbe, ...word(LOADED), 0xb9, ...word(3)], // cld; mov si, 0x7c00; mov cx, 3
    ...[0xba, ...word(0x3f8)], //                          mov dx, 0x3f8
    ...[0xac, 0xee, 0xe2, 0xfc], //                        next: lodsb; out dx, al; loop next
  ];
  const end = code + print.length + printAndHalt(0).length;
  image.set([...print, ...printAndHalt(LOADED + end)], code);
  if (end + text.length + 3 > name) throw new RangeError('the text does not fit');
  image.write(`${text}\r\n\0`, end, 'latin1');
  if (image.write(backing, name, 'latin1') + name > SECTOR - 2) throw new RangeError('the name does not fit');
  return signed(image);
}

/** A firmware that says `text` and looks for no disk. The processor begins 16 bytes before its end. */
export function firmwareImage(text) {
  const image = Buffer.alloc(FIRMWARE_SIZE);
  const reset = FIRMWARE_SIZE - 16;
  // Data come from where the code is.
  const print = [0x8c, 0xc8, 0x8e, 0xd8]; // mov ax, cs; mov ds, ax
  image.set([...print, ...printAndHalt(0x100)], 0);
  image.write(`${text}\r\n\0`, 0x100, 'latin1');
  image.set([0xe9, ...word(0x10000 - (reset + 3))], reset); // jmp 0
  return image;
}
