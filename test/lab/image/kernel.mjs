/**
 * Takes the uncompressed kernel out of a bzImage. QEMU boots it directly (PVH), which under emulation saves the second
 * or two that the kernel needs to unpack itself at each start.
 *
 * @see https://docs.kernel.org/arch/x86/boot.html for the header fields
 */

const lz4LegacyMagic = 0x184c2102;
const elfMagic = 0x464c457f;

/**
 * @param {Buffer} bzImage
 * @returns {Buffer} the ELF kernel, or the argument where it is not compressed with LZ4 (QEMU boots that too)
 */
export function extractKernel(bzImage) {
  if (bzImage.length < 0x250 || bzImage.toString('latin1', 0x202, 0x206) !== 'HdrS') return bzImage;
  const setupSectors = bzImage.readUInt8(0x1f1) || 4;
  const start = (setupSectors + 1) * 512 + bzImage.readUInt32LE(0x248);
  const payload = bzImage.subarray(start, start + bzImage.readUInt32LE(0x24c));
  if (payload.length < 8 || payload.readUInt32LE(0) !== lz4LegacyMagic) return bzImage;
  // The build appends the unpacked size.
  const size = payload.readUInt32LE(payload.length - 4);
  const kernel = unpackLz4Legacy(payload.subarray(4, payload.length - 4), size);
  return kernel.readUInt32LE(0) === elfMagic ? kernel : bzImage;
}

/**
 * The "legacy" LZ4 frame: blocks of up to 8 MiB, each preceded by its compressed size.
 *
 * @param {Buffer} blocks
 * @param {number} size bytes when unpacked
 */
function unpackLz4Legacy(blocks, size) {
  const output = Buffer.alloc(size);
  let written = 0;
  for (let at = 0; at + 4 <= blocks.length && written < size; ) {
    const length = blocks.readUInt32LE(at);
    written = unpackLz4Block(blocks.subarray(at + 4, at + 4 + length), output, written);
    at += 4 + length;
  }
  if (written !== size) throw new RangeError(`the kernel unpacks to ${written} bytes instead of ${size}`);
  return output;
}

/**
 * @param {Buffer} block
 * @param {Buffer} output
 * @param {number} written where in `output` this block begins
 * @returns {number} where it ends
 */
function unpackLz4Block(block, output, written) {
  let at = 0;
  const longLength = (/** @type {number} */ nibble) => {
    let length = nibble;
    if (nibble === 15) {
      for (let more = 255; more === 255; ) length += more = block.readUInt8(at++);
    }
    return length;
  };
  while (at < block.length) {
    const token = block.readUInt8(at++);
    const literals = longLength(token >> 4);
    block.copy(output, written, at, at + literals);
    at += literals;
    written += literals;
    if (at >= block.length) break; // the last sequence has no match
    const offset = block.readUInt16LE(at);
    at += 2;
    const end = written + longLength(token & 15) + 4;
    if (offset === 0 || offset > written || end > output.length) throw new RangeError('the kernel is damaged');
    // Byte by byte: a match may overlap what it produces.
    for (let from = written - offset; written < end; ) output[written++] = /** @type {number} */ (output[from++]);
  }
  return written;
}
