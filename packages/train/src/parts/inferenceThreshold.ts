/**
 * Where the batch as a whole is cut (batchtopk), inference keeps what is above a fixed threshold: the running mean of the
 * smallest activation that training batches kept.
 */
import { activationTraits } from '@msae/core';
import { number } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import type { PartDefinition } from './definition.ts';

export const inferenceThresholdPart: PartDefinition<number> = {
  name: 'thresholdDecay',
  schema: number({
    min: 0,
    below: 1,
    help: 'batchtopk: share of the old inference threshold kept at each step',
  }),
  start(decay, { sae }) {
    if (!activationTraits(sae.config.activation).needsThreshold) return null;
    let average: tf.Tensor1D | null = null;
    let isCurrent = true;
    return {
      updated({ gradients: { smallestKept } }) {
        if (smallestKept === undefined) return;
        const old = average;
        average = tf.tidy(() =>
          tf.keep(
            old === null
              ? tf.mul(smallestKept, 1)
              : tf.add(tf.mul(old, decay), tf.mul(smallestKept, 1 - decay)),
          ),
        ) as tf.Tensor1D;
        old?.dispose();
        isCurrent = false;
      },
      read: ({ report }) => ({ average: report ? average : null }),
      observe({ values }) {
        if (!values.average) return;
        sae.inferenceThreshold = values.average[0]!;
        isCurrent = true;
      },
      settle() {
        if (isCurrent || average === null) return undefined;
        return average.data().then((values) => {
          sae.inferenceThreshold = values[0]!;
          isCurrent = true;
        });
      },
      save: () => ({ tensors: { average } }),
      async restore(saved) {
        if (!saved.has('average')) return;
        average?.dispose();
        average = tf.tensor1d(await saved.float32('average', [1]));
      },
      dispose() {
        average?.dispose();
        average = null;
      },
    };
  },
};
