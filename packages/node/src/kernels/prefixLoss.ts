/**
 * The weighted-prefix decode and its gradient as batched matrix products: with M = [b_dec − x; f_1 w_1; …; f_C w_C] of a
 * row, its residuals after every active latent are L M (L lower triangular, all ones) and their weighted suffix sums
 * another product. A composition slot by slot takes about 14 ops for each of the C slots.
 */
import {
  type Implementation,
  type Infos,
  isPenalised,
  type PrefixLossAttrs,
  type PrefixLossInputs,
  type PrefixLossOutputs,
  tensorsOf,
} from '@msae/core/backend';
import * as tf from '@tensorflow/tfjs-core';
import { type OpAttr, type TensorflowBackend, tensorflowOf } from '../tensorflowOps.ts';

/** Floats of one [rows, C + 1, d] intermediate; more rows are done in chunks, which also keeps them in cache. */
const CHUNK = 2 ** 22;
/** The products grow with C²: beyond this the composition costs less. */
const MAX_CAPACITY = 96;

/** True if {@link prefixLoss} covers this call: no penalty, short lists. */
export function coversPrefixLoss(
  attrs: PrefixLossAttrs,
  { indices }: Partial<Infos<PrefixLossInputs>>,
): boolean {
  return !isPenalised(attrs.penalty) && (indices === undefined || indices.shape[1]! <= MAX_CAPACITY);
}

/** MsaePrefixLoss without a penalty, see the contract in `@msae/core`. */
export const prefixLoss: Implementation<PrefixLossInputs, PrefixLossAttrs, PrefixLossOutputs> = (
  inputs,
  attrs,
  instance,
) => {
  const backend = tensorflowOf(instance);
  return tf.tidy(() => {
    const { target, W_dec, b_dec, indices, values, cumulative, decoderCumulative } = tensorsOf(inputs);
    const [n, d] = W_dec.shape;
    const [rows, capacity] = indices.shape;
    const at = tf.minimum(indices, tf.scalar(n - 1, 'int32')); // [B, C]
    const real = tf.cast(tf.less(indices, n), 'float32');
    const omega = stepWeights(cumulative, indices, n); // [B, C + 1]
    const decoderOmega = decoderCumulative ? stepWeights(decoderCumulative, indices, n) : omega;
    const shape = { n, d, rows, capacity };
    const step = Math.max(1, Math.floor(CHUNK / ((capacity + 1) * d)));
    const chunks: Chunk[] = [];
    for (let start = 0; start < rows; start += step) {
      const cut = (t: tf.Tensor): tf.Tensor2D =>
        tf.slice(t as tf.Tensor2D, [start, 0], [Math.min(step, rows - start), -1]);
      chunks.push(
        chunk(backend, shape, {
          minusX: tf.sub(b_dec, cut(target)),
          directions: tf.gather(W_dec, cut(at)),
          values: cut(values),
          omega: cut(omega),
          decoderOmega: decoderCumulative ? cut(decoderOmega) : undefined,
        }),
      );
    }
    const joined = (pick: (c: Chunk) => tf.Tensor): tf.Tensor2D =>
      tf.concat(chunks.map(pick), 0) as tf.Tensor2D;
    const squared = joined((c) => c.squared); // [B, C + 1]
    const dValues = tf.mul(
      joined((c) => c.dValues),
      real,
    );
    const dRows = joined((c) => c.dRows); // [B C, d]
    const dW_dec = tf.unsortedSegmentSum(dRows, tf.reshape(at, [rows * capacity]) as tf.Tensor1D, n);
    const db_dec = tf.addN(chunks.map((c) => c.db_dec));
    const report = reported(attrs.reportPrefixes, {
      x: target,
      indices: indices,
      values: values,
      omega,
      squared,
    });
    const outputs = { dValues, dW_dec, db_dec, report };
    return attrs.keepResidual ? { ...outputs, residual: tf.neg(joined((c) => c.last)) } : outputs;
  });
};

interface Chunk {
  /** ‖x − x̂ after each active latent‖² [b, C + 1] */ squared: tf.Tensor;
  /** [b, C] */ dValues: tf.Tensor;
  /** gradients of the rows of W_dec that were used [b C, d] */ dRows: tf.Tensor;
  /** [d] */ db_dec: tf.Tensor;
  /** x̂ − x with all active latents [b, d] */ last: tf.Tensor;
}

