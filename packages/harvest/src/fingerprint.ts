/** What tells a model from another: its file, and every file of weights outside it. */

/** A file beside the model. */
export interface ExternalFile {
  readonly name: string;
  readonly size: number;
  /** Of its content, hexadecimal. */
  readonly sha256: string;
}

/** SHA-256, hexadecimal: of the model's file alone where all is in it, else of its hash and name, size and hash of the others. */
export async function fingerprintOf(
  bytes: Uint8Array,
  external: readonly ExternalFile[] = [],
): Promise<string> {
  const own = await sha256(bytes);
  if (external.length === 0) return own;
  const sorted = [...external].sort((a, b) => (a.name < b.name ? -1 : 1));
  const lines = sorted.map(({ name, size, sha256: hash }) => `${name}\n${size}\n${hash}\n`);
  return sha256(new TextEncoder().encode(`${own}\n${lines.join('')}`));
}

export async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>);
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
