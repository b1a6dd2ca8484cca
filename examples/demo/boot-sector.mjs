// The smallest disk that boots: 16-bit code in the first sector, which writes a line to the first
// serial port and halts.

const CODE = Uint8Array.from([
  0x31,
  0xc0, //             xor  ax, ax
  0x8e,
  0xd8, //             mov  ds, ax
  0xfc, //                   cld
  0xbe,
  0x16,
  0x7c, //       mov  si, 0x7c16     the text, right behind the code
  0xac, //             next: lodsb
  0x84,
  0xc0, //             test al, al
  0x74,
  0x06, //             jz   done
  0xba,
  0xf8,
  0x03, //       mov  dx, 0x3f8      COM1
  0xee, //                   out  dx, al
  0xeb,
  0xf5, //             jmp  next
  0xf4, //             done: hlt
  0xeb,
  0xfd, //             jmp  done
]);

/** A raw image of 1 MiB whose boot sector prints `text` on the first serial port. */
export function bootableImage(text) {
  const image = Buffer.alloc(1 << 20);
  image.set(CODE, 0);
  const written = image.write(`${text}\r\n\0`, CODE.length, 510 - CODE.length, 'latin1');
  if (written < text.length + 3) throw new RangeError('the text does not fit into a boot sector');
  image.writeUInt16LE(0xaa55, 510);
  return image;
}
