/** How much of a model's predictions survives when an SAE's reconstructions take the place of what it explains. */
import type { ActiveLatents, Sae } from '@msae/core';
import { check, isMsaeError, list, msaeError, object, optional, type Schema, whole } from '@msae/schema';
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import type { Documents } from './contexts.ts';
import {
  measureSplices,
  type Reconstructions,
  type SpliceRunOptions,
  spliceEntries,
} from './evaluateSplice.ts';
import type { TransformerModel } from './model.ts';

export interface SpliceSaesOptions extends SpliceRunOptions {
  /** Lengths of prefixes to measure, strictly increasing; all latents are measured in any case. Default: those the SAE was trained with. */
  prefixes?: readonly number[];
}

const schema: Schema<SpliceSaesOptions> = object<SpliceSaesOptions>({
  prefixes: optional(list(whole({ min: 0 }), { help: 'lengths of prefixes to measure' })),
  ...spliceEntries,
});

/** Of one SAE. Nats a token. */
export interface SaeSplice {
  /** (CE zero − CE reconstructed) / (CE zero − CE clean). */
  readonly ceRecovered: number;
  /** 1 − KL reconstructed / KL zero */
  readonly klRecovered: number;
  readonly ceClean: number;
  readonly ceReconstructed: number;
  /** The same by prefix, the last one all latents. */
  readonly prefixes: readonly { readonly length: number; readonly ceRecovered: number }[];
}

/**
 * Cross-entropy and KL with SAEs' reconstructions in place of a tap's activations, all SAEs in one pass over the documents. Runs on
 * the current tfjs backend; raw activations in, raw reconstructions out.
 *
 * @throws MsaeError `shape` when an SAE was made for another width, `unsupported` for a transcoder (what it writes belongs to another
 *   site), `option`, and what `evaluateSplice` throws
 */
export async function spliceSaes(
  model: TransformerModel,
  documents: Documents | (() => Documents),
  saes: readonly Sae[],
  options: SpliceSaesOptions,
): Promise<SaeSplice[]> {
  const { prefixes, ...run } = check(schema, options, 'spliceSaes');
  const reconstruct = await prefixReconstruction();
  const groups = saes.map((sae, at): Reconstructions & { readonly lengths: readonly number[] } => {
    if (sae.config.output !== undefined) {
      throw msaeError(
        'unsupported',
        'spliceSaes: this is a transcoder; what it writes belongs to another site',
      );
    }
    const n = sae.config.nLatents;
    const asked = (prefixes ?? sae.prefixes?.lengths ?? []).filter((length) => length < n);
    const lengths = [...asked, n];
    return {
      lengths,
      names: lengths.map((length) => nameOf(at, length)),
      make: async (x, rows) => {
        const [width, made] = [x.length / rows, sae.config.input.width];
        if (width !== made) {
          throw msaeError(
            'shape',
            `tap ${run.tap} is ${width} wide in this model, but the SAE was made for ${made}; name the tap it was trained on`,
          );
        }
        return ordinaryRows(sae, x, rows, await reconstruct(sae, x, rows, lengths));
      },
    };
  });
  const report = await measureSplices(model, documents, run, groups);
  return groups.map(({ lengths }, at) => {
    const of = (length: number) => report.reconstructions[nameOf(at, length)]!;
    const whole = of(lengths.at(-1)!);
    return {
      ceRecovered: whole.ceRecovered,
      klRecovered: whole.klRecovered,
      ceClean: report.clean,
      ceReconstructed: whole.crossEntropy,
      prefixes: lengths.map((length) => ({ length, ceRecovered: of(length).ceRecovered })),
    };
  });
}

/** Rows longer than any that training kept stay as they are: the SAE is not for them. */
function ordinaryRows({ record }: Sae, x: Float32Array, rows: number, made: Float32Array[]): Float32Array[] {
  const { maxRowNorm, leftOut } = record.training?.details ?? {};
  if (typeof maxRowNorm !== 'number' || !(typeof leftOut === 'number' && leftOut > 0)) return made;
  const width = x.length / rows;
  for (let at = 0; at < x.length; at += width) {
    const row = x.subarray(at, at + width);
    const squares = row.reduce((sum, value) => sum + value * value, 0);
    if (squares > maxRowNorm ** 2) for (const values of made) values.set(row, at);
  }
  return made;
}

const nameOf = (sae: number, length: number): string => `${length} latents of SAE ${sae}`;

/** tfjs and the SAE's own code are loaded when they are needed: harvesting does without. */
async function prefixReconstruction(): Promise<
  (sae: Sae, data: Float32Array, rows: number, lengths: readonly number[]) => Promise<Float32Array[]>
> {
  const tf = await import('@tensorflow/tfjs-core');
  const core = await import('@msae/core');

  /** The lists without what comes after a prefix. */
  const within = (active: ActiveLatents, length: number): ActiveLatents => {
    const [indices, values, counts] = tf.tidy(() => {
      const kept = tf.less(active.indices, tf.scalar(length, 'int32'));
      return [
        tf.where(kept, active.indices, tf.fill(active.indices.shape, active.nLatents, 'int32')) as Tensor2D,
        tf.where(kept, active.values, tf.zerosLike(active.values)) as Tensor2D,
        tf.sum(tf.cast(kept, 'int32'), 1) as Tensor1D,
      ];
    });
    return {
      ...active,
      indices: indices!,
      values: values!,
      counts: counts!,
      dispose: () => tf.dispose([indices!, values!, counts!]),
    };
  };

  const sparse = (sae: Sae, x: Tensor2D, lengths: readonly number[]): Tensor2D[] => {
    const active = core.encodeActive(sae, x);
    try {
      return lengths.map((length) => {
        if (length === sae.config.nLatents) return core.decodeActive(sae, active, { x });
        const prefix = within(active, length);
        const rebuilt = core.decodeActive(sae, prefix, { x });
        prefix.dispose();
        return rebuilt;
      });
    } finally {
      active.dispose();
    }
  };

  const dense = (sae: Sae, x: Tensor2D, lengths: readonly number[]): Tensor2D[] =>
    tf.tidy(() => core.decodePrefixes(sae, core.encode(sae, x), lengths, { x }));

  return async (sae, data, rows, lengths) => {
    const x = tf.tensor2d(data, [rows, data.length / rows]);
    let rebuilt: Tensor2D[];
    try {
      rebuilt = sparse(sae, x, lengths);
    } catch (error) {
      if (!isMsaeError(error, 'unsupported')) throw error;
      rebuilt = dense(sae, x, lengths); // every latent is active
    }
    const made = await Promise.all(rebuilt.map((tensor) => tensor.data()));
    tf.dispose([x, ...rebuilt]);
    return made as Float32Array[];
  };
}
