/** EleutherAI sparsify (checked with eai-sparsify 1.3.3, `SparseCoder.load_from_disk`): TopK only. */
import { formatError } from '../formatError.ts';
import { type Exportable, foldForExport, values } from './exportable.ts';
import { ownRecordOf } from './ownRecordOf.ts';
import { jsonFile, lazyTensor, type SaeFile, safetensorsFile, type WeightDtype } from './saeFile.ts';

export async function sparsifyFiles(source: Exportable, dtype: WeightDtype): Promise<SaeFile[]> {
  const { config, skip, preprocessing } = source;
  const { dModel: d, nLatents: n, activation } = config;
  const fail = (field: string, found: string, expected: string): Error =>
    formatError({ file: 'sparsify export', field, found, expected, hint: 'export to saelens instead' });
  if (activation.kind !== 'topk')
    throw fail('activation', activation.kind, 'topk, the only one sparsify has');
  if (preprocessing.normalize !== 'none') throw fail('normalisation', preprocessing.normalize, 'none');
  const transcode = source.transcoder || skip !== null;
  const folded = await foldForExport(source, { decoderNorm: false, applyBDecToInput: !transcode });
  const turned = (matrix: Float32Array, rows: number, columns: number): Float32Array => {
    const out = new Float32Array(matrix.length);
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++)
        out[column * rows + row] = matrix[row * columns + column]!;
    }
    return out;
  };
  const tensors = [
    lazyTensor('encoder.weight', [n, d], dtype, async () => turned(await folded.W_enc(), d, n)),
    lazyTensor('encoder.bias', [n], dtype, folded.b_enc),
    lazyTensor('W_dec', [n, d], dtype, folded.W_dec),
    lazyTensor('b_dec', [d], dtype, folded.b_dec),
  ];
  if (skip) tensors.push(lazyTensor('W_skip', [d, d], dtype, async () => turned(await values(skip), d, d)));
  const cfg = {
    activation: 'topk',
    expansion_factor: Math.max(1, Math.round(n / d)),
    normalize_decoder: false,
    num_latents: n,
    k: activation.k,
    multi_topk: false,
    skip_connection: skip !== null,
    transcode,
    d_in: d,
    msae: ownRecordOf(source, false), // sparsify drops keys it does not know
  };
  return [
    safetensorsFile('sae.safetensors', tensors, { metadata: { format: 'pt' } }),
    jsonFile('cfg.json', cfg),
  ];
}
