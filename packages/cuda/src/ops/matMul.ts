/** Matrix products by cuBLAS, in float32. */
import { msaeError } from '@msae/schema';
import { backend_util, type TensorInfo, util } from '@tensorflow/tfjs-core';
import type { CudaBackend } from '../backend.ts';
import { unsupported } from '../errors.ts';
import { binary, unary } from './elementwise.ts';
import type { OpTable } from './register.ts';
import { fill } from './shapes.ts';

interface Transposes {
  transposeA: boolean;
  transposeB: boolean;
}

export function matMul(
  backend: CudaBackend,
  a: TensorInfo,
  b: TensorInfo,
  { transposeA, transposeB }: Transposes,
): TensorInfo {
  const [aRows, aColumns] = a.shape.slice(-2) as [number, number];
  const [bRows, bColumns] = b.shape.slice(-2) as [number, number];
  const [m, k] = transposeA ? [aColumns, aRows] : [aRows, aColumns];
  const [inner, n] = transposeB ? [bColumns, bRows] : [bRows, bColumns];
  if (k !== inner) {
    throw msaeError(
      'shape',
      `matMul: inner shapes (${k}) and (${inner}) of [${a.shape}] and [${b.shape}] must match`,
    );
  }
  const outerA = a.shape.slice(0, -2);
  const outerB = b.shape.slice(0, -2);
  const outer = backend_util.assertAndGetBroadcastShape(outerA, outerB);
  const [batchesA, batchesB] = [util.sizeFromShape(outerA), util.sizeFromShape(outerB)];
  const batches = util.sizeFromShape(outer);
  if (a.dtype !== 'float32' || b.dtype !== 'float32')
    throw unsupported(`matMul of ${a.dtype} and ${b.dtype} is not available; cast to float32`);
  if ((batchesA !== 1 && batchesA !== batches) || (batchesB !== 1 && batchesB !== batches))
    throw unsupported(`matMul cannot broadcast [${a.shape}] and [${b.shape}]; tile one of them`);
  const shape = [...outer, m, n];
  if (k === 0) return fill(backend, shape, 0, 'float32');
  const out = backend.make(shape, 'float32');
  if (batches * m * n === 0) return out;
  const product = {
    ...{ a: backend.pointer(a), b: backend.pointer(b), c: backend.pointer(out), m, n, k },
    ...{ transposeA, transposeB, batches, tf32: false },
    strideA: batchesA === 1 ? 0 : m * k,
    strideB: batchesB === 1 ? 0 : k * n,
  };
  backend.device.timed('cuBLAS, float32', () => backend.device.cublas().multiply(product));
  return out;
}

const ACTIVATIONS: Readonly<Record<string, string>> = {
  relu: 'Relu',
  relu6: 'Relu6',
  elu: 'Elu',
  sigmoid: 'Sigmoid',
  leakyrelu: 'LeakyRelu',
};

export const matMulOps: OpTable = {
  BatchMatMul: (backend, { a, b }, attrs: Transposes) => matMul(backend, a!, b!, attrs),
  _FusedMatMul: (backend, inputs, attrs: Transposes & { activation: string; leakyreluAlpha?: number }) => {
    const { a, b, bias, preluActivationWeights } = inputs;
    const steps: ((x: TensorInfo) => TensorInfo)[] = [];
    if (bias) steps.push((x) => binary(backend, 'Add', x, bias));
    const { activation } = attrs;
    if (activation === 'prelu') steps.push((x) => binary(backend, 'Prelu', x, preluActivationWeights!));
    else if (activation && activation !== 'linear') {
      const name = ACTIVATIONS[activation];
      if (name === undefined)
        throw unsupported(`fused.matMul: the activation ${activation} is not available`);
      steps.push((x) =>
        unary(backend, name, x, attrs.leakyreluAlpha === undefined ? {} : { alpha: attrs.leakyreluAlpha }),
      );
    }
    let out = matMul(backend, a!, b!, attrs);
    for (const step of steps) {
      const next = step(out);
      backend.disposeData(out.dataId);
      out = next;
    }
    return out;
  },
};
