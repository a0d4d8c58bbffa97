/**
 * A state dict as torch.save writes it (zip format, pickle protocol 2), which `torch.load(weights_only=True)` reads:
 * an OrderedDict of tensors, each with a storage of its own.
 */
import { type Dtype, float32ToBytes } from '@msae/data';
import type { SaeFile } from './saeFile.ts';
import { writeZip, type ZipEntry } from './zipWrite.ts';

export interface TorchEntry {
  readonly name: string;
  readonly shape: readonly number[];
  /** In elements; row-major when absent. */
  readonly strides?: readonly number[];
  readonly dtype: Extract<Dtype, 'F64' | 'F32' | 'F16' | 'BF16' | 'I32' | 'I64'>;
  /** The storage: as many elements as the shape has. Floats may be given as float32 and are converted. */
  data(): Promise<Float32Array | Int32Array | BigInt64Array>;
}

const storageNames = {
  F64: 'DoubleStorage',
  F32: 'FloatStorage',
  F16: 'HalfStorage',
  BF16: 'BFloat16Storage',
  I32: 'IntStorage',
  I64: 'LongStorage',
} as const;

export function torchStateDict(path: string, entries: readonly TorchEntry[]): SaeFile {
  const folder = path.replace(/^.*\//, '').replace(/\.[^.]*$/, '');
  const text = (value: string) => async () => new TextEncoder().encode(value);
  const members: ZipEntry[] = [
    { name: `${folder}/data.pkl`, data: async () => pickleStateDict(entries) },
    { name: `${folder}/byteorder`, data: text('little') },
    ...entries.map((entry, i) => ({ name: `${folder}/data/${i}`, data: () => storageBytes(entry) })),
    { name: `${folder}/version`, data: text('3\n') },
  ];
  return { path, write: (sink) => writeZip(sink, members) };
}

async function storageBytes(entry: TorchEntry): Promise<Uint8Array> {
  const data = await entry.data();
  if (data instanceof Float32Array) return float32ToBytes(data, entry.dtype);
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** PROTO 2, OrderedDict(), MARK, (name, tensor)…, SETITEMS, STOP. Without memo: every value stands for itself. */
export function pickleStateDict(entries: readonly Omit<TorchEntry, 'data'>[]): Uint8Array {
  const out: number[] = [0x80, 2];
  const ascii = (text: string): void => {
    for (let i = 0; i < text.length; i++) out.push(text.charCodeAt(i));
  };
  const global = (module: string, name: string): void => {
    out.push(0x63);
    ascii(`${module}\n${name}\n`);
  };
  const string = (text: string): void => {
    const bytes = new TextEncoder().encode(text);
    out.push(0x58, bytes.length & 255, (bytes.length >> 8) & 255, 0, 0);
    out.push(...bytes);
  };
  const integer = (value: number): void => {
    const bytes: number[] = [];
    for (let rest = BigInt(value); rest > 0n; rest >>= 8n) bytes.push(Number(rest & 255n));
    if (bytes.length && bytes.at(-1)! & 0x80) bytes.push(0); // two's complement: keep it positive
    out.push(0x8a, bytes.length, ...bytes);
  };
  const tuple = (values: readonly number[]): void => {
    out.push(0x28);
    for (const value of values) integer(value);
    out.push(0x74);
  };
  global('collections', 'OrderedDict');
  out.push(0x29, 0x52, 0x28);
  entries.forEach(({ name, shape, strides, dtype }, i) => {
    string(name);
    global('torch._utils', '_rebuild_tensor_v2');
    out.push(0x28, 0x28); // the arguments, of which the first is the storage's persistent id
    string('storage');
    global('torch', storageNames[dtype]);
    string(String(i));
    string('cpu');
    integer(shape.reduce((product, n) => product * n, 1));
    out.push(0x74, 0x51);
    integer(0);
    tuple(shape);
    tuple(strides ?? rowMajor(shape));
    out.push(0x89); // requires_grad
    global('collections', 'OrderedDict');
    out.push(0x29, 0x52, 0x74, 0x52);
  });
  out.push(0x75, 0x2e);
  return Uint8Array.from(out);
}

function rowMajor(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--) strides[axis] = strides[axis + 1]! * shape[axis + 1]!;
  return strides;
}
