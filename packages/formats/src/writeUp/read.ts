/**
 * The write-up's reference (github.com/noanabeshima/matryoshka-saes, `sae.MatryoshkaSAE.state_dict`): one .pt, relu, no b_dec
 * on the input, activations scaled by √d over a running average of their norm.
 */
import { relu } from '@msae/core';
import { type Checkpoint, scaleStep } from '../checkpoint.ts';
import { formatError, show } from '../formatError.ts';
import type { Candidate, Format } from '../formats/definition.ts';

export const writeUp: Format = {
  title: "the write-up's reference code",
  marks: [],
  recognise: async ({ name, torch }) =>
    /\.(pt|pth|bin|pkl)$/i.test(name) && (await torch()).table.has('normalizer.running_avg'),
  read: readWriteUp,
};

async function readWriteUp({ torch }: Candidate): Promise<Checkpoint> {
  const { table } = await torch();
  const [d, n] = table.shape('W_enc', 2) as [number, number];
  const average = await table.scalar('normalizer.running_avg');
  if (!(average > 0) || !Number.isFinite(average)) {
    throw formatError({
      file: table.file,
      field: 'tensor normalizer.running_avg',
      found: show(average),
      expected: 'a number > 0 (it is 0 before the first training step)',
    });
  }
  const weights = {
    W_enc: table.matrix('W_enc', [d, n]),
    b_enc: table.vector('b_enc', n),
    W_dec: table.matrix('W_dec', [n, d]),
    b_dec: table.vector('b_dec', d),
  };
  table.ignore('sq_act_running_avg');
  table.finish();
  return {
    architecture: 'matryoshka',
    file: table.file,
    input: { width: d },
    nLatents: n,
    activation: relu(),
    applyBDecToInput: false,
    weights,
    transform: { input: [scaleStep(Math.sqrt(d) / average)] },
    training: { architecture: 'matryoshka', details: { prefixes: 'truncated Pareto, sampled every step' } },
    metadata: {},
    warnings: [],
  };
}
