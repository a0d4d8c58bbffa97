/**
 * Uploads through page-locked memory: from ordinary memory the driver would first wait for everything on the stream, and the
 * device would stand still at every batch.
 */
import koffi from 'koffi';
import type { Driver } from './ffi/driver.ts';

const SEGMENTS = 4;

export interface Staging {
  /** Puts a copy of `bytes` of `from` to the device on the stream; `from` may change as soon as this returns. */
  upload(to: number, from: ArrayBufferView, bytes: number): void;
}

/** @param segmentBytes a quarter of the page-locked memory: what one segment holds is on its way while the next is filled */
export function createStaging(driver: Driver, stream: number, segmentBytes: number): Staging {
  const base = driver.allocHost(SEGMENTS * segmentBytes);
  const memory = new Uint8Array(koffi.view(base, SEGMENTS * segmentBytes));
  const sent = Array.from({ length: SEGMENTS }, () => driver.createEvent());
  const pending = new Array<boolean>(SEGMENTS).fill(false);
  let [segment, at] = [0, 0];

  const advance = (): void => {
    driver.recordEvent(sent[segment]!, stream);
    pending[segment] = true;
    segment = (segment + 1) % SEGMENTS;
    at = 0;
    if (pending[segment]) driver.waitFor(sent[segment]!);
    pending[segment] = false;
  };

  return {
    upload: (to, from, bytes) => {
      const source = new Uint8Array(from.buffer, from.byteOffset, bytes);
      for (let done = 0; done < bytes; ) {
        if (at === segmentBytes) advance();
        const size = Math.min(bytes - done, segmentBytes - at);
        const offset = segment * segmentBytes + at;
        memory.set(source.subarray(done, done + size), offset);
        driver.copyIn(to + done, base + offset, size, stream);
        done += size;
        at = Math.min(segmentBytes, Math.ceil((at + size) / 256) * 256);
      }
    },
  };
}
