/**
 * EleutherAI sparsify (checked against eai-sparsify 1.3.3): cfg.json and sae.safetensors of one hookpoint.
 * `SparseCoder.encode`: relu((x − b_dec)·Wᵀ + b), the k largest; transcoders do not subtract b_dec.
 */
import { topK } from '@msae/core';
import type { Checkpoint } from '../checkpoint.ts';
import { fieldsOf } from '../configFields.ts';
import { type Folder, readJson } from '../folder.ts';
import { formatError } from '../formatError.ts';
import { ownFields, ownPrefixes, ownTraining } from '../ownRecord.ts';
import { noPreprocessing } from '../preprocess.ts';
import { openSafetensors } from './openTensors.ts';

export async function readSparsify(folder: Folder): Promise<Checkpoint> {
  const file = `${folder.name}/cfg.json`;
  const json = await readJson(folder, 'cfg.json');
  if (!json)
    throw formatError({ file, field: 'file', found: 'nothing', expected: 'the configuration beside it' });
  const cfg = fieldsOf(file, json);
  cfg.choice('activation', ['topk'], 'topk');
  if (cfg.boolean('signed', false)) {
    throw formatError({
      file,
      field: 'signed',
      found: 'true',
      expected: 'false (latents are not negative here)',
    });
  }
  const table = await openSafetensors(folder, 'sae.safetensors');
  const [nLatents, dModel] = table.shape('encoder.weight', 2) as [number, number];
  checkSize(file, 'd_in', cfg.integer('d_in', { default: dModel }), dModel);
  checkSize(file, 'num_latents', cfg.integer('num_latents', { min: 0, default: 0 }) || nLatents, nLatents);
  const transcode = cfg.boolean('transcode', false);
  const weights = {
    W_enc: table.matrix('encoder.weight', [nLatents, dModel], { transpose: true }),
    b_enc: table.vector('encoder.bias', nLatents),
    W_dec: table.matrix('W_dec', [nLatents, dModel]),
    b_dec: table.vector('b_dec', dModel),
    ...(table.has('W_skip') ? { skip: table.matrix('W_skip', [dModel, dModel], { transpose: true }) } : {}),
  };
  table.finish();
  const k = cfg.integer('k');
  if (k > nLatents)
    throw formatError({ file, field: 'k', found: `${k}`, expected: `at most ${nLatents} latents` });
  const own = ownFields(cfg);
  const prefixes = ownPrefixes(own, nLatents);
  const training = ownTraining(own);
  return {
    format: 'sparsify',
    architecture: transcode ? 'transcoder' : 'topk',
    file: table.file,
    dModel,
    nLatents,
    activation: topK(k),
    applyBDecToInput: !transcode,
    weights,
    preprocessing: noPreprocessing,
    ...(prefixes ? { prefixes } : {}),
    ...(training ? { training } : {}),
    metadata: json,
    warnings: transcode ? ['a transcoder: its output is that of another module, not a reconstruction'] : [],
  };
}

function checkSize(file: string, field: string, found: number, expected: number): void {
  if (found !== expected) {
    throw formatError({ file, field, found: `${found}`, expected: `${expected}, as encoder.weight has it` });
  }
}
