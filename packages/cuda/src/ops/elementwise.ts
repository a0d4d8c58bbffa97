/** Element-wise ops, one or two operands with broadcasting: the formulas are lists in kernels/tensor.cu. */
import { backend_util, type DataType, type TensorInfo, util } from '@tensorflow/tfjs-core';
import type { CudaBackend } from '../backend.ts';
import { unsupported } from '../errors.ts';
import { ops } from '../generated/kernels.ts';
import { broadcastStrides, makeView } from './layout.ts';
import type { Op, OpTable } from './register.ts';

const codes = (list: string): ReadonlyMap<string, number> =>
  new Map(ops[list]!.map((name, code) => [name, code]));

const unaryFloat = codes('UNARY_FLOAT');
const unaryInt = codes('UNARY_INT');
const unaryTest = codes('UNARY_TEST');
const binaryFloat = codes('BINARY_FLOAT');
const binaryInt = codes('BINARY_INT');
const compare = codes('COMPARE');

/** Attributes of the ops that have one or two numbers. */
interface UnaryAttrs {
  alpha?: number;
  clipValueMin?: number;
  clipValueMax?: number;
}

/** out = op(x), element by element. */
export function unary(backend: CudaBackend, name: string, x: TensorInfo, attrs: UnaryAttrs = {}): TensorInfo {
  const n = util.sizeFromShape(x.shape);
  const p = attrs.alpha ?? attrs.clipValueMin ?? 0;
  const q = attrs.clipValueMax ?? 0;
  const test = unaryTest.get(name);
  const code = test ?? (x.dtype === 'float32' ? unaryFloat.get(name) : unaryInt.get(name));
  if (code === undefined || (test !== undefined && x.dtype !== 'float32'))
    throw unsupported(`${name} is not defined for ${x.dtype}; cast to float32 first`);
  const out = backend.make(x.shape, test !== undefined ? 'bool' : x.dtype);
  const pointers = [backend.pointer(x), backend.pointer(out)] as const;
  if (test !== undefined) backend.device.launchEach('unaryTest', n, [code, ...pointers, n]);
  else {
    const kernel = x.dtype === 'float32' ? 'unaryFloat' : 'unaryInt';
    backend.device.launchEach(kernel, n, [code, ...pointers, p, q, n]);
  }
  return out;
}

/** out = op(a, b) with broadcasting; a single number that the host knows travels as an argument. */
export function binary(backend: CudaBackend, name: string, a: TensorInfo, b: TensorInfo): TensorInfo {
  const shape = backend_util.assertAndGetBroadcastShape(a.shape, b.shape);
  const n = util.sizeFromShape(shape);
  const float = a.dtype === 'float32';
  const comparison = compare.get(name);
  const code = comparison ?? (float ? binaryFloat : binaryInt).get(name);
  if (code === undefined || a.dtype !== b.dtype)
    throw unsupported(`${name} is not defined for ${a.dtype} and ${b.dtype}; cast both to float32 first`);
  const logical = comparison !== undefined || name.startsWith('Logical');
  const dtype: DataType = logical ? 'bool' : a.dtype === 'bool' ? 'int32' : a.dtype;
  const out = backend.make(shape, dtype);
  const [x, y] = [number(backend, a, n), number(backend, b, n)];
  const view = makeView(shape, broadcastStrides(a.shape, shape), broadcastStrides(b.shape, shape));
  const kernel = `${comparison === undefined ? 'binary' : 'compare'}${float ? 'Float' : 'Int'}`;
  const operands = [
    x === undefined ? backend.pointer(a) : 0,
    y === undefined ? backend.pointer(b) : 0,
    backend.pointer(out),
  ];
  backend.device.launchEach(kernel, n, [code, ...operands, x ?? 0, y ?? 0, view.layout, view.rank, n]);
  return out;
}

function number(backend: CudaBackend, info: TensorInfo, n: number): number | undefined {
  return n > 0 && util.sizeFromShape(info.shape) === 1 ? backend.hostValues(info)?.[0] : undefined;
}

/** Numbers of another type; bool and int32 look alike on the device. */
export function cast(backend: CudaBackend, x: TensorInfo, dtype: DataType): TensorInfo {
  if (x.dtype === dtype) return backend.share(x, x.shape);
  if (x.dtype === 'string' || dtype === 'string' || x.dtype === 'complex64' || dtype === 'complex64')
    throw unsupported(`cannot cast ${x.dtype} to ${dtype}`);
  const n = util.sizeFromShape(x.shape);
  if (x.dtype === 'bool' && dtype === 'int32') return unaryCopy(backend, x, dtype, n);
  const out = backend.make(x.shape, dtype);
  const pointers = [backend.pointer(x), backend.pointer(out)] as const;
  if (x.dtype === 'float32')
    backend.device.launchEach('castFloatToInt', n, [...pointers, dtype === 'bool' ? 1 : 0, n]);
  else if (dtype === 'float32') backend.device.launchEach('castIntToFloat', n, [...pointers, n]);
  else backend.device.launchEach('castIntToBool', n, [...pointers, n]);
  return out;
}

function unaryCopy(backend: CudaBackend, x: TensorInfo, dtype: DataType, n: number): TensorInfo {
  const out = backend.make(x.shape, dtype);
  const { driver, stream } = backend.device;
  if (n > 0) driver.copy(backend.pointer(out), backend.pointer(x), 4 * n, stream);
  return out;
}

const unaryNames = new Set([...unaryFloat.keys(), ...unaryInt.keys(), ...unaryTest.keys()]);
const binaryNames = new Set([...binaryFloat.keys(), ...binaryInt.keys(), ...compare.keys()]);
binaryNames.delete('EluGrad'); // its inputs have names of their own
binaryNames.delete('Prelu');

export const elementwiseOps: OpTable = {
  ...Object.fromEntries(
    [...unaryNames].map((name): [string, Op] => [
      name,
      (backend, { x }, attrs) => unary(backend, name, x!, attrs),
    ]),
  ),
  ...Object.fromEntries(
    [...binaryNames].map((name): [string, Op] => [
      name,
      (backend, { a, b }) => binary(backend, name, a!, b!),
    ]),
  ),
  // an integer whatever the operands are, as on tfjs's other backends
  FloorDiv: (backend, { a, b }) => {
    const quotient = binary(backend, 'FloorDiv', a!, b!);
    const out = cast(backend, quotient, 'int32');
    backend.disposeData(quotient.dataId);
    return out;
  },
  EluGrad: (backend, { dy, y }) => binary(backend, 'EluGrad', dy!, y!),
  Prelu: (backend, { x, alpha }) => binary(backend, 'Prelu', x!, alpha!),
  Cast: (backend, { x }, attrs) => cast(backend, x!, (attrs as { dtype: DataType }).dtype),
  AddN: (backend, inputs) => {
    const [first, ...rest] = Object.values(inputs) as TensorInfo[];
    let sum = backend.share(first!, first!.shape);
    for (const next of rest) {
      const total = binary(backend, 'Add', sum, next);
      backend.disposeData(sum.dataId);
      sum = total;
    }
    return sum;
  },
  Select: (backend, { condition, t, e }) => {
    const n = util.sizeFromShape(t!.shape);
    const out = backend.make(t!.shape, t!.dtype);
    const each = Math.max(1, n / Math.max(1, util.sizeFromShape(condition!.shape)));
    const pointers = [condition!, t!, e!, out].map((info) => backend.pointer(info));
    backend.device.launchEach('selectWhere', n, [...pointers, each, n]);
    return out;
  },
};
