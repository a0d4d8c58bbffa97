import type { EncodeActiveAttrs } from '@msae/core';
import type { NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';
import { f32, type Runtime } from '../runtime.ts';
import { type Outputs, withOutputs } from './outputs.ts';

const GROUP_BYTES = 8 * 2 ** 20;
const TILE = 64;

/** MsaeEncodeActive: x W_enc in tiles that are screened in cache; see assembly/encode.ts. */
export function encodeActive(
  runtime: Runtime,
  inputs: NamedTensorInfoMap,
  attrs: EncodeActiveAttrs,
): TensorInfo[] {
  return withOutputs(runtime, (out) => encode(runtime, inputs, attrs, out));
}

function encode(
  runtime: Runtime,
  inputs: NamedTensorInfoMap,
  attrs: EncodeActiveAttrs,
  out: Outputs,
): TensorInfo[] {
  const { mode, capacity } = attrs;
  const [rows, d] = inputs.x!.shape as [number, number];
  const n = inputs.b_enc!.shape[0]!;
  const at = (name: string): number => (inputs[name] === undefined ? 0 : runtime.pointer(inputs[name]));
  const indices = out.make([rows, capacity], 'int32');
  const values = out.make([rows, capacity], 'float32');
  const counts = out.make([rows], 'int32');
  const pre = mode === 'jumprelu' ? out.make([rows, capacity], 'float32') : undefined;
  const cutoff = mode === 'batchtopk' ? out.make([1], 'float32') : undefined;

  // topk and batchtopk collect more than they keep, so that lists are cut rarely
  const limit = mode === 'topk' ? Math.min(attrs.keep, capacity) : mode === 'batchtopk' ? capacity : 0;
  const collect = limit === 0 ? capacity : Math.min(n, 2 * limit + 64);
  const k = limit === 0 || limit >= n ? 0 : limit;
  const block = Math.max(4, Math.min(128, Math.ceil(rows / 8 / 4) * 4));
  const threadBytes = ((block + 4) * TILE + Math.max(collect, TILE)) * 4;
  const packedX = runtime.scratch('packed x', Math.ceil(rows / 4) * 4 * d * 4);
  const group = Math.min(
    Math.ceil(n / TILE) * TILE,
    Math.max(TILE, Math.floor(GROUP_BYTES / (4 * d * TILE)) * TILE),
  );
  const packedW = runtime.scratch('packed', group * d * 4);
  const tiles = runtime.scratch('tiles', threadBytes * runtime.threads);
  const candidates = runtime.scratch('candidates', rows * collect * 8);
  const state = runtime.scratch('row state', rows * 12);
  const [candidateValues, thresholds, flags] = [
    candidates + rows * collect * 4,
    state + rows * 4,
    state + rows * 8,
  ];
  runtime.ints(state, rows).fill(0);
  runtime.ints(flags, rows).fill(0);
  runtime.floats(thresholds, rows).fill(mode === 'relu' ? attrs.cutoff : 0);

  runtime.run('packX', Math.ceil(rows / 64), [at('x'), rows, d, at('b_dec'), packedX]);
  for (let j0 = 0; j0 < n; j0 += group) {
    const width = Math.min(group, n - j0);
    runtime.run('packB', Math.ceil(width / TILE), [at('W_enc'), n, 1, n, 0, d, j0, width, packedW]);
    runtime.run('encodeGroup', Math.ceil(rows / block), [
      ...[packedX, rows, d, packedW, j0, width, at('b_enc'), block, tiles, threadBytes],
      ...[
        candidates,
        candidateValues,
        state,
        thresholds,
        flags,
        collect,
        k,
        at('threshold'),
        f32(attrs.margin),
      ],
    ]);
  }
  const outputs = [indices, values, counts];
  runtime.run('finishLists', Math.ceil(rows / 64), [
    ...[candidates, candidateValues, state, collect, rows, k, n, capacity],
    ...[
      runtime.pointer(indices),
      runtime.pointer(values),
      runtime.pointer(counts),
      flags,
      tiles,
      threadBytes,
    ],
    ...[at('threshold'), pre === undefined ? 0 : runtime.pointer(pre)],
  ]);
  if (cutoff !== undefined) {
    runtime.run('batchCut', 1, [
      ...[
        runtime.pointer(indices),
        runtime.pointer(values),
        runtime.pointer(counts),
        rows,
        capacity,
        n,
        attrs.keep,
        flags,
      ],
      ...[runtime.scratch('histogram', 8192), runtime.pointer(cutoff)],
    ]);
    outputs.push(cutoff);
  }
  if (pre !== undefined) outputs.push(pre);
  return outputs;
}
