/**
 * Gemma Scope 1 (params.npz) and 2 (params.safetensors): JumpReLU SAEs and transcoders, with `W_enc` or `w_enc`.
 * b_dec is not subtracted from the input. Reference: SAELens `gemma_2_…`, `gemma_3_sae_huggingface_loader` (6.54.12).
 */
import { jumpRelu } from '@msae/core';
import type { Checkpoint } from '../checkpoint.ts';
import { openNpz, openSafetensors } from '../containers/openTensors.ts';
import { type Folder, readJson } from '../folder.ts';
import type { Candidate, Format } from '../formats/definition.ts';

export const gemmaScope: Format = {
  title: 'Gemma Scope',
  marks: ['params.npz', 'params.safetensors'],
  async recognise({ name, safetensors }) {
    if (/\.npz$/i.test(name) || name === 'params.safetensors') return true;
    if (!/\.safetensors$/i.test(name)) return false;
    const names = (await safetensors()).names.map((tensor) => tensor.toLowerCase());
    return names.includes('w_enc') && names.includes('threshold');
  },
  read: ({ folder, name, hint }) => readGemmaScope(folder, name, hint),
};

async function readGemmaScope(folder: Folder, path: string, hint: Candidate['hint']): Promise<Checkpoint> {
  const npz = /\.npz$/i.test(path);
  const found = npz ? await openNpz(folder, path) : await openSafetensors(folder, path);
  const name = (upper: string): string =>
    found.has(upper)
      ? upper
      : (found.names.find((other) => other.toLowerCase() === upper.toLowerCase()) ?? upper);
  const W_enc = name('W_enc');
  const [d, n] = found.shape(W_enc, 2) as [number, number];
  const affine = found.has('affine_skip_connection');
  const config = npz ? undefined : await readJson(folder, 'config.json');
  const where = `${folder.name}/${path} ${hint}`;
  const transcoder = /transcoder|clt/.test(where) || typeof config?.hf_hook_point_out === 'string' || affine;
  const e = transcoder ? (found.shape(name('W_dec'), 2)[1] ?? d) : d;
  const weights = {
    W_enc: found.matrix(W_enc, [d, n]),
    b_enc: found.vector(name('b_enc'), n),
    W_dec: found.matrix(name('W_dec'), [n, e]),
    b_dec: found.vector(name('b_dec'), e),
    threshold: found.vector('threshold', n),
    ...(affine && { skip: found.matrix('affine_skip_connection', [d, e]) }),
  };
  found.finish();
  const embedding = npz && /embedding/.test(where);
  const warnings: string[] = [];
  if (transcoder)
    warnings.push("a transcoder: it maps the MLP's normalised input to the MLP's output, not x to x");
  if (embedding)
    warnings.push('an embedding SAE: W_enc/√d and W_dec·√d were folded, as its training scale asks');
  // attention SAEs explain the heads' outputs side by side
  const heads = /-pt-att\b|attn_out/.test(where);
  return {
    architecture: `jumprelu${affine ? '_skip' : ''}${transcoder ? '_transcoder' : ''}`,
    file: found.file,
    input: { width: d, ...(heads && { layout: 'heads' }) },
    ...(transcoder && { output: { width: e } }),
    nLatents: n,
    activation: jumpRelu({ threshold: 0 }),
    applyBDecToInput: false,
    weights,
    ...(embedding && { encoderScale: 1 / Math.sqrt(d) }),
    metadata: {
      ...config,
      scope: npz ? 1 : 2,
      ...(transcoder && { transcoder }),
      ...(embedding && { embedding }),
    },
    warnings,
  };
}
