/** Typed arrays as base64 and back, without node's Buffer. */
import type { Packed } from './pageData.ts';

const KINDS = {
  u8: Uint8Array,
  u16: Uint16Array,
  u32: Uint32Array,
  i32: Int32Array,
  f32: Float32Array,
} as const;

export type PackedArray = Uint8Array | Uint16Array | Uint32Array | Int32Array | Float32Array;

export function pack(array: PackedArray): Packed {
  const type = (Object.keys(KINDS) as (keyof typeof KINDS)[]).find((kind) => array instanceof KINDS[kind])!;
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  const parts: string[] = [];
  for (let from = 0; from < bytes.length; from += 0x6000) {
    parts.push(btoa(String.fromCharCode(...bytes.subarray(from, from + 0x6000)))); // multiples of 3: no padding between
  }
  return { type, base64: parts.join('') };
}

export function unpack({ type, base64 }: Packed): PackedArray {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return new KINDS[type](bytes.buffer);
}

/** Token ids in the narrowest type that holds them. */
export function tokenArray(ids: readonly number[]): Uint16Array | Uint32Array {
  return ids.every((id) => id < 65536) ? Uint16Array.from(ids) : Uint32Array.from(ids);
}
