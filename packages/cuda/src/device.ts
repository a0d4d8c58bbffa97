/** One GPU: its context, stream, memory, kernels and cuBLAS handle. */
import koffi from 'koffi';
import { type Allocator, createAllocator } from './allocator.ts';
import { deviceError, unsupported } from './errors.ts';
import { type Cublas, openCublas } from './ffi/cublas.ts';
import { type Driver, openDriver } from './ffi/driver.ts';
import { emulatorPath } from './ffi/libraries.ts';
import { kernelImage, kernelSignature } from './modules.ts';
import { createStaging } from './staging.ts';

/** [x, y, z] blocks. */
export type Grid = readonly [number, number, number];

/** A number, or the 18 integers of a Layout. */
export type KernelArgument = number | Int32Array;

export interface Device {
  readonly driver: Driver;
  readonly name: string;
  /** e.g. sm_90; undefined on the emulated driver */
  readonly arch: string | undefined;
  readonly processors: number;
  readonly stream: number;
  readonly allocator: Allocator;
  /** whether the encoder may multiply in TF32 */
  readonly tf32: boolean;
  /** what one kernel may take for intermediate results; larger ones are made block by block */
  readonly scratchBytes: number;
  cublas(): Cublas;
  /** An int that is 0 and that whatever counts with it leaves at 0. */
  counter(): number;
  /** Puts host values on the way to the device. */
  upload(to: number, from: ArrayBufferView, bytes: number): void;
  /** Puts a kernel on the stream. `grid` as a number is blocks along x. */
  launch(kernel: string, grid: Grid | number, block: number, args: readonly KernelArgument[]): void;
  /** Puts an element-wise kernel on the stream, enough threads for `n` elements. */
  launchEach(kernel: string, n: number, args: readonly KernelArgument[]): void;
  /** Milliseconds by kernel from now on; the function returned stops. */
  profile(): () => Record<string, { calls: number; milliseconds: number }>;
  /** Measures what a function puts on the stream outside of kernels (cuBLAS). */
  timed<T>(name: string, run: () => T): T;
}

const MAJOR = 75;
const MINOR = 76;
const PROCESSORS = 16;
const WORKSPACE = 32 * 2 ** 20;
const EMULATED_WORKSPACE = 1024;
const STAGING = 8 * 2 ** 20;
const OLDEST = 70;
const MOST_SCRATCH = 2 ** 30;

interface KernelEntry {
  readonly handle: number;
  readonly letters: string;
  /** address of the array of pointers to the arguments, and what keeps it alive */
  readonly table: number;
  readonly keep: BigUint64Array;
}

interface DeviceOptions {
  readonly index: number;
  readonly memoryLimit: number | undefined;
  readonly tf32: boolean;
}

