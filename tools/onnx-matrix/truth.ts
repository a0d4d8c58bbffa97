/** What truth.py wrote: what the taps of an architecture hold by PyTorch's hooks. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Truth {
  readonly task: string;
  readonly context: number;
  readonly documents: readonly number[][];
  readonly values: Readonly<Record<string, { readonly shape: number[]; readonly offset: number }>>;
  readonly clean?: number;
  /** Cross-entropy and KL with a tap zeroed or halved. */
  readonly splices: Readonly<
    Record<string, { readonly zero: [number, number]; readonly half: [number, number] }>
  >;
  read(name: string): Float32Array;
}

export function truthOf(folder: string): Truth {
  const truth = JSON.parse(readFileSync(join(folder, 'truth.json'), 'utf8')) as Omit<Truth, 'read'>;
  const bytes = readFileSync(join(folder, 'truth.bin'));
  const floats = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  const read = (name: string): Float32Array => {
    const { shape, offset } = truth.values[name]!;
    return floats.subarray(offset, offset + shape.reduce((product, n) => product * n, 1));
  };
  return { ...truth, read };
}

/** The row of a token in the truth: documents one after the other. */
export function rowsOfTruth({ documents }: Truth, document: number, position: number): number {
  return documents.slice(0, document).reduce((sum, ids) => sum + ids.length, 0) + position;
}
