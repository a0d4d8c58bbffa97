/** NumPy .npz archives: zip files of .npy arrays. */
import { check, flag, msaeError, object, optional, type Schema } from '@msae/schema';
import { zipSync } from 'fflate';
import { type ByteInput, type ReadOptions, toRandomAccess } from '../byteSource.ts';
import { type OpenOptions, openOptionsSchema } from '../options.ts';
import type { ActivationRows } from '../rows.ts';
import { encodeNpy, type NpyArray, npyRows, readNpy } from './npy.ts';
import { openZipEntry, readZipDirectory } from './zip.ts';

export interface Npz {
  /** Names of the arrays, without .npy. */
  readonly names: readonly string[];
  /** A whole array as float32 in C order. */
  read(name: string, options?: ReadOptions): Promise<NpyArray>;
  /** An array as rows. One that is stored uncompressed (numpy.savez) is read lazily, a compressed one is expanded first. */
  rows(name: string, options?: ReadOptions): Promise<ActivationRows>;
  close(): Promise<void>;
}

/**
 * Opens an .npz archive. An entry that claims more bytes than deflate could give is refused before it is allocated.
 *
 * @throws one Error naming the file, the entry and the field
 */
export async function readNpz(input: ByteInput, given: OpenOptions = {}): Promise<Npz> {
  const options = check(openOptionsSchema, given, 'readNpz');
  const source = toRandomAccess(input, options.name);
  const entries = await readZipDirectory(source, options);
  const names = [...entries.keys()].filter((name) => name.endsWith('.npy')).map((name) => name.slice(0, -4));
  const open = (name: string, readOptions?: ReadOptions) => {
    const entry = entries.get(`${name}.npy`);
    if (!entry)
      throw msaeError(
        'option',
        `${source.name}: there is no array ${JSON.stringify(name)}; it has: ${names.join(', ') || 'none'}`,
      );
    return openZipEntry(source, entry, readOptions);
  };
  return {
    names,
    read: async (name, readOptions) => readNpy(await open(name, readOptions), readOptions),
    rows: async (name, readOptions) => npyRows(await open(name, readOptions), readOptions),
    close: async () => source.close?.(),
  };
}

const encodeSchema: Schema<{ compress?: boolean }> = object<{ compress?: boolean }>({
  compress: optional(flag({ help: 'deflate the arrays' }), false),
});

/** An .npz archive in memory, deflated when `compress` is set. */
export function encodeNpz(
  arrays: Readonly<Record<string, { data: Float32Array | Int32Array; shape: readonly number[] }>>,
  options: { compress?: boolean } = {},
): Uint8Array {
  const { compress = false } = check(encodeSchema, options, 'encodeNpz');
  const files = Object.entries(arrays).map(([name, { data, shape }]) => [
    `${name}.npy`,
    encodeNpy(data, shape),
  ]);
  // a fixed date: the same arrays give the same bytes
  return zipSync(Object.fromEntries(files), { level: compress ? 6 : 0, mtime: new Date(1980, 0, 1) });
}
