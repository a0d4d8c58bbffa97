import * as tf from '@tensorflow/tfjs-core';
import { isPenalised, penaltyNumbers, penaltySlope, penaltyValue } from '../../penalties/table.ts';
import { scatterRows } from '../scatterRows.ts';
import type { PrefixLossAttrs, PrefixLossInputs, PrefixLossOutputs } from './contract.ts';

/** The weighted-prefix decode as C ops of [B, d] each: for lists of tens of latents, as topk makes them. */
export function composedPrefixLoss(inputs: PrefixLossInputs, attrs: PrefixLossAttrs): PrefixLossOutputs {
  const { reportPrefixes, lambda, penalty, keepResidual } = attrs;
  return tf.tidy(() => {
    const { target, W_dec, b_dec, indices, values, cumulative, decoderCumulative } = inputs;
    const n = W_dec.shape[0];
    const d = W_dec.shape[1];
    const [rows, capacity] = indices.shape;
    const at = tf.minimum(indices, tf.scalar(n - 1, 'int32')); // [B, C]
    const real = tf.cast(tf.less(indices, n), 'float32');
    const column = (t: tf.Tensor, i: number): tf.Tensor => tf.slice(t, [0, i], [rows, 1]);
    const direction = (i: number): tf.Tensor => tf.gather(W_dec, tf.reshape(column(at, i), [rows])); // [B, d]

    const residuals = [tf.sub(b_dec, target) as tf.Tensor];
    for (let i = 0; i < capacity; i++) {
      residuals.push(tf.add(residuals[i]!, tf.mul(column(values, i), direction(i))));
    }
    const squared = tf.concat(
      residuals.map((r) => tf.sum(tf.square(r), 1, true)),
      1,
    ); // [B, C + 1]
    const omega = stepWeights(cumulative, indices, n);
    const decoderOmega = decoderCumulative ? stepWeights(decoderCumulative, indices, n) : undefined;
    let loss = tf.div(tf.sum(tf.sum(tf.mul(omega, squared), 1)), rows);

    let S: tf.Tensor = tf.zeros([rows, d]);
    let T: tf.Tensor = S;
    const dColumns: tf.Tensor[] = [];
    const dRows: tf.Tensor[] = [];
    for (let i = capacity; i >= 0; i--) {
      const r = tf.mul(residuals[i]!, 2 / rows);
      S = tf.add(S, tf.mul(r, column(omega, i)));
      T = decoderOmega ? tf.add(T, tf.mul(r, column(decoderOmega, i))) : S;
      if (i === 0) break;
      dColumns.unshift(tf.sum(tf.mul(S, direction(i - 1)), 1, true));
      dRows.unshift(tf.mul(T, column(values, i - 1)));
    }
    const db_dec = tf.sum(T, 0);
    let dValues: tf.Tensor = tf.mul(tf.concat(dColumns, 1), real); // [B, C]
    let dW_dec = scatterRows(at, tf.reshape(tf.stack(dRows, 1), [rows * capacity, d]), n);

    const sparsity: tf.Tensor[] = [];
    if (isPenalised(penalty)) {
      const norms = tf.sqrt(tf.sum(tf.square(W_dec), 1)); // [N]
      const norm = tf.gather(norms, at);
      const u = tf.mul(tf.abs(values), norm);
      const base = penaltyNumbers(penalty).atZero;
      const extra = tf.mul(tf.sub(penaltyValue(penalty, u), base), real); // [B, C]
      const all = tf.slice(cumulative, [n], [1]);
      const held = tf.mul(tf.sub(all, tf.gather(cumulative, at)), real); // Σ_{p>i} w_p
      const everywhere = tf.sum(tf.sub(all, tf.slice(cumulative, [0], [n])));
      loss = tf.add(loss, tf.mul(tf.div(tf.sum(tf.sum(tf.mul(held, extra), 1)), rows), lambda));
      loss = tf.add(loss, tf.mul(everywhere, lambda * base));
      const slope = tf.mul(tf.mul(held, penaltySlope(penalty, u)), lambda / rows);
      dValues = tf.add(dValues, tf.mul(tf.mul(slope, norm), sign(values)));
      const byLatent = scatterRows(at, tf.reshape(tf.mul(slope, tf.abs(values)), [rows * capacity, 1]), n); // [N, 1]
      dW_dec = tf.add(dW_dec, tf.mul(tf.divNoNan(byLatent, tf.reshape(norms, [n, 1])), W_dec));
      for (const p of reportPrefixes) {
        const below = tf.cast(tf.less(indices, p), 'float32');
        sparsity.push(tf.add(tf.div(tf.sum(tf.sum(tf.mul(extra, below), 1)), rows), base * p));
      }
    }
    const recon = reportPrefixes.map((p) => {
      const held = tf.cast(tf.sum(tf.cast(tf.less(indices, p), 'int32'), 1), 'int32'); // [B]
      return tf.div(tf.sum(tf.sum(tf.mul(squared, tf.oneHot(held, capacity + 1)), 1)), rows);
    });
    const l0 = tf.div(tf.sum(tf.sum(tf.cast(tf.notEqual(values, 0), 'float32'), 1)), rows);
    const zeros = sparsity.length === 0 ? reportPrefixes.map(() => tf.scalar(0) as tf.Tensor) : sparsity;
    const spread = tf.sub(target, tf.mean(target, 0, true));
    const variance = tf.div(tf.sum(tf.sum(tf.square(spread), 1)), rows);
    const report = tf.stack([loss, l0, variance, ...recon, ...zeros].map((t) => tf.reshape(t, [])));
    return {
      dValues: dValues as tf.Tensor2D,
      dW_dec: dW_dec as tf.Tensor2D,
      db_dec: db_dec as tf.Tensor1D,
      report: report as tf.Tensor1D,
      ...(keepResidual && { residual: tf.neg(residuals[capacity]!) as tf.Tensor2D }),
    };
  });
}

/** 1 from 0 on and −1 below: a listed activation of exactly 0 is at the edge of the positive side. */
function sign(values: tf.Tensor): tf.Tensor {
  return tf.sub(tf.mul(tf.cast(tf.greaterEqual(values, 0), 'float32'), 2), 1);
}

/** Ω [B, C + 1]: the weight of the prefixes that end between two neighbouring active latents. */
function stepWeights(cumulative: tf.Tensor, indices: tf.Tensor, n: number): tf.Tensor {
  const rows = indices.shape[0]!;
  const held = tf.gather(cumulative, tf.minimum(indices, tf.scalar(n, 'int32'))); // [B, C], padding gives C(N)
  const all = tf.tile(tf.reshape(tf.slice(cumulative, [n], [1]), [1, 1]), [rows, 1]);
  const to = tf.concat([held, all], 1);
  const from = tf.concat([tf.zeros([rows, 1]), held], 1);
  return tf.sub(to, from);
}
