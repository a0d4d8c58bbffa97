/**
 * Bulk conversion between float32 and the 16-bit formats. IEEE 754 binary16 and bfloat16, both rounding to nearest,
 * ties to even. Written for whole arrays: a table turns a half into a float with one load.
 */

let halfTable: Float32Array | undefined;

/** All 65,536 halves as floats (256 KB, made on first use). */
function table(): Float32Array {
  if (halfTable) return halfTable;
  const floats = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const mantissa = bits & 1023;
    if (exponent === 0) floats[bits] = sign * mantissa * 2 ** -24;
    else if (exponent === 31) floats[bits] = mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY;
    else floats[bits] = sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
  }
  halfTable = floats;
  return floats;
}

/** binary16 bits → float32. */
export function float16ToFloat32(
  bits: Uint16Array,
  out: Float32Array = new Float32Array(bits.length),
): Float32Array {
  const floats = table();
  for (let i = 0; i < bits.length; i++) out[i] = floats[bits[i]!]!;
  return out;
}

/** bfloat16 bits → float32 (exact: the upper half of a float32). */
export function bfloat16ToFloat32(
  bits: Uint16Array,
  out: Float32Array = new Float32Array(bits.length),
): Float32Array {
  const words = new Uint32Array(out.buffer, out.byteOffset, bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i]! << 16;
  return out;
}

/** float32 → binary16 bits; beyond 65,519 it becomes infinity, NaN stays NaN. */
export function float32ToFloat16(
  data: Float32Array,
  out: Uint16Array = new Uint16Array(data.length),
): Uint16Array {
  const words = new Uint32Array(data.buffer, data.byteOffset, data.length);
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    const sign = (word >>> 16) & 0x8000;
    const magnitude = word & 0x7fffffff;
    if (magnitude >= 0x38800000) {
      // normal half (>= 2^-14), overflow, infinity or NaN
      if (magnitude > 0x7f800000) out[i] = sign | 0x7e00;
      else if (magnitude >= 0x477ff000) out[i] = sign | 0x7c00;
      else out[i] = sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
    } else if (magnitude <= 0x33000000) {
      out[i] = sign; // at most half of the smallest subnormal: ties to even give zero
    } else {
      const mantissa = (magnitude & 0x7fffff) | 0x800000;
      const shift = 126 - (magnitude >>> 23); // 14..24
      const half = mantissa >>> shift;
      const rest = mantissa & ((1 << shift) - 1);
      const middle = 1 << (shift - 1);
      out[i] = sign | (half + (rest > middle || (rest === middle && half & 1) ? 1 : 0));
    }
  }
  return out;
}

/** float32 → bfloat16 bits. */
export function float32ToBfloat16(
  data: Float32Array,
  out: Uint16Array = new Uint16Array(data.length),
): Uint16Array {
  const words = new Uint32Array(data.buffer, data.byteOffset, data.length);
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if ((word & 0x7fffffff) > 0x7f800000) out[i] = (word >>> 16) | 0x40;
    else out[i] = (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return out;
}
