/** tfjs's storage on a CUDA device: values stay on the host until a kernel asks for them, results stay on the device. */
import {
  type BackendValues,
  type DataId,
  DataStorage,
  type DataType,
  engine,
  KernelBackend,
  type TensorInfo,
  type TypedArray,
  util,
} from '@tensorflow/tfjs-core';
import type { Device } from './device.ts';
import { unsupported } from './errors.ts';

interface Stored {
  readonly dtype: DataType;
  readonly size: number;
  refCount: number;
  /** on the host: what was written or last read */
  values: BackendValues | undefined;
  /** on the device; 0 until a kernel asks for it */
  pointer: number;
  /** further device memory that lives as long as the tensor (see {@link CudaBackend.attach}) */
  attached?: Map<string, Attached>;
}

/** Device memory derived from a tensor. */
export interface Attached {
  readonly pointers: readonly number[];
}

/** bool tensors are int32 on the device. */
const BYTES = 4;

export class CudaBackend extends KernelBackend {
  readonly device: Device;
  private readonly storage: DataStorage<Stored>;

  constructor(device: Device) {
    super();
    this.device = device;
    this.storage = new DataStorage<Stored>(this, engine());
  }

  override write(values: BackendValues, shape: number[], dtype: DataType): DataId {
    const dataId = {};
    this.move(dataId, values, shape, dtype, 1);
    return dataId;
  }

  override move(
    dataId: DataId,
    values: BackendValues,
    shape: number[],
    dtype: DataType,
    refCount: number,
  ): void {
    if (dtype === 'complex64') throw unsupported('complex64 tensors are not supported; use the cpu backend');
    this.storage.set(dataId, { dtype, size: util.sizeFromShape(shape), refCount, values, pointer: 0 });
  }

  /** A new tensor with memory on the device; its contents are undefined. */
  make(shape: number[], dtype: DataType): TensorInfo {
    const size = util.sizeFromShape(shape);
    const what = `a tensor of shape [${shape.join(', ')}] (${dtype})`;
    const pointer = this.device.allocator.alloc(size * BYTES, what);
    const dataId = {};
    this.storage.set(dataId, { dtype, size, refCount: 1, values: undefined, pointer });
    return { dataId, shape, dtype };
  }

  /** A new tensor with values on the host. */
  makeFromHost(values: TypedArray, shape: number[], dtype: DataType): TensorInfo {
    return { dataId: this.write(values, shape, dtype), shape, dtype };
  }

  /** The same data under another shape. */
  share(info: TensorInfo, shape: number[]): TensorInfo {
    this.incRef(info.dataId);
    return { dataId: info.dataId, shape, dtype: info.dtype };
  }

  /** The device pointer of a tensor, uploaded now if it never was. */
  pointer(info: TensorInfo): number {
    const stored = this.storage.get(info.dataId);
    if (stored.pointer === 0 && stored.size > 0) this.upload(stored);
    return stored.pointer;
  }

  /** As {@link pointer}, 0 for an input that is not there. */
  optional(info: TensorInfo | null | undefined): number {
    return info === undefined || info === null ? 0 : this.pointer(info);
  }

  /** A tensor's values where the host has them too. */
  hostValues(info: TensorInfo): TypedArray | undefined {
    return this.storage.get(info.dataId).values as TypedArray | undefined;
  }

  /** Says that a kernel has written into a tensor in place. */
  modified(info: TensorInfo): void {
    const stored = this.storage.get(info.dataId);
    stored.values = undefined;
    this.releaseAttached(stored);
  }

  /** Device memory derived from a tensor, made once and freed with it. */
  attach<T extends Attached>(info: TensorInfo, key: string, make: () => T): T {
    const stored = this.storage.get(info.dataId);
    stored.attached ??= new Map();
    let attached = stored.attached.get(key) as T | undefined;
    if (attached === undefined) {
      attached = make();
      stored.attached.set(key, attached);
    }
    return attached;
  }

