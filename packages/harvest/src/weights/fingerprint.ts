/** What tells one checkpoint from another without reading all of it. */
import type { RandomAccess } from '@msae/data';

const samples = 32;
const sampleBytes = 4096;

/**
 * SHA-256, hexadecimal, over sizes, headers, and 32 samples of 4 kB spread evenly over each file: two checkpoints of one
 * architecture differ in all of them. The same for a file on disk, in memory and behind a URL.
 */
export async function fingerprintOf(
  files: readonly { readonly source: RandomAccess; readonly headerBytes: number }[],
  text = '',
): Promise<string> {
  const parts: Uint8Array[] = [new TextEncoder().encode(text)];
  for (const { source, headerBytes } of files) {
    parts.push(new TextEncoder().encode(`${source.size};`), await source.read(0, headerBytes));
    const body = source.size - headerBytes;
    const length = Math.min(sampleBytes, body);
    const starts = Array.from(
      { length: length === 0 ? 0 : samples },
      (_, i) => headerBytes + Math.floor(((body - length) * i) / (samples - 1)),
    );
    parts.push(...(await Promise.all(starts.map((start) => source.read(start, length)))));
  }
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  const digest = await crypto.subtle.digest('SHA-256', bytes);
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
