/** What the card can do at best: a large copy, large matrix products. Everything else is compared with these. */
import { currentDevice } from '../src/useCuda.ts';

const GIB = 2 ** 30;
const SIZE = 8192;

export interface Ceilings {
  /** TB/s, bytes read and bytes written */
  readonly copy: number;
  /** TFLOP/s */
  readonly tf32: number;
  readonly float32: number;
  /** µs of the host for putting a kernel on the stream */
  readonly launch: number;
}

export function measureCeilings(): Ceilings {
  const device = currentDevice();
  const { driver, allocator, stream } = device;
  const bytes = device.arch === undefined ? 2 ** 20 : GIB;
  const size = device.arch === undefined ? 32 : SIZE;
  const [a, b, c] = [0, 1, 2].map(() => allocator.alloc(bytes, 'a check')) as [number, number, number];
  // not zeros: a product of zeros runs faster than one of data
  driver.fill(a, 0x3f9d70a4, bytes / 4, stream);
  driver.fill(b, 0x3f8ccccd, bytes / 4, stream);
  const best = (run: () => void, times: number): number => {
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < times; i++) {
      const [from, to] = [driver.createEvent(), driver.createEvent()];
      driver.recordEvent(from, stream);
      run();
      driver.recordEvent(to, stream);
      driver.synchronise(stream);
      least = Math.min(least, driver.elapsed(from, to));
      driver.destroyEvent(from);
      driver.destroyEvent(to);
    }
    return least / 1000;
  };
  const product = (tf32: boolean): void =>
    device.cublas().multiply({
      ...{ a, b, c, m: size, n: size, k: size, transposeA: false, transposeB: false },
      ...{ batches: 1, strideA: 0, strideB: 0, tf32 },
    });
  const launches = (): number => {
    const from = performance.now();
    for (let i = 0; i < 200; i++) device.launchEach('castIntToFloat', 256, [a, c, 256]);
    const ms = performance.now() - from;
    driver.synchronise(stream);
    return (1000 * ms) / 200;
  };
  const ceilings = {
    copy: (2 * bytes) / best(() => driver.copy(c, a, bytes, stream), 6) / 1e12,
    tf32: (2 * size ** 3) / best(() => product(true), 5) / 1e12,
    float32: (2 * size ** 3) / best(() => product(false), 3) / 1e12,
    launch: Math.min(...Array.from({ length: 30 }, launches)),
  };
  for (const pointer of [a, b, c]) allocator.free(pointer);
  allocator.trim();
  return ceilings;
}
