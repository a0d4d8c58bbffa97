/** b_dec starts at the geometric median of the first batch, as the weights see it. */
import { object, type Schema, whole } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import type { PartDefinition } from './definition.ts';
import { geometricMedian } from './geometricMedian.ts';

export interface DecoderBiasInitOptions {
  /** Rows of the first batch (at most all of them) that are used. */
  readonly rows: number;
}

const schema: Schema<DecoderBiasInitOptions> = object<DecoderBiasInitOptions>(
  { rows: whole({ min: 1, help: 'rows of the first batch that are used' }) },
  { help: 'start b_dec at the geometric median of the first batch' },
);

export const decoderBiasInitPart: PartDefinition<DecoderBiasInitOptions> = {
  name: 'decoderBiasInit',
  schema,
  start: ({ rows }, { sae }) => ({
    async begin(z) {
      const [batch, width] = z.shape;
      const data = (await z.data()) as Float32Array;
      const start = tf.tensor1d(geometricMedian(data.subarray(0, Math.min(rows, batch) * width), width));
      sae.params.b_dec.assign(start);
      start.dispose();
    },
  }),
};
