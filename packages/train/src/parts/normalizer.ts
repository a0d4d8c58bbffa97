/**
 * The input normaliser: activations are scaled by √d / (running average of the mean row norm), so that a unit-variance
 * learning rate and penalty suit every model. The average is an EMA and starts at the first batch's value; the write-up's
 * reference starts at 0, which feeds the first batches in 100 × too large (`start` reproduces any other beginning).
 */
import { checkFinite } from '@msae/data';
import { msaeError, number, object, optional, type Schema } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import type { PartDefinition } from './definition.ts';
import { rowNorms } from './outlierRows.ts';

export interface NormalizerOptions {
  /** Share of the old average kept at each batch. Default .99. */
  readonly decay?: number;
  /** First value of the average; absent: the first batch's mean norm, without a step of the EMA. */
  readonly start?: number;
}

/** A running mean norm. It lives in float64 on the host for host batches, and in a 1-element tensor for tensor batches. */
export interface Normalizer {
  /** Update with host rows; returns the factor √d / average that scales them. */
  updateHost(meanNorm: number): number;
  /** Update with a tensor [B, d] and return it scaled (a new tensor); nothing is read back. */
  updateTensor(x: tf.Tensor2D): tf.Tensor2D;
  /** The average, read back if it lives in a tensor; null before the first batch. */
  average(): Promise<number | null>;
  /** The average where it lives on the host. */
  host(): number | null;
  /** The average where it lives in a tensor [1], owned by the normaliser; null where it lives on the host. */
  tensor(): tf.Tensor | null;
  restore(average: number | null): void;
  dispose(): void;
}

export function createNormalizer(dModel: number, options: NormalizerOptions = {}): Normalizer {
  const { decay = 0.99, start } = options;
  const root = Math.sqrt(dModel);
  let host: number | null = start ?? null;
  let device: tf.Tensor | null = null;
  const factor = (average: number): number => root / Math.max(average, 1e-12);
  return {
    updateHost(meanNorm) {
      if (device !== null)
        throw msaeError('state', 'normalizer: one run cannot mix tensor batches and array batches');
      host = host === null ? meanNorm : decay * host + (1 - decay) * meanNorm;
      return factor(host);
    },
    updateTensor(x) {
      const [scaled, average] = tf.tidy(() => {
        const mean = tf.reshape(tf.mean(tf.sqrt(tf.sum(tf.square(x), 1))), [1]);
        const old = device ?? (host === null ? null : tf.tensor1d([host]));
        const updated = old === null ? mean : tf.add(tf.mul(old, decay), tf.mul(mean, 1 - decay));
        return [
          tf.mul(x, tf.div(root, tf.maximum(updated, 1e-12))) as tf.Tensor2D,
          tf.keep(updated),
        ] as const;
      });
      device?.dispose();
      device = average;
      host = null;
      return scaled;
    },
    async average() {
      return device === null ? host : ((await device.data())[0] as number);
    },
    host: () => host,
    tensor: () => device,
    restore(average) {
      device?.dispose();
      device = null;
      host = average;
    },
    dispose() {
      device?.dispose();
      device = null;
    },
  };
}

const schema: Schema<NormalizerOptions> = object<NormalizerOptions>(
  {
    decay: optional(number({ min: 0, below: 1, help: 'share of the old average kept at each batch' }), 0.99),
    start: optional(
      number({ above: 0, help: "the average's first value; default: the first batch's mean norm" }),
    ),
  },
  { help: 'scale inputs to a mean norm of √d by a running average' },
);

export const normalizerPart: PartDefinition<NormalizerOptions> = {
  name: 'normalizer',
  schema,
  start(options, run) {
    const width = run.sae.config.input.width;
    const normalizer = createNormalizer(width, options);
    /** The average as far as the host knows it; `undefined` when it has moved on in its tensor. */
    let known: number | null | undefined = options.start ?? null;
    const average = async (): Promise<number | null> => {
      if (known === undefined) known = await normalizer.average();
      return known;
    };
    return {
      input(batch) {
        known = undefined;
        if (batch.tensor !== undefined) {
          return { rows: batch.rows, tensor: normalizer.updateTensor(batch.tensor) };
        }
        const data = batch.data!;
        const norm = meanOf(batch.norms ?? rowNorms(data, width));
        // Not finite when some value is not: one pass serves the normaliser and the check.
        if (!Number.isFinite(norm)) checkFinite(data, width, `source: batch at step ${run.step + 1}`);
        const scale = normalizer.updateHost(norm);
        const scaled = new Float32Array(data.length);
        for (let i = 0; i < data.length; i++) scaled[i] = data[i]! * scale;
        return { rows: batch.rows, data: scaled };
      },
      read: ({ report }) => ({ average: report ? normalizer.tensor() : null }),
      observe({ values }) {
        if (values.average) known = values.average[0]!;
      },
      metrics: () => ({ inputNorm: known ?? normalizer.host() }),
      async transform() {
        const mean = await average();
        if (mean === null) return [];
        return [{ kind: 'scale', factor: Math.sqrt(width) / Math.max(mean, 1e-12) }];
      },
      save: async () => ({ json: await average() }),
      restore({ json }) {
        if (json !== null && !(typeof json === 'number' && json > 0)) {
          throw msaeError('file', `checkpoint: the normalizer's average norm is ${JSON.stringify(json)}`);
        }
        known = json;
        normalizer.restore(json);
      },
      dispose: () => normalizer.dispose(),
    };
  },
};

/** In float64; not finite exactly when some value of a row is not (or overflows). */
function meanOf(norms: Float64Array): number {
  let total = 0;
  for (let row = 0; row < norms.length; row++) total += norms[row]!;
  return total / norms.length;
}
