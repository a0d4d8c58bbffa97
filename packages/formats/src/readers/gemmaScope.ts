/**
 * Gemma Scope 1 (params.npz) and 2 (params.safetensors): JumpReLU SAEs and transcoders, with `W_enc` or `w_enc`.
 * b_dec is not subtracted from the input. Reference: SAELens `gemma_2_…`, `gemma_3_sae_huggingface_loader` (6.54.12).
 */
import { jumpRelu } from '@msae/core';
import type { Checkpoint } from '../checkpoint.ts';
import { type Folder, readJson } from '../folder.ts';
import { openNpz, openSafetensors } from './openTensors.ts';

/** @param hint The path as the user gave it: in Gemma Scope a folder's name says what kind of SAE it holds. */
export async function readGemmaScope(folder: Folder, path: string, hint = ''): Promise<Checkpoint> {
  const npz = path.endsWith('.npz');
  const found = npz ? await openNpz(folder, path) : await openSafetensors(folder, path);
  const name = (upper: string): string =>
    found.has(upper)
      ? upper
      : (found.names.find((other) => other.toLowerCase() === upper.toLowerCase()) ?? upper);
  const W_enc = name('W_enc');
  const [d, n] = found.shape(W_enc, 2) as [number, number];
  const affine = 'affine_skip_connection';
  const weights = {
    W_enc: found.matrix(W_enc, [d, n]),
    b_enc: found.vector(name('b_enc'), n),
    W_dec: found.matrix(name('W_dec'), [n, d]),
    b_dec: found.vector(name('b_dec'), d),
    threshold: found.vector('threshold', n),
    ...(found.has(affine) ? { skip: found.matrix(affine, [d, d]) } : {}),
  };
  found.finish();
  const config = npz ? undefined : await readJson(folder, 'config.json');
  const where = `${folder.name}/${path} ${hint}`;
  const hook = config?.hf_hook_point_out;
  const transcoder = /transcoder|clt/.test(where) || typeof hook === 'string' || found.has(affine);
  const embedding = npz && /embedding/.test(where);
  const warnings: string[] = [];
  if (transcoder)
    warnings.push("a transcoder: it maps the MLP's normalised input to the MLP's output, not x to x");
  if (embedding)
    warnings.push('an embedding SAE: W_enc/√d and W_dec·√d were folded, as its training scale asks');
  return {
    format: 'gemma_scope',
    architecture: transcoder
      ? found.has(affine)
        ? 'jumprelu_skip_transcoder'
        : 'jumprelu_transcoder'
      : 'jumprelu',
    file: found.file,
    dModel: d,
    nLatents: n,
    activation: jumpRelu({ threshold: 0 }),
    applyBDecToInput: false,
    weights,
    ...(embedding ? { encoderScale: 1 / Math.sqrt(d) } : {}),
    // attention SAEs explain the heads' outputs side by side
    preprocessing: { normalize: 'none', reshape: /-pt-att\b|attn_out/.test(where) ? 'hook_z' : 'none' },
    metadata: {
      ...config,
      scope: npz ? 1 : 2,
      ...(transcoder ? { transcoder } : {}),
      ...(embedding ? { embedding } : {}),
    },
    warnings,
  };
}
