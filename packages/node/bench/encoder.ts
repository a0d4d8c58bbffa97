/**
 * What the libtensorflow encoder costs at the sizes of a sparse step.
 * Run: MSAE_NATIVE_DIR=.cache/native npx tsx packages/node/bench/encoder.ts [threads] [rows] [dModel] [nLatents] [k]
 */
import { createTensorflowEncoder } from '../src/index.ts';

const [threads = 2, rows = 1024, dModel = 768, nLatents = 12288, k = 32] = process.argv.slice(2).map(Number);
const encoder = await createTensorflowEncoder({ threads });

/** 64-byte aligned, as tensors in wasm memory are made: libtensorflow then reads them in place. */
function noise(length: number): Float32Array {
  const values = new Float32Array(
    new WebAssembly.Memory({ initial: Math.ceil((length * 4) / 65536) }).buffer,
    0,
    length,
  );
  for (let i = 0; i < length; i++) values[i] = Math.random() - 0.5;
  return values;
}

const options = {
  x: noise(rows * dModel),
  rows,
  dModel,
  W_enc: noise(dModel * nLatents),
  b_enc: noise(nLatents),
  nLatents,
  k,
};

function best(name: string, run: () => unknown): void {
  const times = Array.from({ length: 8 }, () => {
    const start = performance.now();
    run();
    return performance.now() - start;
  }).slice(1);
  const ms = Math.min(...times);
  const rate = (2 * rows * dModel * nLatents) / ms / 1e6;
  console.log(`${name}: ${ms.toFixed(1)} ms, ${rate.toFixed(0)} GFLOP/s of the product`);
}

console.log({ threads, rows, dModel, nLatents, k });
best('encodeTopK', () => encoder.encodeTopK(options));
best('matmulBias, all of it copied back', () => encoder.matmulBias(options));
