/**
 * Matrix products on all threads, in place of the backend's: XNNPACK is used there for untransposed operands only (a scalar
 * loop 10 to 40 times slower takes the others), keeps a packed copy of every right operand for as long as it lives, and
 * multiplies with stale values after an in-place update.
 */
import { msaeError } from '@msae/schema';
import {
  getKernel,
  type KernelFunc,
  registerKernel,
  type TensorInfo,
  unregisterKernel,
  util,
} from '@tensorflow/tfjs-core';
import type { Runtime } from './runtime.ts';

const KC = 1024;
const MAX_PACKED_BYTES = 8 * 2 ** 20;
const NR = 8;

interface Product {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly m: number;
  readonly k: number;
  readonly n: number;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  /** pointer to [n], or 0 */
  readonly bias: number;
  readonly relu: boolean;
}

/** C = A B (+ bias, relu) at the given addresses, row-major. */
export function multiply(runtime: Runtime, p: Product): void {
  const { m, k, n } = p;
  if (m === 0 || n === 0) return;
  const [rsA, csA] = p.transposeA ? [1, m] : [k, 1];
  const [rsB, csB] = p.transposeB ? [1, k] : [n, 1];
  const kc = Math.min(k, KC);
  const nc = Math.min(
    Math.ceil(n / NR) * NR,
    Math.max(NR, Math.floor(MAX_PACKED_BYTES / (kc * 4 * NR)) * NR),
  );
  // fixed by the shape, not by the number of threads; small enough that a few threads share the rows evenly
  const mc = Math.max(4, Math.min(64, Math.ceil(m / 8 / 4) * 4));
  const scratchBytes = 256 + (mc + 4) * kc * 4;
  const packed = runtime.scratch('packed', kc * nc * 4);
  const scratch = runtime.scratch('gemm', scratchBytes * runtime.threads);
  for (let j0 = 0; j0 < n; j0 += nc) {
    const width = Math.min(nc, n - j0);
    const panels = Math.ceil(width / NR);
    for (let k0 = 0; k0 < k || k0 === 0; k0 += kc) {
      const depth = Math.min(kc, k - k0);
      runtime.run('packB', Math.ceil(panels / 8), [p.b, rsB, csB, n, k0, depth, j0, width, packed]);
      const last = k0 + kc >= k;
      const head = [p.a, rsA, csA, m, k0, depth, j0, width, packed, p.c, n];
      const tail = [k0 > 0 ? 1 : 0, mc, scratch, scratchBytes, last ? p.bias : 0, last && p.relu ? 1 : 0];
      runtime.run('gemm', Math.ceil(m / mc), [...head, ...tail]);
    }
  }
}

type RuntimeOf = (backend: unknown) => Runtime;

/** Replaces BatchMatMul, _FusedMatMul and the transposition of matrices on the wasm backend. */
/** Attributes of a stock kernel, which tfjs types as a map of anything. */
export function attrsOf<A>(attrs: unknown): A {
  return attrs as A;
}

export function registerMatMul(runtimeOf: RuntimeOf): void {
  const { kernelFunc: stockTranspose } = getKernel('Transpose', 'wasm');
  const { kernelFunc: stockFused } = getKernel('_FusedMatMul', 'wasm');
  replace('BatchMatMul', ({ inputs, attrs, backend }) => {
    const { transposeA, transposeB } = attrsOf<{ transposeA: boolean; transposeB: boolean }>(attrs);
    return product(runtimeOf(backend), inputs.a!, inputs.b!, transposeA, transposeB, undefined, false);
  });
  replace('_FusedMatMul', (call) => {
    const { inputs, attrs, backend } = call;
    const { transposeA, transposeB, activation } = attrsOf<Fused>(attrs);
    const bias = inputs.bias;
    const plainBias = bias === undefined || bias === null || bias.shape.length <= 1;
    if ((activation !== 'linear' && activation !== 'relu') || !plainBias || inputs.preluActivationWeights) {
      if (transposeA || transposeB) {
        throw msaeError(
          'device',
          `wasm: fused.matMul with a transposed operand and activation ${activation} is not available; use matMul`,
        );
      }
      return stockFused(call);
    }
    const wide =
      bias !== undefined && bias !== null && bias.shape[0] === inputs.b!.shape.at(transposeB ? -2 : -1);
    if (bias !== undefined && bias !== null && !wide) return stockFused(call);
    return product(
      runtimeOf(backend),
      inputs.a!,
      inputs.b!,
      transposeA,
      transposeB,
      bias ?? undefined,
      activation === 'relu',
    );
  });
  replace('Transpose', (call) => {
    const x = call.inputs.x!;
    const { perm } = attrsOf<{ perm: number[] }>(call.attrs);
    const swaps = x.shape.length === 2 && perm[0] === 1 && x.dtype !== 'string' && x.dtype !== 'bool';
    if (!swaps || util.sizeFromShape(x.shape) === 0) return stockTranspose(call);
    const [rows, cols] = x.shape as [number, number];
    const runtime = runtimeOf(call.backend);
    const out = runtime.backend.makeOutput([cols, rows], x.dtype);
    runtime.run('transpose', Math.ceil(rows / 32), [runtime.pointer(x), rows, cols, runtime.pointer(out)]);
    return out;
  });
}

interface Fused {
  transposeA: boolean;
  transposeB: boolean;
  activation: string;
}

/** Other kernels call the stock one behind our back: its set-up stays. */
function replace(kernelName: string, kernelFunc: KernelFunc): void {
  const { setupFunc } = getKernel(kernelName, 'wasm');
  unregisterKernel(kernelName, 'wasm');
  registerKernel({ kernelName, backendName: 'wasm', kernelFunc, ...(setupFunc && { setupFunc }) });
}

function product(
  runtime: Runtime,
  a: TensorInfo,
  b: TensorInfo,
  transposeA: boolean,
  transposeB: boolean,
  bias: TensorInfo | undefined,
  relu: boolean,
): TensorInfo {
  const [aRows, aCols] = a.shape.slice(-2) as [number, number];
  const [bRows, bCols] = b.shape.slice(-2) as [number, number];
  const [m, k] = transposeA ? [aCols, aRows] : [aRows, aCols];
  const [inner, n] = transposeB ? [bCols, bRows] : [bRows, bCols];
  if (k !== inner) {
    throw msaeError(
      'shape',
      `matMul: inner shapes (${k}) and (${inner}) of [${a.shape}] and [${b.shape}] must match`,
    );
  }
  const aBatches = util.sizeFromShape(a.shape.slice(0, -2));
  const bBatches = util.sizeFromShape(b.shape.slice(0, -2));
  const batches = Math.max(aBatches, bBatches);
  const outer = aBatches >= bBatches ? a.shape.slice(0, -2) : b.shape.slice(0, -2);
  const out = runtime.backend.makeOutput([...outer, m, n], 'float32');
  try {
    for (let i = 0; i < batches; i++) {
      multiply(runtime, {
        a: runtime.pointer(a) + 4 * m * k * (aBatches === 1 ? 0 : i),
        b: runtime.pointer(b) + 4 * k * n * (bBatches === 1 ? 0 : i),
        c: runtime.pointer(out) + 4 * m * n * i,
        m,
        k,
        n,
        transposeA,
        transposeB,
        bias: bias === undefined ? 0 : runtime.pointer(bias),
        relu,
      });
    }
  } catch (error) {
    runtime.backend.disposeData(out.dataId);
    throw error;
  }
  return out;
}
