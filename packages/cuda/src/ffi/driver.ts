/** The part of the CUDA driver API that is used here. Handles and device pointers are plain numbers. */
import type { LibraryHandle } from 'koffi';
import { deviceError } from '../errors.ts';
import { openLibrary } from './libraries.ts';

const NOT_READY = 600;
const OUT_OF_MEMORY = 2;

export interface Driver {
  readonly version: number;
  deviceCount(): number;
  deviceName(device: number): string;
  attribute(attribute: number, device: number): number;
  totalMemory(device: number): number;
  /** Makes the device's primary context current on this thread. */
  useDevice(device: number): void;
  memory(): { free: number; total: number };
  /** A device pointer, or undefined where the device has not enough memory. */
  alloc(bytes: number): number | undefined;
  free(pointer: number): void;
  /** The address of page-locked host memory. */
  allocHost(bytes: number): number;
  /** @param from an address in page-locked memory */
  copyIn(to: number, from: number, bytes: number, stream: number): void;
  copyOut(to: ArrayBufferView, from: number, bytes: number, stream: number): void;
  copy(to: number, from: number, bytes: number, stream: number): void;
  fill(to: number, word: number, words: number, stream: number): void;
  createStream(): number;
  synchronise(stream: number): void;
  createEvent(): number;
  recordEvent(event: number, stream: number): void;
  /** Whether everything before the event has run. */
  eventDone(event: number): boolean;
  waitFor(event: number): void;
  /** Milliseconds between two events that have run. */
  elapsed(from: number, to: number): number;
  destroyEvent(event: number): void;
  loadModule(image: Uint8Array): number;
  getFunction(module: number, name: string): number;
  setAttribute(fn: number, attribute: number, value: number): void;
  launch(
    fn: number,
    grid: readonly [number, number, number],
    block: number,
    shared: number,
    stream: number,
    parameters: number,
  ): void;
}

