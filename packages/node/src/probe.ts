/**
 * The child process of probeBackends.ts: starts one backend, checks a matrix product against float64, measures its rate
 * and writes one marked line of JSON. Whatever a broken install does to this process, the parent survives.
 */
import { backend, matMul, setBackend, type Tensor, tensor2d, tidy } from '@tensorflow/tfjs-core';
import { loadTfjsNode } from './loadTfjsNode.ts';
import { PROBE_MARK, type ProbeAnswer, type ProbeRequest } from './probeProtocol.ts';
import { type TensorflowBackend, tensorflowOf } from './tensorflowOps.ts';
import { useNode } from './useNode.ts';

const SMALL = 192;
const LARGE = 1024;

async function probe(request: ProbeRequest): Promise<ProbeAnswer> {
  const { threads } = request;
  if ('packageDir' in request) {
    loadTfjsNode(request.packageDir);
    await setBackend('tensorflow');
    await checkedRate(SMALL, 1);
    return { usable: true, version: tensorflowOf(backend()).binding.TF_Version };
  }
  const description = await useNode({ backend: request.backend, ...(threads ? { threads } : {}) });
  const first = await checkedRate(SMALL, 2);
  const gflops = first > 4 ? await checkedRate(LARGE, 5) : first;
  return { usable: true, description, gflops };
}

/** Best of `repeats` products of two n×n matrices, in GFLOP/s. @throws when the result is wrong. */
async function checkedRate(n: number, repeats: number): Promise<number> {
  const a = pattern(n, 7, 3);
  const b = pattern(n, 5, 2);
  const x = tensor2d(a, [n, n]);
  const y = tensor2d(b, [n, n]);
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i <= repeats; i++) {
    const start = performance.now();
    const product: Tensor = tidy(() => matMul(x, y));
    const values = await product.data();
    const elapsed = performance.now() - start;
    product.dispose();
    if (i === 0) check(a, b, values as Float32Array, n);
    else best = Math.min(best, elapsed);
  }
  x.dispose();
  y.dispose();
  return (2 * n ** 3) / best / 1e6;
}

function pattern(n: number, p: number, q: number): Float32Array {
  return Float32Array.from(
    { length: n * n },
    (_, i) => (((Math.floor(i / n) * p + (i % n) * q) % 11) - 5) / 5,
  );
}

function check(a: Float32Array, b: Float32Array, product: Float32Array, n: number): void {
  for (const [row, column] of [
    [0, 0],
    [n - 1, 1],
    [n >> 1, n - 1],
  ] as const) {
    let exact = 0;
    for (let k = 0; k < n; k++) exact += a[row * n + k]! * b[k * n + column]!;
    const got = product[row * n + column]!;
    if (!(Math.abs(got - exact) < 1e-3 * n ** 0.5)) {
      throw new Error(`it computes wrong numbers: a matrix product has ${got} where ${exact} was expected`);
    }
  }
}

const request = JSON.parse(process.argv[2]!) as ProbeRequest;
const answer = await probe(request).catch((error: unknown): ProbeAnswer => {
  return { usable: false, reason: error instanceof Error ? error.message : String(error) };
});
process.stdout.write(`\n${PROBE_MARK}${JSON.stringify(answer)}\n`, () => process.exit(0));
