/**
 * EleutherAI sparsify (checked against eai-sparsify 1.3.3): cfg.json and sae.safetensors of one hookpoint.
 * `SparseCoder.encode`: relu((x − b_dec)·Wᵀ + b), the k largest; transcoders do not subtract b_dec.
 */
import { topK } from '@msae/core';
import type { Checkpoint } from '../checkpoint.ts';
import { fieldsOf } from '../configFields.ts';
import { openSafetensors } from '../containers/openTensors.ts';
import { type Folder, requireJson } from '../folder.ts';
import { formatError } from '../formatError.ts';
import type { Format } from '../formats/definition.ts';
import { ownFields, ownPrefixes, ownTraining } from '../ownRecord.ts';

const weightsFile = 'sae.safetensors';

export const sparsify: Format = {
  title: 'sparsify',
  marks: [weightsFile],
  recognise: async ({ folder, name }) =>
    name === weightsFile || (name === 'cfg.json' && (await folder.open(weightsFile)) !== undefined),
  read: ({ folder }) => readSparsify(folder),
};

async function readSparsify(folder: Folder): Promise<Checkpoint> {
  const file = `${folder.name}/cfg.json`;
  const json = await requireJson(folder, 'cfg.json', 'the configuration beside it');
  const cfg = fieldsOf(file, json);
  cfg.choice('activation', ['topk'], 'topk');
  if (cfg.boolean('signed', false)) {
    throw formatError({
      file,
      field: 'signed',
      found: 'true',
      expected: 'false (the k largest by value, negative ones included, have no equivalent here)',
    });
  }
  const table = await openSafetensors(folder, weightsFile);
  const [n, d] = table.shape('encoder.weight', 2) as [number, number];
  checkSize(file, 'd_in', cfg.integer('d_in', { default: d }), d);
  checkSize(file, 'num_latents', cfg.integer('num_latents', { min: 0, default: 0 }) || n, n);
  const transcode = cfg.boolean('transcode', false);
  const weights = {
    W_enc: table.matrix('encoder.weight', [n, d], { transpose: true }),
    b_enc: table.vector('encoder.bias', n),
    W_dec: table.matrix('W_dec', [n, d]),
    b_dec: table.vector('b_dec', d),
    ...(table.has('W_skip') && { skip: table.matrix('W_skip', [d, d], { transpose: true }) }),
  };
  table.finish();
  const k = cfg.integer('k');
  if (k > n) throw formatError({ file, field: 'k', found: `${k}`, expected: `at most ${n} latents` });
  const own = ownFields(cfg);
  const prefixes = ownPrefixes(own, n);
  const training = ownTraining(own);
  return {
    architecture: transcode ? 'transcoder' : 'topk',
    file: table.file,
    input: { width: d },
    ...(transcode && { output: { width: d } }),
    nLatents: n,
    activation: topK(k),
    applyBDecToInput: !transcode,
    weights,
    ...(prefixes && { prefixes }),
    ...(training && { training }),
    metadata: json,
    warnings: transcode ? ['a transcoder: its output is that of another module, not a reconstruction'] : [],
  };
}

function checkSize(file: string, field: string, found: number, expected: number): void {
  if (found !== expected) {
    throw formatError({ file, field, found: `${found}`, expected: `${expected}, as encoder.weight has it` });
  }
}