  /** What {@link attach} has made of a tensor and nothing has invalidated since. */
  attached<T extends Attached>(info: TensorInfo, key: string): T | undefined {
    return this.storage.get(info.dataId).attached?.get(key) as T | undefined;
  }

  private upload(stored: Stored): void {
    const { device } = this;
    const { size, dtype, values } = stored;
    if (dtype === 'string') throw unsupported('string tensors have no operations on the device');
    stored.pointer = device.allocator.alloc(size * BYTES, `a tensor of ${size} values (${dtype})`);
    device.upload(stored.pointer, hostWords(values as TypedArray, dtype), size * BYTES);
  }

  override readSync(dataId: DataId): BackendValues {
    const stored = this.storage.get(dataId);
    if (stored.values === undefined) stored.values = this.download(stored);
    return stored.values;
  }

  /** Waits without blocking the event loop, then copies. */
  override async read(dataId: DataId): Promise<BackendValues> {
    const stored = this.storage.get(dataId);
    if (stored.values !== undefined) return stored.values;
    const { driver, stream } = this.device;
    const event = driver.createEvent();
    try {
      driver.recordEvent(event, stream);
      while (!driver.eventDone(event)) await new Promise((resolve) => setImmediate(resolve));
    } finally {
      driver.destroyEvent(event);
    }
    return this.readSync(dataId);
  }

  private download({ dtype, size, pointer }: Stored): TypedArray {
    const out = dtype === 'float32' ? new Float32Array(size) : new Int32Array(size);
    if (size > 0) this.device.driver.copyOut(out, pointer, size * BYTES, this.device.stream);
    return dtype === 'bool' ? Uint8Array.from(out) : out;
  }

  override numDataIds(): number {
    return this.storage.numDataIds();
  }

  override refCount(dataId: DataId): number {
    return this.storage.has(dataId) ? this.storage.get(dataId).refCount : 0;
  }

  override incRef(dataId: DataId): void {
    this.storage.get(dataId).refCount++;
  }

  decRef(dataId: DataId): void {
    if (this.storage.has(dataId)) this.storage.get(dataId).refCount--;
  }

  override disposeData(dataId: DataId, force: boolean = false): boolean {
    if (!this.storage.has(dataId)) return true;
    const stored = this.storage.get(dataId);
    stored.refCount--;
    if (!force && stored.refCount > 0) return false;
    this.releaseAttached(stored);
    this.device.allocator.free(stored.pointer);
    this.storage.delete(dataId);
    return true;
  }

  private releaseAttached(stored: Stored): void {
    for (const { pointers } of stored.attached?.values() ?? []) {
      for (const pointer of pointers) this.device.allocator.free(pointer);
    }
    delete stored.attached;
  }

  override memory(): { unreliable: boolean } {
    return { unreliable: false };
  }

  override timerAvailable(): boolean {
    return true;
  }

  override async time(run: () => void): Promise<{ kernelMs: number }> {
    const { driver, stream } = this.device;
    const [from, to] = [driver.createEvent(), driver.createEvent()];
    driver.recordEvent(from, stream);
    run();
    driver.recordEvent(to, stream);
    while (!driver.eventDone(to)) await new Promise((resolve) => setImmediate(resolve));
    const kernelMs = driver.elapsed(from, to);
    driver.destroyEvent(from);
    driver.destroyEvent(to);
    return { kernelMs };
  }

  override floatPrecision(): 16 | 32 {
    return 32;
  }

  override epsilon(): number {
    return 1e-7;
  }

  override dispose(): void {
    this.device.driver.synchronise(this.device.stream);
    this.device.allocator.trim();
  }
}

function hostWords(values: TypedArray, dtype: DataType): Float32Array | Int32Array {
  if (dtype === 'float32') return values instanceof Float32Array ? values : Float32Array.from(values);
  return values instanceof Int32Array ? values : Int32Array.from(values);
}
