/** Checksums of the store: SHA-256 by WebCrypto, which runs off the main thread in Node and in browsers. */

/** Bytes kept of each block's SHA-256: enough against damage, small beside a block. */
export const blockDigestBytes = 16;

export async function sha256(bytes: Uint8Array): Promise<Uint8Array> {
  const subtle = globalThis.crypto?.subtle;
  if (!subtle) {
    throw new Error(
      'checksums need WebCrypto, which browsers give to https pages and localhost only; open with verify: false',
    );
  }
  return new Uint8Array(await subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>));
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
