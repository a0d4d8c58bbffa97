import { check } from '@msae/schema';
import { type DenseProbe, denseProbes } from '../denseProbes.ts';
import type { LabelSet } from '../evaluationBatch.ts';
import { type LabelAbsorptionResult, labelAbsorption } from '../labelAbsorption.ts';
import { type ProbeSampler, probeSampler } from '../probeSampler.ts';
import { type SparseProbingResult, sparseProbing } from '../sparseProbing.ts';
import type { Metric, MetricContext, TableRow } from './definition.ts';
import { probesSchema } from './options.ts';

export interface LabelProbes {
  /** The set of labels, for instance `part of speech`. */
  readonly name: string;
  readonly names: readonly string[];
  readonly absorption: LabelAbsorptionResult;
  readonly sparseProbing: SparseProbingResult;
}

export interface ProbeOptions {
  readonly labelSets: readonly LabelSet[];
  /** Tokens kept for probes (spread evenly where the number of rows is known). Default 20,000. */
  readonly tokens?: number;
  /**
   * Probes on x by the name of their label set: found here they are used, else fitted and put here. Hand the same map to the
   * evaluations of several SAEs on one stream, and each probe is fitted once.
   */
  readonly dense?: Map<string, ReadonlyMap<number, DenseProbe>>;
}

interface State {
  readonly sampler: ProbeSampler;
  readonly context: MetricContext;
}

/** What probes find about labels: absorption, splitting, sparse probing. */
export function probesMetric(options: ProbeOptions): Metric<'probes', State, readonly LabelProbes[]> {
  check(probesSchema, options, 'probesMetric');
  const { labelSets, tokens = 20_000, dense = new Map() } = options;
  return {
    name: 'probes',
    start: (context) => ({
      context,
      sampler: probeSampler({
        width: context.width,
        nLatents: context.nLatents,
        labelSets,
        probeTokens: tokens,
        totalRows: context.totalRows,
      }),
    }),
    add: ({ sampler }, { x, active, tokens: batch, firstRow }) =>
      sampler.add(
        x,
        active,
        labelSets.map((set) => set.labelsOf(batch, firstRow)),
      ),
    result: ({ sampler, context }) =>
      sampler.samples().map((sample, s) => {
        const { name, names } = labelSets[s]!;
        const probes = dense.get(name) ?? denseProbes(sample);
        dense.set(name, probes);
        return {
          name,
          names,
          absorption: labelAbsorption({ sample, decoder: context.decoder, probes }),
          sparseProbing: sparseProbing(sample, { dense: probes }),
        };
      }),
    table: (results) => results.flatMap(rowsOf),
  };
}

function rowsOf({ name, absorption, sparseProbing: probing }: LabelProbes): TableRow[] {
  return [
    {
      label: `Absorption, full (${name})`,
      value: absorption.full,
      better: 'lower',
      percent: true,
      help: "Tokens of a label on which its latents are silent and another latent carries the label's direction (SAEBench)",
    },
    {
      label: `Absorption fraction (${name})`,
      value: absorption.fraction,
      better: 'lower',
      percent: true,
      help: 'How much of a label is carried by latents that do not stand for it (SAEBench)',
    },
    {
      label: `Latents a label is split over (${name})`,
      value: absorption.splitLatents,
      better: 'lower',
      help: 'Latents it takes until a k-sparse probe gains less than 0.03 of F1; 1 = not split (SAEBench)',
    },
    ...probing.accuracy.map(
      ({ k, mean }): TableRow => ({
        label: `Probe on ${k} latent${k > 1 ? 's' : ''} (${name})`,
        value: mean,
        better: 'higher',
        percent: true,
        help: 'Accuracy of a logistic probe on the k most telling latents, mean over labels; 50 % is chance',
      }),
    ),
    {
      label: `Probe on all of x (${name})`,
      value: probing.denseAccuracy ?? null,
      percent: true,
      help: 'The same probe on the model activation itself: what there is to find',
    },
  ];
}
