import { msaeError } from '@msae/schema';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { util } from '@tensorflow/tfjs-core';

/** What tfjs's own kernels may take behind our back (top-k's and reductions' scratch): never handed out to tensors. */
const RESERVE_BYTES = 32 * 2 ** 20;

/** A tensor or a scratch buffer does not fit in the backend's memory. Nothing was allocated or changed. */
function outOfMemory(what: string, requestedBytes: number, usedBytes: number, limitBytes: number): Error {
  return msaeError(
    'device',
    `wasm: ${what} needs ${format(requestedBytes)}, but ${format(usedBytes)} of the limit of ${format(limitBytes)} ` +
      'are in use; lower the batch size or nLatents, dispose tensors, or raise maxMemoryBytes (at most 4 GiB)',
    { requestedBytes, usedBytes, limitBytes },
  );
}

const format = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** Counts what lives on the backend's heap and refuses before the allocator is asked: out of memory would corrupt the heap. */
export interface MemoryBudget {
  readonly limitBytes: number;
  usedBytes(): number;
  peakBytes(): number;
  resetPeak(): void;
  /** @throws MsaeError `device` if `bytes` more do not fit */
  malloc(bytes: number, what: string): number;
  free(pointer: number): void;
}

interface EmscriptenHeap {
  _malloc(bytes: number): number;
  _free(pointer: number): void;
}

interface BackendInternals {
  readonly wasm: EmscriptenHeap;
}

/** Puts every allocation of `backend` under a limit, tensors and {@link MemoryBudget.malloc} alike. */
export function applyMemoryBudget(backend: BackendWasm, limitBytes: number): MemoryBudget {
  const { wasm } = backend as unknown as BackendInternals;
  const sizes = new Map<number, number>();
  let used = 0;
  let peak = 0;
  const available = limitBytes - RESERVE_BYTES;

  wasm._free(wasm._malloc(16)); // Emscripten's exports replace themselves at their first call
  const rawMalloc = wasm._malloc.bind(wasm);
  const rawFree = wasm._free.bind(wasm);
  const malloc = (bytes: number, what: string): number => {
    if (used + bytes > available) throw outOfMemory(what, bytes, used, limitBytes);
    const pointer = rawMalloc(bytes) >>> 0;
    if (pointer === 0 && bytes > 0) throw outOfMemory(`${what} (fragmented heap)`, bytes, used, limitBytes);
    sizes.set(pointer, bytes);
    used += bytes;
    if (used > peak) peak = used;
    return pointer;
  };
  const free = (pointer: number): void => {
    used -= sizes.get(pointer >>> 0) ?? 0;
    sizes.delete(pointer >>> 0);
    rawFree(pointer);
  };

  let what = 'a scratch buffer';
  wasm._malloc = (bytes) => malloc(bytes, what);
  wasm._free = free;
  const move = backend.move.bind(backend);
  backend.move = (dataId, values, shape, dtype, refCount) => {
    if (dtype === 'string') return move(dataId, values, shape, dtype, refCount);
    what = `a tensor of shape [${shape.join(', ')}] (${dtype}, ${util.sizeFromShape(shape)} elements)`;
    try {
      move(dataId, values, shape, dtype, refCount);
    } finally {
      what = 'a scratch buffer';
    }
  };

  return {
    limitBytes,
    usedBytes: () => used,
    peakBytes: () => peak,
    resetPeak: () => {
      peak = used;
    },
    malloc,
    free,
  };
}
