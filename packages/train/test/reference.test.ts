import { readFileSync } from 'node:fs';
import { createSae, l1, log, saeFromWeights } from '@msae/core';
import type { PrefixScheme } from '@msae/sampler';
import { describe, expect, it } from 'vitest';
import { type MetricsEvent, referencePreset, Trainer } from '../src/index.ts';
import { useBackend } from './support/backends.ts';

interface Recorded {
  sparsity: 'l1' | 'log';
  d_model: number;
  n_latents: number;
  n_prefixes: number;
  n_steps: number;
  lr: number;
  target_l0: number;
  starting_sparsity_scale: number;
  normalizer_start: number;
  normalizer_end: number;
  log_epsilon: number;
  prefixes: number[][];
  x: number[][][];
  init: Record<'W_enc' | 'W_dec', number[][]> & Record<'b_enc' | 'b_dec', number[]>;
  final: Recorded['init'];
  loss: number[];
  avg_l0: number[];
  sparsity_scale: number[];
}
const runs = JSON.parse(
  readFileSync(new URL('./fixtures/reference-trajectory.json', import.meta.url), 'utf8'),
) as Recorded[];

const flat = (values: number[] | number[][]): Float32Array => Float32Array.from(values.flat());

/** Draws the recorded prefixes one after the other. */
function recordedPrefixes(run: Recorded): PrefixScheme & { start(): void } {
  let step = 0;
  return {
    kind: 'recorded',
    sample: () => {
      const lengths = run.prefixes[step++ % run.prefixes.length] as number[];
      return { lengths, weights: lengths.map(() => 1 / lengths.length) };
    },
    start: () => {
      step = 0;
    },
  };
}

async function replay(run: Recorded, path: 'dense' | 'sparse') {
  const penalty = run.sparsity === 'l1' ? l1() : log({ epsilon: run.log_epsilon, subtractLogEpsilon: true });
  const template = createSae({ dModel: run.d_model, nLatents: run.n_latents, penalty });
  const sae = saeFromWeights(template.config, {
    W_enc: flat(run.init.W_enc),
    b_enc: flat(run.init.b_enc),
    W_dec: flat(run.init.W_dec),
    b_dec: flat(run.init.b_dec),
  });
  template.dispose();
  const prefixes = recordedPrefixes(run);
  const trainer = new Trainer(sae, {
    ...referencePreset({
      totalSteps: run.n_steps,
      targetL0: run.target_l0,
      learningRate: run.lr,
      startCoefficient: run.starting_sparsity_scale,
      normalizerStart: run.normalizer_start,
    }),
    prefixes,
    path,
    reportEvery: 1,
  });
  prefixes.start();
  const metrics: MetricsEvent[] = [];
  for await (const event of trainer.run(run.x.map(flat))) if (event.type === 'metrics') metrics.push(event);
  const weights = Object.fromEntries(
    await Promise.all(
      Object.entries(sae.params).map(async ([name, variable]) => [name, await variable.data()] as const),
    ),
  ) as Record<keyof Recorded['final'], Float32Array>;
  trainer.dispose();
  sae.dispose();
  return { metrics, weights };
}

const withTensorflow = await useBackend('tensorflow');

describe.each([
  ['cpu', true],
  ['wasm', true],
  ['tensorflow', withTensorflow],
] as const)('the reference implementation, on %s (where it is installed)', (backend, present) => {
  describe.each(runs.map((run) => [run.sparsity, run] as const))('%s penalty', (_name, run) => {
    it.skipIf(!present).each(['dense', 'sparse'] as const)('is reproduced by the %s path', async (path) => {
      await useBackend(backend);
      const { metrics, weights } = await replay(run, path);
      expect(metrics).toHaveLength(run.n_steps);
      metrics.forEach((event, step) => {
        const [loss, l0] = [run.loss[step] as number, run.avg_l0[step] as number];
        expect(Math.abs(event.loss / loss - 1), `loss of step ${step}`).toBeLessThan(1e-3);
        expect(Math.abs(event.l0 / l0 - 1), `L0 of step ${step}`).toBeLessThan(1e-3);
        expect(event.penaltyCoefficient).toBeCloseTo(run.sparsity_scale[step] as number, 10);
      });
      expect(metrics.at(-1)?.inputNorm).toBeCloseTo(run.normalizer_end, 5);
      for (const name of ['W_enc', 'b_enc', 'W_dec', 'b_dec'] as const) {
        const expected = flat(run.final[name]);
        const largest = Math.max(...expected.map(Math.abs));
        const worst = Math.max(...expected.map((value, i) => Math.abs(value - (weights[name][i] as number))));
        expect(worst / largest, name).toBeLessThan(2e-3);
      }
    });
  });
});
