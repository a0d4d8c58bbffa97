/** Registers the plain TypeScript kernels on tfjs's `cpu` backend; called by the first sparse call, not on import. */
import {
  getKernel,
  type KernelFunc,
  registerKernel,
  type TensorInfo,
  type TypedArray,
} from '@tensorflow/tfjs-core';
import {
  type AdamAttrs,
  type EncodeActiveAttrs,
  KERNEL,
  type LatentGradsAttrs,
  type PrefixLossAttrs,
} from '../contract.ts';
import { adamArrays, globalNormArrays } from './adam.ts';
import { encodeActiveArrays } from './encode.ts';
import { latentGradsArrays } from './latentGrads.ts';
import { decodeActiveArrays, prefixLossArrays } from './prefixLoss.ts';

/** The little of tfjs's MathBackendCPU that is needed here. */
interface CpuBackend {
  readonly data: { get(dataId: object): { values: TypedArray } };
  makeTensorInfo(shape: number[], dtype: string, values: TypedArray): TensorInfo;
}

export function registerCpuKernels(): void {
  if (getKernel(KERNEL.encodeActive, 'cpu') !== undefined) return;
  for (const [kernelName, kernelFunc] of Object.entries(kernels)) {
    registerKernel({ kernelName, backendName: 'cpu', kernelFunc });
  }
}

const floats = (backend: unknown, info: TensorInfo): Float32Array =>
  (backend as CpuBackend).data.get(info.dataId).values as Float32Array;
const maybeFloats = (backend: unknown, info: TensorInfo | undefined): Float32Array | undefined =>
  info === undefined ? undefined : floats(backend, info);
const ints = (backend: unknown, info: TensorInfo): Int32Array =>
  (backend as CpuBackend).data.get(info.dataId).values as Int32Array;
const make = (backend: unknown, shape: number[], values: TypedArray): TensorInfo =>
  (backend as CpuBackend).makeTensorInfo(shape, values instanceof Int32Array ? 'int32' : 'float32', values);

const kernels: Record<string, KernelFunc> = {
  [KERNEL.encodeActive]: ({ inputs, attrs, backend: b }) => {
    const options = attrs as unknown as EncodeActiveAttrs;
    const [rows, d] = inputs.x!.shape as [number, number];
    const n = inputs.b_enc!.shape[0]!;
    const out = encodeActiveArrays(
      {
        x: floats(b, inputs.x!),
        W_enc: floats(b, inputs.W_enc!),
        b_enc: floats(b, inputs.b_enc!),
        b_dec: maybeFloats(b, inputs.b_dec),
        threshold: maybeFloats(b, inputs.threshold),
        rows,
        d,
        n,
      },
      options,
    );
    const shape = [rows, options.capacity];
    const infos = [make(b, shape, out.indices), make(b, shape, out.values), make(b, [rows], out.counts)];
    if (out.extra !== undefined) infos.push(make(b, options.mode === 'jumprelu' ? shape : [1], out.extra));
    return infos;
  },
  [KERNEL.decodeActive]: ({ inputs, backend: b }) => {
    const [rows, capacity] = inputs.indices!.shape as [number, number];
    const d = inputs.b_dec!.shape[0]!;
    const out = decodeActiveArrays({
      W_dec: floats(b, inputs.W_dec!),
      b_dec: floats(b, inputs.b_dec!),
      indices: ints(b, inputs.indices!),
      values: floats(b, inputs.values!),
      counts: ints(b, inputs.counts!),
      rows,
      d,
      capacity,
    });
    return make(b, [rows, d], out);
  },
  [KERNEL.weightedPrefixDecode]: ({ inputs, attrs, backend: b }) => {
    const [n, d] = inputs.W_dec!.shape as [number, number];
    const [rows, capacity] = inputs.indices!.shape as [number, number];
    const out = prefixLossArrays(
      {
        x: floats(b, inputs.x!),
        W_dec: floats(b, inputs.W_dec!),
        b_dec: floats(b, inputs.b_dec!),
        indices: ints(b, inputs.indices!),
        values: floats(b, inputs.values!),
        counts: ints(b, inputs.counts!),
        cumulative: floats(b, inputs.cumulative!),
        decoderCumulative: maybeFloats(b, inputs.decoderCumulative),
        rows,
        d,
        n,
        capacity,
      },
      attrs as unknown as PrefixLossAttrs,
    );
    const infos = [
      make(b, [rows, capacity], out.dValues),
      make(b, [n, d], out.dW_dec),
      make(b, [d], out.db_dec),
      make(b, [out.report.length], out.report),
    ];
    if (out.residual !== undefined) infos.push(make(b, [rows, d], out.residual));
    return infos;
  },
  [KERNEL.latentGrads]: ({ inputs, attrs, backend: b }) => {
    const options = attrs as unknown as LatentGradsAttrs;
    const [rows, capacity] = inputs.indices!.shape as [number, number];
    const d = inputs.x!.shape[1]!;
    const out = latentGradsArrays(
      {
        x: floats(b, inputs.x!),
        b_dec: maybeFloats(b, inputs.b_dec),
        indices: ints(b, inputs.indices!),
        values: floats(b, inputs.values!),
        dValues: floats(b, inputs.dValues!),
        counts: ints(b, inputs.counts!),
        pre: maybeFloats(b, inputs.pre),
        threshold: maybeFloats(b, inputs.threshold),
        rows,
        d,
        capacity,
      },
      options,
    );
    const n = options.nLatents;
    const infos = [
      make(b, [d, n], out.dW_enc),
      make(b, [n], out.db_enc),
      make(b, [n], out.firings),
      make(b, [n], out.squares),
    ];
    if (out.dThreshold !== undefined) infos.push(make(b, [n], out.dThreshold), make(b, [n], out.near!));
    return infos;
  },
  [KERNEL.adam]: ({ inputs, attrs, backend: b }) => {
    adamArrays(
      {
        param: floats(b, inputs.param!),
        m: floats(b, inputs.m!),
        v: floats(b, inputs.v!),
        grad: floats(b, inputs.grad!),
        scale: floats(b, inputs.scale!)[0]!,
      },
      attrs as unknown as AdamAttrs,
    );
    return [];
  },
  [KERNEL.globalNorm]: ({ inputs, backend: b }) => {
    const arrays = Object.values(inputs).map((info) => floats(b, info!));
    return make(b, [1], Float32Array.of(globalNormArrays(arrays)));
  },
};
