/** Device memory: freed blocks are kept by size and handed out again, since one stream runs everything in order. */
import { deviceError, memoryError } from './errors.ts';
import type { Driver } from './ffi/driver.ts';

export interface Allocator {
  readonly limitBytes: number;
  /** A device pointer; `what` names it in the error. @throws MsaeError `device` where it does not fit */
  alloc(bytes: number, what: string): number;
  free(pointer: number): void;
  usedBytes(): number;
  peakBytes(): number;
  resetPeak(): void;
  /** Gives unused blocks back to the device. */
  trim(): void;
}

/** @param keep whether to keep freed blocks; the emulated driver checks their bounds when it gets them back */
export function createAllocator(driver: Driver, limitBytes: number, keep: boolean): Allocator {
  const sizes = new Map<number, number>();
  const idle = new Map<number, number[]>();
  let [used, idleBytes, peak] = [0, 0, 0];

  const trim = (): void => {
    for (const [size, blocks] of idle) {
      for (const pointer of blocks) {
        driver.free(pointer);
        sizes.delete(pointer);
      }
      idleBytes -= size * blocks.length;
    }
    idle.clear();
  };

  return {
    limitBytes,
    alloc: (bytes, what) => {
      if (bytes === 0) return 0;
      const size = keep ? sizeClass(bytes) : bytes;
      let pointer = idle.get(size)?.pop();
      if (pointer !== undefined) {
        idleBytes -= size;
      } else {
        if (used + size > limitBytes)
          throw memoryError(what, { requestedBytes: size, usedBytes: used, limitBytes });
        if (used + idleBytes + size > limitBytes) trim();
        pointer = driver.alloc(size);
        if (pointer === undefined) {
          trim();
          pointer = driver.alloc(size);
        }
        if (pointer === undefined) {
          const { free } = driver.memory();
          throw memoryError(what, {
            requestedBytes: size,
            usedBytes: used,
            limitBytes: Math.min(limitBytes, used + free),
          });
        }
        sizes.set(pointer, size);
      }
      used += size;
      peak = Math.max(peak, used);
      return pointer;
    },
    free: (pointer) => {
      if (pointer === 0) return;
      const size = sizes.get(pointer);
      if (size === undefined) throw deviceError(`${pointer} was not allocated here`);
      used -= size;
      if (!keep) {
        sizes.delete(pointer);
        driver.free(pointer);
        return;
      }
      idleBytes += size;
      const blocks = idle.get(size);
      if (blocks === undefined) idle.set(size, [pointer]);
      else blocks.push(pointer);
    },
    usedBytes: () => used,
    peakBytes: () => peak,
    resetPeak: () => {
      peak = used;
    },
    trim,
  };
}

/** Rounded up to 256 bytes, or to an eighth of the power of two below: few different sizes, at most 12.5 % lost. */
export function sizeClass(bytes: number): number {
  const step = Math.max(256, 2 ** (Math.floor(Math.log2(bytes)) - 3));
  return Math.ceil(bytes / step) * step;
}