function chunk(
  backend: TensorflowBackend,
  { d, rows, capacity }: { d: number; rows: number; capacity: number },
  t: {
    minusX: tf.Tensor;
    directions: tf.Tensor;
    values: tf.Tensor;
    omega: tf.Tensor;
    decoderOmega: tf.Tensor | undefined;
  },
): Chunk {
  const size = t.minusX.shape[0]!;
  const lower = lowerTriangle(capacity + 1); // [1, C + 1, C + 1]
  const upper = tf.transpose(lower, [0, 2, 1]);
  const f = tf.reshape(t.values, [size, capacity, 1]);
  const terms = tf.concat([tf.reshape(t.minusX, [size, 1, d]), tf.mul(t.directions, f)], 1); // M
  const residuals = batchMatMul(backend, lower, terms); // [b, C + 1, d]
  const suffix = (omega: tf.Tensor): tf.Tensor => {
    const weights = tf.mul(upper, tf.reshape(tf.mul(omega, 2 / rows), [size, 1, capacity + 1]));
    return batchMatMul(backend, weights, residuals); // Σ_{j ≥ i} ω_j r_j · 2/B
  };
  const S = suffix(t.omega);
  const T = t.decoderOmega ? suffix(t.decoderOmega) : S;
  const ofLatents = (sums: tf.Tensor): tf.Tensor => tf.slice(sums, [0, 1, 0], [size, capacity, d]);
  return {
    squared: tf.sum(tf.square(residuals), 2),
    dValues: tf.sum(tf.mul(ofLatents(S), t.directions), 2),
    dRows: tf.reshape(tf.mul(ofLatents(T), f), [size * capacity, d]),
    db_dec: tf.sum(tf.reshape(tf.slice(T, [0, 0, 0], [size, 1, d]), [size, d]), 0),
    last: tf.reshape(tf.slice(residuals, [0, capacity, 0], [size, 1, d]), [size, d]),
  };
}

/** L, mean L0, Σ‖x − x̄‖²/B, R_p of every prefix asked for, and as many zeros for S_p. */
function reported(
  prefixes: readonly number[],
  t: { x: tf.Tensor; indices: tf.Tensor; values: tf.Tensor; omega: tf.Tensor; squared: tf.Tensor },
): tf.Tensor {
  const [rows, capacity] = t.indices.shape as [number, number];
  const perRow = (total: tf.Tensor): tf.Tensor => tf.reshape(tf.div(total, rows), [1]);
  const total = (weights: tf.Tensor): tf.Tensor => tf.sum(tf.sum(tf.mul(weights, t.squared), 1));
  const l0 = tf.sum(tf.sum(tf.cast(tf.notEqual(t.values, 0), 'float32'), 1));
  const spread = tf.sum(tf.sum(tf.square(tf.sub(t.x, tf.mean(t.x, 0, true))), 1));
  const losses = prefixes.map((p) => {
    const held = tf.sum(tf.cast(tf.less(t.indices, p), 'int32'), 1); // latents of the row inside the prefix
    return perRow(total(tf.oneHot(tf.cast(held, 'int32'), capacity + 1)));
  });
  const zeros = prefixes.length > 0 ? [tf.zeros([prefixes.length])] : [];
  return tf.concat([perRow(total(t.omega)), perRow(l0), perRow(spread), ...losses, ...zeros]);
}

/** ω [B, C + 1]: the weight of the prefixes that end between two neighbouring active latents. */
function stepWeights(cumulative: tf.Tensor, indices: tf.Tensor, n: number): tf.Tensor2D {
  const rows = indices.shape[0]!;
  const held = tf.gather(cumulative, indices); // [B, C]; padding has index N and gives C(N)
  const all = tf.tile(tf.reshape(tf.slice(cumulative, [n], [1]), [1, 1]), [rows, 1]);
  return tf.sub(tf.concat([held, all], 1), tf.concat([tf.zeros([rows, 1]), held], 1));
}

function lowerTriangle(size: number): tf.Tensor {
  return tf.tensor3d(
    Float32Array.from({ length: size * size }, (_, i) => (i % size <= Math.floor(i / size) ? 1 : 0)),
    [1, size, size],
  );
}

/** a [1 or b, m, k] · c [b, k, n], the batch broadcast by TensorFlow. */
function batchMatMul(backend: TensorflowBackend, a: tf.Tensor, c: tf.Tensor): tf.Tensor {
  const { binding } = backend;
  const attrs: OpAttr[] = [
    { name: 'T', type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT },
    { name: 'adj_x', type: binding.TF_ATTR_BOOL, value: false },
    { name: 'adj_y', type: binding.TF_ATTR_BOOL, value: false },
  ];
  return backend.executeSingleOutput('BatchMatMulV2', attrs, [a, c]);
}