/** @throws MsaeError `device` without a driver or such a device, or for one older than compute capability 7.0. */
export function openDevice({ index, memoryLimit, tf32 }: DeviceOptions): Device {
  const driver = openDriver();
  const count = driver.deviceCount();
  if (index >= count) {
    throw deviceError(`device ${index} was asked for, but this machine has ${count} (counted from 0)`);
  }
  driver.useDevice(index);
  const emulated = emulatorPath() !== undefined;
  const capability = 10 * driver.attribute(MAJOR, index) + driver.attribute(MINOR, index);
  const name = driver.deviceName(index);
  if (capability < OLDEST) {
    throw deviceError(
      `${name} has compute capability ${capability / 10}; 7.0 (Volta) or later is needed, use the cpu backends`,
    );
  }
  const stream = driver.createStream();
  const limit = Math.min(memoryLimit ?? Number.POSITIVE_INFINITY, driver.totalMemory(index));
  const allocator = createAllocator(driver, limit, !emulated || process.env.MSAE_CUDA_IDLE !== undefined);
  const staging = createStaging(driver, stream, emulated ? 4096 : STAGING);
  const arch = emulated ? undefined : `sm_${capability}`;
  const processors = driver.attribute(PROCESSORS, index);
  const modules = new Map<string, number>();
  const entries = new Map<string, KernelEntry>();
  const slots = new ArrayBuffer(8 * 256);
  const [i32, u32, f32, f64] = [
    new Int32Array(slots),
    new Uint32Array(slots),
    new Float32Array(slots),
    new Float64Array(slots),
  ];
  const slotsAt = Number(koffi.address(i32));
  let cublas: Cublas | undefined;
  let counter = 0;
  let profile: Profile | undefined;

  const entryOf = (kernel: string): KernelEntry => {
    let entry = entries.get(kernel);
    if (entry !== undefined) return entry;
    const [file, letters] = kernelSignature(kernel);
    let module = modules.get(file);
    if (module === undefined) {
      module = driver.loadModule(kernelImage(file, arch));
      modules.set(file, module);
    }
    const keep = new BigUint64Array(Math.max(16, letters.length));
    let at = 0;
    for (const [i, letter] of [...letters].entries()) {
      keep[i] = BigInt(slotsAt + 8 * at);
      at += letter === 'L' ? 9 : 1;
    }
    entry = { handle: driver.getFunction(module, kernel), letters, table: Number(koffi.address(keep)), keep };
    entries.set(kernel, entry);
    return entry;
  };

  const write = (letters: string, args: readonly KernelArgument[], kernel: string): void => {
    if (args.length !== letters.length)
      throw deviceError(`${kernel} takes ${letters.length} arguments, got ${args.length}`);
    let at = 0;
    for (let i = 0; i < args.length; i++, at++) {
      const value = args[i]!;
      switch (letters[i]) {
        case 'p':
          u32[2 * at] = (value as number) >>> 0;
          u32[2 * at + 1] = Math.floor((value as number) / 2 ** 32);
          break;
        case 'i':
          i32[2 * at] = value as number;
          break;
        case 'f':
          f32[2 * at] = value as number;
          break;
        case 'd':
          f64[at] = value as number;
          break;
        default:
          i32.set(value as Int32Array, 2 * at);
          at += 8;
      }
    }
  };

  const device: Device = {
    driver,
    name,
    arch,
    processors,
    stream,
    allocator,
    tf32,
    scratchBytes: Math.min(MOST_SCRATCH, limit / 8),
    cublas: () => {
      const bytes = emulated ? EMULATED_WORKSPACE : WORKSPACE;
      cublas ??= openCublas(stream, { pointer: allocator.alloc(bytes, "cuBLAS's workspace"), bytes });
      return cublas;
    },
    counter: () => {
      if (counter === 0) {
        counter = allocator.alloc(4, 'a counter');
        driver.fill(counter, 0, 1, stream);
      }
      return counter;
    },
    upload: staging.upload,
    launch: (kernel, grid, block, args) => {
      const entry = entryOf(kernel);
      write(entry.letters, args, kernel);
      const shape: Grid = typeof grid === 'number' ? [grid, 1, 1] : grid;
      if (shape[0] === 0 || shape[1] === 0 || shape[2] === 0) return;
      if (profile === undefined) driver.launch(entry.handle, shape, block, 0, stream, entry.table);
      else {
        device.timed(kernel, () => driver.launch(entry.handle, shape, block, 0, stream, entry.table));
      }
    },
    launchEach: (kernel, n, args) => {
      if (n >= 2 ** 31) throw unsupported(`${kernel}: a tensor of ${n} elements is too large (2³¹ − 1)`);
      device.launch(kernel, Math.min(Math.ceil(n / 256), processors * 32), 256, args);
    },
    profile: () => {
      const own: Profile = [];
      profile = own;
      return () => {
        profile = undefined;
        driver.synchronise(stream);
        return summary(driver, own);
      };
    },
    timed: (kernel, run) => {
      if (profile === undefined) return run();
      const [from, to] = [driver.createEvent(), driver.createEvent()];
      driver.recordEvent(from, stream);
      const out = run();
      driver.recordEvent(to, stream);
      profile.push([kernel, from, to]);
      return out;
    },
  };
  return device;
}

type Profile = [kernel: string, from: number, to: number][];

function summary(driver: Driver, profile: Profile): Record<string, { calls: number; milliseconds: number }> {
  const out: Record<string, { calls: number; milliseconds: number }> = {};
  for (const [kernel, from, to] of profile) {
    out[kernel] ??= { calls: 0, milliseconds: 0 };
    out[kernel].calls++;
    out[kernel].milliseconds += driver.elapsed(from, to);
    driver.destroyEvent(from);
    driver.destroyEvent(to);
  }
  return out;
}
