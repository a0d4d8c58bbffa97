/**
 * Checksums of the store: XXH64 (https://xxhash.com) by xxhash-wasm. It guards against damage, not against an attacker,
 * and is ten times as fast as SHA-256: reading verified costs a few per cent more than reading.
 */
import xxhash from 'xxhash-wasm';

/** Bytes of a checksum. */
export const checksumBytes = 8;

/** XXH64 of some parts after one another, little-endian. */
export type Checksum = (...parts: Uint8Array[]) => Uint8Array;

let loading: Promise<Checksum> | undefined;

/** Compiles the hash on first use. */
export function loadChecksum(): Promise<Checksum> {
  loading ??= xxhash().then(({ h64Raw, create64 }) => (...parts: Uint8Array[]): Uint8Array => {
    const [only] = parts;
    const hash =
      only && parts.length === 1
        ? h64Raw(only)
        : parts.reduce((state, part) => state.update(part), create64()).digest();
    const bytes = new Uint8Array(checksumBytes);
    new DataView(bytes.buffer).setBigUint64(0, hash, true);
    return bytes;
  });
  return loading;
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
