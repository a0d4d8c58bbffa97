/** Everything measured about one SAE on one stream of tokens. Plain data: `JSON.stringify` with `evaluationToJson`. */
import type { Context } from './contexts.ts';
import type { Forest } from './forest.ts';
import type { LabelAbsorptionResult } from './labelAbsorption.ts';
import type { LabelShare } from './labelProfile.ts';
import type { Numbers } from './matrix.ts';
import type { ReconstructionMetrics } from './reconstruction.ts';
import type { SparseProbingResult } from './sparseProbing.ts';
import type { SparsityMetrics } from './sparsity.ts';

export interface SaeEvaluation {
  readonly nLatents: number;
  readonly dModel: number;
  readonly tokens: number;
  readonly reconstruction: ReconstructionMetrics;
  readonly sparsity: SparsityMetrics;
  /** The SAE cut after its first `length` latents; the last entry is the whole. */
  readonly prefixes: readonly PrefixEvaluation[];
  /** Greatest cosine of a decoder row with another: mean and maximum over latents. */
  readonly decoderSimilarity: { readonly mean: number; readonly max: number };
  readonly forest: Forest;
  readonly latents: readonly LatentEvaluation[];
  /** Names of the labels in every latent's profile, and P(label); absent without labels. */
  readonly labels?: { readonly name: string; readonly names: readonly string[]; readonly base: Numbers };
  /** One entry a set of labels. */
  readonly probes: readonly LabelProbes[];
}

export interface PrefixEvaluation {
  readonly length: number;
  readonly l0: number;
  readonly fvu: number;
}

export interface LatentEvaluation {
  /** Counts of activations in equal bins from 0 to `upper`. */
  readonly histogram: { readonly upper: number; readonly counts: Numbers };
  /** Strongest contexts; empty where the stream has no token ids. */
  readonly contexts: readonly Context[];
  /** Most frequent labels; empty without labels. */
  readonly profile: readonly LabelShare[];
}

export interface LabelProbes {
  /** The set of labels, for instance `part of speech`. */
  readonly name: string;
  readonly names: readonly string[];
  readonly absorption: LabelAbsorptionResult;
  readonly sparseProbing: SparseProbingResult;
}

/**
 * JSON text of an evaluation: typed arrays become arrays, numbers keep six digits, numbers that are not finite become null.
 * `JSON.parse` of it serves wherever an evaluation is read (null where a metric was not finite).
 */
export function evaluationToJson(evaluation: SaeEvaluation): string {
  return JSON.stringify(evaluation, (_key, value: unknown) => {
    if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<number>, rounded);
    return typeof value === 'number' ? rounded(value) : value;
  });
}

function rounded(value: number): number | null {
  if (!Number.isFinite(value)) return null;
  return Number.isInteger(value) ? value : Number(value.toPrecision(6));
}
