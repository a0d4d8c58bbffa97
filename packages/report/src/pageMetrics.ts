/** The table that sets runs side by side: one line a metric that at least one run has. */
import type { PageMetric } from './pageData.ts';
import type { ReportRun } from './reportInput.ts';

interface MetricKind {
  readonly label: string;
  readonly help: string;
  readonly better?: 'lower' | 'higher';
  readonly percent?: boolean;
  value(run: ReportRun): number | null | undefined;
}

const KINDS: readonly MetricKind[] = [
  {
    label: 'FVU',
    help: 'Fraction of variance unexplained: Σ‖x − x̂‖² / Σ‖x − mean‖²',
    better: 'lower',
    value: (run) => run.evaluation.reconstruction.fvu,
  },
  { label: 'L0', help: 'Mean number of active latents a token', value: (run) => run.evaluation.sparsity.l0 },
  {
    label: 'CE recovered',
    help: "Share of the language model's cross-entropy that survives the reconstruction; 0 = zero ablation, 1 = unharmed",
    better: 'higher',
    value: (run) => run.recovered?.ceRecovered,
  },
  {
    label: 'KL recovered',
    help: '1 − KL(clean ‖ reconstructed) / KL(clean ‖ ablated)',
    better: 'higher',
    value: (run) => run.recovered?.klRecovered,
  },
  {
    label: 'CE, clean',
    help: 'Cross-entropy of the model itself, nats a token',
    value: (run) => run.recovered?.ceClean,
  },
  {
    label: 'CE, reconstructed',
    help: 'Cross-entropy with the reconstruction in place of the activations, nats a token',
    better: 'lower',
    value: (run) => run.recovered?.ceReconstructed,
  },
  {
    label: 'Dead latents',
    help: 'Share of latents that never fired here',
    better: 'lower',
    percent: true,
    value: (run) => run.evaluation.sparsity.deadFraction,
  },
  {
    label: 'Latents on > 1 % of tokens',
    help: 'Share of latents that fire on more than 1 % of tokens',
    percent: true,
    value: (run) => run.evaluation.sparsity.over1Percent,
  },
  {
    label: 'Latents on > 10 % of tokens',
    help: 'Share of latents that fire on more than 10 % of tokens',
    percent: true,
    value: (run) => run.evaluation.sparsity.over10Percent,
  },
  {
    label: 'Cosine',
    help: 'Mean cos(x, x̂)',
    better: 'higher',
    value: (run) => run.evaluation.reconstruction.cosine,
  },
  {
    label: 'Norm ratio',
    help: 'Mean ‖x̂‖ / ‖x‖; below 1 is shrinkage',
    value: (run) => run.evaluation.reconstruction.l2Ratio,
  },
  {
    label: 'Decoder similarity',
    help: "Mean over latents of the greatest cosine with another latent's direction; duplicates bring it near 1",
    better: 'lower',
    value: (run) => run.evaluation.decoderSimilarity?.mean,
  },
  {
    label: 'Latents in trees',
    help: 'Share of latents with a parent or a child: one fires (nearly) only where the other does',
    percent: true,
    value: (run) => run.evaluation.forest?.inTrees,
  },
  {
    label: 'Deepest chain',
    help: 'Edges from the most general to the most specific latent of the longest chain',
    value: (run) => run.evaluation.forest?.depth,
  },
];

/** Metrics of all runs. Those that no run has are left out; a value that is not finite counts as not measured. */
export function pageMetrics(runs: readonly ReportRun[]): PageMetric[] {
  return [...KINDS, ...probeKinds(runs)]
    .map(({ value, ...kind }) => ({ ...kind, values: runs.map((run) => finite(value(run))) }))
    .filter((metric) => metric.values.some((value) => value !== null));
}

function probeKinds(runs: readonly ReportRun[]): MetricKind[] {
  const names = [...new Set(runs.flatMap((run) => (run.evaluation.probes ?? []).map((probe) => probe.name)))];
  return names.flatMap((name): MetricKind[] => {
    const of = (run: ReportRun) => run.evaluation.probes?.find((probe) => probe.name === name);
    const ks = [...new Set(runs.flatMap((run) => of(run)?.sparseProbing.accuracy.map(({ k }) => k) ?? []))];
    return [
      {
        label: `Absorption, full (${name})`,
        help: "Tokens of a label on which its latents are silent and another latent carries the label's direction (SAEBench)",
        better: 'lower',
        percent: true,
        value: (run) => of(run)?.absorption.full,
      },
      {
        label: `Absorption fraction (${name})`,
        help: 'How much of a label is carried by latents that do not stand for it (SAEBench)',
        better: 'lower',
        percent: true,
        value: (run) => of(run)?.absorption.fraction,
      },
      {
        label: `Latents a label is split over (${name})`,
        help: 'Latents it takes until a k-sparse probe gains less than 0.03 of F1; 1 = not split (SAEBench)',
        better: 'lower',
        value: (run) => of(run)?.absorption.splitLatents,
      },
      ...ks.map(
        (k): MetricKind => ({
          label: `Probe on ${k} latent${k > 1 ? 's' : ''} (${name})`,
          help: 'Accuracy of a logistic probe on the k most telling latents, mean over labels; 50 % is chance',
          better: 'higher',
          percent: true,
          value: (run) => of(run)?.sparseProbing.accuracy.find((a) => a.k === k)?.mean,
        }),
      ),
      {
        label: `Probe on all of x (${name})`,
        help: 'The same probe on the model activation itself: what there is to find',
        percent: true,
        value: (run) => of(run)?.sparseProbing.denseAccuracy,
      },
    ];
  });
}

/** The number, or null where it is missing or not finite. */
export function finite(value: number | null | undefined): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}
