/** Active lists transposed (kernels/lists.cu): the entries of every latent in the order of the rows. */
import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { Attached, CudaBackend } from '../backend.ts';
import { unsupported } from '../errors.ts';
import { withScope } from '../scope.ts';

/** As in kernels/common.cuh. */
const SEGMENT = 64;

/** Device pointers; the caller frees them. */
export interface LatentLists extends Attached {
  /** int [N + 1] */
  readonly offsets: number;
  /** int [entries]: row · C + i, rows counted from `row0` */
  readonly entries: number;
  /** int [N + 1] and int [parts]: the parts of latents with many entries (kernels/lists.cu) */
  readonly partOffsets: number;
  readonly partLatents: number;
  /** at most so many parts */
  readonly parts: number;
}

interface Rows {
  readonly row0: number;
  readonly rows: number;
  readonly capacity: number;
  readonly n: number;
}

export function makeLatentLists(
  backend: CudaBackend,
  indices: number,
  counts: number,
  { row0, rows, capacity, n }: Rows,
): LatentLists {
  const { device } = backend;
  if (rows * capacity >= 2 ** 31)
    throw unsupported(`lists of [${rows}, ${capacity}] are too long; lower the batch size or the capacity`);
  const parts = Math.ceil((rows * capacity) / SEGMENT);
  const pointers: number[] = [];
  const alloc = (words: number, what: string): number => {
    const pointer = device.allocator.alloc(4 * words, what);
    pointers.push(pointer);
    return pointer;
  };
  try {
    const offsets = alloc(n + 1, 'offsets of latents');
    const entries = alloc(rows * capacity, 'entries of latents');
    const partOffsets = alloc(n + 1, 'parts of latents');
    const partLatents = alloc(parts, 'latents of parts');
    withScope(backend, (scope) => {
      const words = Math.ceil(rows / 128) * 4;
      const bits = scope.scratch(4 * (n * words + Math.ceil(n / 4) * 4), 'who is active where');
      const totals = bits + 4 * n * words;
      device.driver.fill(bits, 0, n * words + Math.ceil(n / 4) * 4, device.stream);
      const lists = [indices + 4 * row0 * capacity, counts + 4 * row0] as const;
      device.launch('markEntries', rows, 32, [...lists, bits, totals, rows, capacity, words]);
      device.launch('scanLatents', 1, 1024, [totals, offsets, partOffsets, partLatents, n]);
      device.launch('placeEntries', rows, 32, [...lists, bits, offsets, entries, rows, capacity, words]);
    });
    return { offsets, entries, partOffsets, partLatents, parts, pointers };
  } catch (error) {
    for (const pointer of pointers) device.allocator.free(pointer);
    throw error;
  }
}

/** The lists of a whole batch, made once and freed with its indices: the loss and the encoder's gradients share them. */
export function latentListsOf(
  backend: CudaBackend,
  { indices, counts, n }: { indices: TensorInfo; counts: TensorInfo; n: number },
): LatentLists {
  const [rows, capacity] = indices.shape as [number, number];
  return backend.attach(indices, 'latent lists', () =>
    makeLatentLists(backend, backend.pointer(indices), backend.pointer(counts), {
      row0: 0,
      rows,
      capacity,
      n,
    }),
  );
}
