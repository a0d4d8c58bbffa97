/** What training prints, what evaluation says and what a user computes are one number, with nothing between the three. */
import {
  type Activation,
  absTopK,
  batchTopK,
  createSae,
  jumpRelu,
  l1,
  log,
  none,
  type Penalty,
  relu,
  topK,
} from '@msae/core';
import { toyTree } from '@msae/data';
import { evaluate } from '@msae/eval';
import { createRng, fullPrefix } from '@msae/sampler';
import { Trainer, type TrainerOptions } from '@msae/train';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { beforeAll, describe, expect, it } from 'vitest';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

const rows = 400;
const width = 20;

describe('evaluate(trainer.sae)', () => {
  const activations: Activation[] = [
    relu(),
    topK(3),
    absTopK(3),
    batchTopK(3),
    jumpRelu({ threshold: 0.05 }),
    { kind: 'identity' },
  ];
  const cases = activations.flatMap((activation) =>
    [none(), l1(), log()].flatMap((penalty) =>
      [{}, false as const].map((normalizer): [Activation, Penalty, TrainerOptions['normalizer']] => [
        activation,
        penalty,
        normalizer!,
      ]),
    ),
  );

  it.each(cases)(
    'says what the trainer printed on the same rows: %o, %o, normaliser %o',
    async (activation, penalty, normalizer) => {
      // far from unit scale and from zero mean, as a model's activations are; no two rows alike, so nothing is tied
      const rng = createRng(2);
      const data = toyTree({ seed: 1 })
        .sample(rows)
        .x.map((x) => 12 * x + 3 + 0.1 * rng.normal());
      const batch = { data, rows, width };
      const sae = createSae({ dModel: width, nLatents: 24, activation, penalty, init: 'tied' });
      const frozen = { learningRateFactor: 0 };
      const trainer = new Trainer(sae, {
        totalSteps: 60,
        reportEvery: 1,
        learningRate: 3e-3,
        penaltyCoefficient: 1e-3,
        prefixes: fullPrefix(),
        normalizer: normalizer!,
        thresholdDecay: 0,
      });
      const same = function* () {
        for (;;) yield { ...batch, data: data.slice() };
      };
      for await (const _ of trainer.run(same()));
      // one more report without an update: what it prints is of the SAE as it stands
      const last = new Trainer(sae, {
        totalSteps: 1,
        prefixes: fullPrefix(),
        normalizer: false,
        thresholdDecay: 0,
        parameterGroups: {
          W_enc: frozen,
          b_enc: frozen,
          W_dec: frozen,
          b_dec: frozen,
          ...(sae.params.threshold && { threshold: frozen }),
        },
      });
      let printed = { fvu: Number.NaN, l0: Number.NaN };
      for await (const event of last.run(same())) if (event.type === 'metrics') printed = event;
      // batchtopk at inference keeps what is above the smallest activation that was kept: that one too, here
      if (sae.inferenceThreshold !== null) sae.inferenceThreshold *= 1 - 1e-6;
      const { reconstruction, sparsity } = await evaluate(sae, [batch]);
      expect(Math.abs(reconstruction.fvu - printed.fvu)).toBeLessThan(1e-6);
      expect(Math.abs(sparsity.l0 - printed.l0)).toBeLessThan(1e-5);
      for (const trained of [trainer, last]) trained.dispose();
      sae.dispose();
    },
  );
});
