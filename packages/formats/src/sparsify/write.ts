/** EleutherAI sparsify (checked with eai-sparsify 1.3.3, `SparseCoder.load_from_disk`): TopK only. */
import { type Activation, fold, isAutoencoder } from '@msae/core';
import { needsKey } from '../checkpoint.ts';
import { jsonFile, lazyTensor, safetensorsFile, transposed, valuesOf } from '../containers/saeFile.ts';
import { cannotHold } from '../formatError.ts';
import type { Writer } from '../formats/definition.ts';
import { ownRecordOf, widthsOf } from '../ownRecord.ts';

/** What sparsify calls an activation. */
const names: Readonly<Partial<Record<Activation['kind'], string>>> = { topk: 'topk' };

const refuse = (field: string, found: string, expected: string): Error =>
  cannotHold('sparsify export', field, found, `${expected}; export to saelens or msae instead`);

export const writeSparsify: Writer = {
  files: ['sae.safetensors', 'cfg.json'],
  async write(sae, { dtype }) {
    const { config, skip, record, transform } = sae;
    const { activation } = config;
    const [d, n, e] = widthsOf(sae);
    const name = names[activation.kind];
    if (name === undefined || !('k' in activation))
      throw refuse('activation', activation.kind, 'topk, the only one sparsify has');
    if (e !== d) throw refuse('output', `${e} wide`, `${d}, as the input`);
    const missing = record.metadata[needsKey];
    if (missing !== undefined) throw refuse('normalisation', String(missing), 'none');
    const transcode = skip !== null || !isAutoencoder(config);
    const folded = await fold(sae, { applyBDecToInput: !transcode });
    if (folded.rest.length > 0)
      throw refuse('transform', transform.input.map(({ kind }) => kind).join(', '), 'steps that fold');
    const tensors = [
      lazyTensor('encoder.weight', [n, d], dtype, async () => transposed(await folded.W_enc(), d, n)),
      lazyTensor('encoder.bias', [n], dtype, folded.b_enc),
      lazyTensor('W_dec', [n, d], dtype, folded.W_dec),
      lazyTensor('b_dec', [d], dtype, folded.b_dec),
    ];
    if (skip) {
      tensors.push(lazyTensor('W_skip', [d, d], dtype, async () => transposed(await valuesOf(skip), d, d)));
    }
    const cfg = {
      activation: name,
      expansion_factor: Math.max(1, Math.round(n / d)),
      normalize_decoder: false,
      num_latents: n,
      k: activation.k,
      multi_topk: false,
      skip_connection: skip !== null,
      transcode,
      d_in: d,
      msae: ownRecordOf(sae, false), // sparsify drops keys it does not know
    };
    return [
      safetensorsFile('sae.safetensors', tensors, { metadata: { format: 'pt' } }),
      jsonFile('cfg.json', cfg),
    ];
  },
};
