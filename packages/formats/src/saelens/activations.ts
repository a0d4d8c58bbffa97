/** What SAELens calls each activation, and each of its architectures here. Formulas: `sae_lens/saes/*_sae.py` (6.54.12). */
import { type Activation, absTopK, batchTopK, jumpRelu, relu, topK } from '@msae/core';
import type { Fields } from '../configFields.ts';
import { formatError, show } from '../formatError.ts';

/** How one architecture is read. */
export interface Architecture {
  activation(cfg: Fields, nLatents: number): Activation;
  /** Default of `rescale_acts_by_decoder_norm`, where the architecture has it. */
  readonly rescales?: boolean;
  /** It has a threshold per latent, `threshold` or `log_threshold`. */
  readonly thresholds?: true;
  /** It has one threshold of inference, `topk_threshold`. */
  readonly batchThreshold?: true;
  readonly gated?: true;
  readonly transcoder?: true;
  readonly skip?: true;
}

const standard: Architecture = { activation: () => relu() };
const jump: Architecture = {
  activation: (cfg) =>
    jumpRelu({ threshold: 0, bandwidth: cfg.number('jumprelu_bandwidth', { default: 0.05 }) }),
  thresholds: true,
};
const batch: Architecture = {
  activation: (cfg, n) => batchTopK(averageK(cfg, n)),
  rescales: true,
  batchThreshold: true,
};

export const architectures: Readonly<Record<string, Architecture>> = {
  standard,
  topk: { activation: (cfg) => topK(cfg.integer('k')), rescales: false },
  abstopk: { activation: (cfg) => absTopK(cfg.integer('k')), rescales: false },
  jumprelu: jump,
  gated: { activation: () => jumpRelu({ threshold: 0 }), gated: true },
  batchtopk: batch,
  matryoshka_batchtopk: batch,
  transcoder: { ...standard, transcoder: true },
  skip_transcoder: { ...standard, transcoder: true, skip: true },
  jumprelu_transcoder: { ...jump, transcoder: true },
  jumprelu_skip_transcoder: { ...jump, transcoder: true, skip: true },
};

/** An average, so it may be a fraction. */
function averageK(cfg: Fields, nLatents: number): number {
  const k = cfg.number('k');
  if (k <= 0 || k > nLatents) {
    throw formatError({ file: cfg.file, field: 'k', found: show(k), expected: `between 0 and ${nLatents}` });
  }
  return k;
}

/** How one activation is written. */
export interface Written {
  /** The architecture of inference. */
  readonly architecture: string;
  /** What it is called in training, where that is another name. */
  readonly trained?: string;
  /** Prefix of its transcoders; absent where there are none. */
  readonly transcoders?: '' | 'jumprelu_';
  /** A threshold per latent is written. */
  readonly thresholds?: true;
  /** Latents compete by size, so folding decoder norms would change the choice. */
  readonly ranks?: true;
}

/** batchtopk is written as jumprelu, as SAELens itself does. */
export const written: Readonly<Partial<Record<Activation['kind'], Written>>> = {
  relu: { architecture: 'standard', trained: 'standard', transcoders: '' },
  topk: { architecture: 'topk', ranks: true },
  abstopk: { architecture: 'abstopk', ranks: true },
  batchtopk: { architecture: 'jumprelu', transcoders: 'jumprelu_', thresholds: true },
  jumprelu: { architecture: 'jumprelu', transcoders: 'jumprelu_', thresholds: true },
};