/** @throws MsaeError `device` where there is no driver or no device. */
export function openDriver(): Driver {
  const lib = openLibrary('driver');
  const check = errorCheck(lib);
  const bind = (name: string, parameters: readonly string[]): ((...args: unknown[]) => void) => {
    const call = lib.func(name, 'int', [...parameters]);
    return (...args) => check(call(...args) as number, name);
  };
  const raw = (name: string, parameters: readonly string[]): ((...args: unknown[]) => number) =>
    lib.func(name, 'int', [...parameters]);
  const handle = new BigUint64Array(2);
  const int = new Int32Array(1);
  const float = new Float32Array(1);
  /** Calls a function whose first parameter receives a 64-bit value. */
  const returning = (name: string, parameters: readonly string[]): ((...args: unknown[]) => number) => {
    const call = bind(name, ['void *', ...parameters]);
    return (...args) => {
      call(handle, ...args);
      return Number(handle[0]);
    };
  };
  const returningInt = (name: string, parameters: readonly string[]): ((...args: unknown[]) => number) => {
    const call = bind(name, ['void *', ...parameters]);
    return (...args) => {
      call(int, ...args);
      return int[0]!;
    };
  };
  const u64 = 'uint64_t';

  bind('cuInit', ['uint'])(0);
  const deviceGet = returningInt('cuDeviceGet', ['int']);
  const name = bind('cuDeviceGetName', ['void *', 'int', 'int']);
  const retain = returning('cuDevicePrimaryCtxRetain', ['int']);
  const setCurrent = bind('cuCtxSetCurrent', [u64]);
  const memInfo = bind('cuMemGetInfo_v2', ['void *', 'void *']);
  const alloc = raw('cuMemAlloc_v2', ['void *', 'size_t']);
  const free = bind('cuMemFree_v2', [u64]);
  const allocHost = returning('cuMemAllocHost_v2', ['size_t']);
  const copyIn = bind('cuMemcpyHtoDAsync_v2', [u64, u64, 'size_t', u64]);
  const copyOut = bind('cuMemcpyDtoHAsync_v2', ['void *', u64, 'size_t', u64]);
  const copy = bind('cuMemcpyDtoDAsync_v2', [u64, u64, 'size_t', u64]);
  const fill = bind('cuMemsetD32Async', [u64, 'uint32_t', 'size_t', u64]);
  const createStream = returning('cuStreamCreate', ['uint']);
  const synchronise = bind('cuStreamSynchronize', [u64]);
  const createEvent = returning('cuEventCreate', ['uint']);
  const recordEvent = bind('cuEventRecord', [u64, u64]);
  const query = raw('cuEventQuery', [u64]);
  const waitFor = bind('cuEventSynchronize', [u64]);
  const elapsed = bind('cuEventElapsedTime', ['void *', u64, u64]);
  const destroyEvent = bind('cuEventDestroy_v2', [u64]);
  const loadModule = returning('cuModuleLoadData', ['void *']);
  const getFunction = returning('cuModuleGetFunction', [u64, 'const char *']);
  const setAttribute = bind('cuFuncSetAttribute', [u64, 'int', 'int']);
  const launchKernel = raw('cuLaunchKernel', [u64, ...Array<string>(7).fill('uint'), u64, u64, u64]);
  const totalMemory = returning('cuDeviceTotalMem_v2', ['int']);
  const count = returningInt('cuDeviceGetCount', []);

  return {
    version: returningInt('cuDriverGetVersion', [])(),
    deviceCount: count,
    deviceName: (device) => {
      const text = Buffer.alloc(256);
      name(text, 256, deviceGet(device));
      return text.toString('utf8', 0, text.indexOf(0));
    },
    attribute: returningInt('cuDeviceGetAttribute', ['int', 'int']),
    totalMemory,
    useDevice: (device) => setCurrent(retain(deviceGet(device))),
    memory: () => {
      memInfo(handle.subarray(0, 1), handle.subarray(1));
      return { free: Number(handle[0]), total: Number(handle[1]) };
    },
    alloc: (bytes) => {
      const code = alloc(handle, bytes);
      if (code === OUT_OF_MEMORY) return undefined;
      check(code, 'cuMemAlloc');
      return Number(handle[0]);
    },
    free,
    allocHost,
    copyIn,
    copyOut,
    copy,
    fill,
    createStream: () => createStream(1), // does not wait for the legacy default stream
    synchronise,
    createEvent: () => createEvent(0),
    recordEvent,
    eventDone: (event) => {
      const code = query(event);
      if (code === NOT_READY) return false;
      check(code, 'cuEventQuery');
      return true;
    },
    waitFor,
    elapsed: (from, to) => {
      elapsed(float, from, to);
      return float[0]!;
    },
    destroyEvent,
    loadModule,
    getFunction,
    setAttribute,
    launch: (fn, [x, y, z], block, shared, stream, parameters) =>
      check(launchKernel(fn, x, y, z, block, 1, 1, shared, stream, parameters, 0), 'cuLaunchKernel'),
  };
}

/** Throws for every result but 0, with the driver's own name and text for it. */
function errorCheck(lib: LibraryHandle): (code: number, call: string) => void {
  const errorName = lib.func('int cuGetErrorName(int code, _Out_ const char **name)');
  const errorText = lib.func('int cuGetErrorString(int code, _Out_ const char **text)');
  return (code, call) => {
    if (code === 0) return;
    const [name, text]: [(string | null)[], (string | null)[]] = [[null], [null]];
    errorName(code, name);
    errorText(code, text);
    const hint =
      code === 700 || code === 719
        ? '; a kernel has failed, and the context with it: restart the process, and report this'
        : '';
    throw deviceError(`${call}: ${name[0] ?? `error ${code}`} (${text[0] ?? 'no text'})${hint}`, {
      cuda: name[0] ?? code,
    });
  };
}
