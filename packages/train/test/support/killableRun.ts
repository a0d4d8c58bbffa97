/**
 * A training run in a process of its own, to be killed at any moment: `killableRun.ts <directory> <variant>`. It resumes
 * from the directory's newest checkpoint when there is one, and leaves `metrics.jsonl` and, at its end, `final.json`.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import '@tensorflow/tfjs-backend-cpu';
import { batchTopK, createSae, jumpRelu, l1, type Sae } from '@msae/core';
import { truncatedPareto } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import { Trainer, type TrainerOptions } from '../../src/index.ts';
import { directoryStorage, jsonlFileSink } from '../../src/node/index.ts';
import { seededBatches } from './seededBatches.ts';

const [directory = '.', variant = 'relu'] = process.argv.slice(2);
await tf.setBackend('cpu');
const storage = directoryStorage(join(directory, 'checkpoints'));
const shape = { dModel: 8, nLatents: 24, seed: 3 };
const common: TrainerOptions = {
  totalSteps: 250,
  prefixes: truncatedPareto({ count: 4 }),
  learningRate: 3e-3,
  reportEvery: 1,
  seed: 5,
  checkpoints: { storage, everySteps: 7, keep: 2 },
  weightAverage: { decay: 0.95 },
  deadLatents: { afterTokens: 200, refreshEvery: 3 },
  auxiliaryLoss: { k: 4 },
};
const variants: Record<string, { sae: () => ReturnType<typeof createSae>; options: TrainerOptions }> = {
  relu: {
    sae: () => createSae({ ...shape, penalty: l1() }),
    options: {
      ...common,
      sparsityController: { kind: 'pi', targetL0: 3 },
      permutation: { every: 5, hysteresis: 0.05 },
      resampling: { every: 20, until: 0.8, rows: 'largest', weak: { below: 0.5, steps: 6 } },
      phases: [{ from: 0.75, decoderPrefixes: 'full', penaltyCoefficient: 0 }],
    },
  },
  batchtopk: {
    sae: () => createSae({ ...shape, activation: batchTopK(3), applyBDecToInput: true }),
    options: { ...common, unitNormDecoder: true, kAnnealing: { from: 6, to: 3, steps: 100 } },
  },
  jumprelu: {
    sae: () => createSae({ ...shape, activation: jumpRelu({ threshold: 0.1, bandwidth: 0.1 }) }),
    options: { ...common, l0Penalty: { coefficient: 0.1, target: 3 } },
  },
};
const chosen = variants[variant];
if (chosen === undefined) throw new Error(`no variant ${variant}`);
const resumed = (await storage.list()).length > 0;
const trainer = resumed ? await Trainer.resume(storage) : new Trainer(chosen.sae(), chosen.options);
const sink = jsonlFileSink({
  path: join(directory, 'metrics.jsonl'),
  ...(resumed && { resumeStep: trainer.step }),
});
for await (const event of trainer.run(seededBatches({ seed: 9, rows: 16, width: shape.dModel }))) {
  await sink.write(event);
  if (event.type === 'checkpoint') process.stdout.write('checkpoint\n');
}
await sink.close();
const averaged = await trainer.averagedSae();
const bits = async ({ params, transform, inferenceThreshold, record }: Sae): Promise<object> => {
  const weights: Record<string, string> = {};
  for (const [name, param] of Object.entries(params) as [string, tf.Variable][]) {
    weights[name] = Buffer.from(Float32Array.from(await param.data()).buffer).toString('hex');
  }
  return { weights, transform, inferenceThreshold, record };
};
const final = { sae: await bits(trainer.sae), averaged: await bits(averaged) };
writeFileSync(join(directory, 'final.json'), JSON.stringify(final));
