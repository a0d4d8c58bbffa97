/** Everything measured about a trained SAE, all of it on documents that neither it nor the language model has seen. */
import { streamRows } from '@msae/data';
import { type EvaluationOptions, evaluate, logitEffects, type SaeEvaluation, saeLatents } from '@msae/eval';
import { type SaeSplice, spliceSaes, unembedding } from '@msae/harvest';
import type { ReportRun } from '@msae/report';
import { type Activations, TAP } from './activations.ts';
import { labelSets } from './labels.ts';
import { PREFIXES, type TrainedSae } from './trainSae.ts';

/** Predictions that cross-entropy is measured on. */
const SPLICED_TOKENS = 8_000;

export interface Measured {
  readonly trained: TrainedSae;
  readonly evaluation: SaeEvaluation;
  readonly recovered: SaeSplice;
}

export async function measure(
  trained: readonly TrainedSae[],
  activations: Activations,
  options: { signal: AbortSignal; onProgress: (what: string) => void },
): Promise<Measured[]> {
  const { store, documents } = activations.heldOut;
  options.onProgress('cross-entropy with reconstructions in place');
  const recovered = await spliceSaes(
    activations.model,
    documents,
    trained.map(({ sae }) => sae),
    {
      tap: TAP,
      prefixes: PREFIXES,
      contextLength: 128,
      maxTokens: Math.min(SPLICED_TOKENS, store.length),
      skipTokenIds: [activations.tokenizer.idOf('<|endoftext|>') ?? -1],
      signal: options.signal,
    },
  );
  const measured: Measured[] = [];
  const denseProbes: EvaluationOptions['denseProbes'] = new Map();
  for (const [at, run] of trained.entries()) {
    options.signal.throwIfAborted();
    options.onProgress(`${run.variant}, seed ${run.seed}: latents, probes, absorption`);
    const evaluation = await evaluate(run.sae, streamRows(store).batches({ batchSize: 2048 }), {
      prefixes: PREFIXES,
      labelSets: labelSets(documents),
      denseProbes,
      totalRows: store.length,
      // Only a Matryoshka SAE's latents come in an order.
      forest: { order: run.variant === 'matryoshka' ? 'index' : 'density' },
      signal: options.signal,
    });
    measured.push({ trained: run, evaluation, recovered: recovered[at]! });
  }
  return measured;
}

/** A measured SAE as a run of the report. */
export async function reportRun(
  { trained, evaluation, recovered }: Measured,
  activations: Activations,
): Promise<ReportRun> {
  const { decoder } = await saeLatents(trained.sae);
  const matrix = await unembedding(activations.model);
  return {
    name: trained.variant === 'matryoshka' ? 'Matryoshka' : 'Vanilla',
    evaluation,
    recovered,
    curves: trained.curves,
    ...(matrix && {
      logitEffects: logitEffects({
        decoder,
        unembedding: { data: matrix.data, rows: matrix.vocabulary, columns: matrix.width },
      }),
    }),
  };
}
