/** The result in a few lines: a table of both SAEs, and whether the method's claim holds here. */
import type { ReportTable } from '@msae/report';
import type { Measured } from './measure.ts';
import type { Variant } from './trainSae.ts';

interface Line {
  readonly label: string;
  readonly digits: number;
  of(measured: Measured): number;
}

const probe = (m: Measured, name: string) => m.evaluation.probes.find((p) => p.name === name);

const LINES: readonly Line[] = [
  { label: 'FVU', digits: 4, of: (m) => m.evaluation.reconstruction.fvu },
  { label: 'L0', digits: 1, of: (m) => m.evaluation.sparsity.l0 },
  { label: 'CE recovered', digits: 4, of: (m) => m.recovered.ceRecovered },
  { label: 'dead %', digits: 2, of: (m) => 100 * m.evaluation.sparsity.deadFraction },
  ...['part of speech', 'first letter'].flatMap((name): Line[] => [
    {
      label: `full absorption %, ${name}`,
      digits: 2,
      of: (m) => 100 * (probe(m, name)?.absorption.full ?? Number.NaN),
    },
    {
      label: `absorption fraction %, ${name}`,
      digits: 2,
      of: (m) => 100 * (probe(m, name)?.absorption.fraction ?? Number.NaN),
    },
    {
      label: `latents per label, ${name}`,
      digits: 2,
      of: (m) => probe(m, name)?.absorption.splitLatents ?? Number.NaN,
    },
  ]),
  { label: 'latents in trees %', digits: 1, of: (m) => 100 * m.evaluation.forest.inTrees },
  {
    label: 'training tokens/s',
    digits: 0,
    of: (m) => m.trained.tokensPerSecond,
  },
  {
    label: 'training seconds',
    digits: 1,
    of: (m) => m.trained.seconds || Number.NaN,
  },
];

const VARIANTS: readonly Variant[] = ['matryoshka', 'vanilla'];

/** One row a metric: mean over seeds, with the standard deviation where there are several. */
export function summaryTable(measured: readonly Measured[]): ReportTable {
  const seeds = new Set(measured.map((m) => m.trained.seed)).size;
  return {
    title: seeds > 1 ? `Over ${seeds} seeds` : 'In short',
    ...(seeds > 1 && { note: 'Mean ± standard deviation; everything else on this page is seed 0.' }),
    columns: ['Held-out documents', 'Matryoshka', 'Vanilla'],
    rows: LINES.map(({ label, digits, of }) => [
      label,
      ...VARIANTS.map((variant) => {
        const { mean, deviation, count } = spread(
          measured.filter((m) => m.trained.variant === variant).map(of),
        );
        if (count === 0) return '–';
        return count > 1 ? `${mean.toFixed(digits)} ± ${deviation.toFixed(digits)}` : mean.toFixed(digits);
      }),
    ]),
  };
}

/** The table for a terminal. */
export function tableText({ columns, rows }: ReportTable): string {
  const lines = [columns, ...rows.map((row) => row.map(String))];
  const widths = columns.map((_, k) => Math.max(...lines.map((line) => line[k]!.length)));
  return lines
    .map((line) =>
      line.map((cell, k) => (k === 0 ? cell.padEnd(widths[k]!) : cell.padStart(widths[k]!))).join('  '),
    )
    .join('\n');
}

/** Whether Matryoshka's absorption and splitting are lower, seed by seed. */
export function verdict(measured: readonly Measured[]): string {
  const claims = LINES.filter(({ label }) => /absorption|latents per label/.test(label));
  const seeds = [...new Set(measured.map((m) => m.trained.seed))];
  const lines = claims.flatMap(({ label, of }) => {
    const pairs = seeds.map((seed) =>
      VARIANTS.map((variant) =>
        of(measured.find((m) => m.trained.seed === seed && m.trained.variant === variant)!),
      ),
    );
    if (pairs.some((pair) => pair.some(Number.isNaN)))
      return [`${label}: not measurable here (the probes are too weak)`];
    const lower = pairs.filter(([matryoshka, vanilla]) => matryoshka! < vanilla!).length;
    return [`${label}: lower for Matryoshka in ${lower} of ${seeds.length}`];
  });
  return lines.join('\n');
}

function spread(values: readonly number[]): { mean: number; deviation: number; count: number } {
  const known = values.filter(Number.isFinite);
  const mean = known.reduce((sum, v) => sum + v, 0) / known.length;
  const variance = known.reduce((sum, v) => sum + (v - mean) ** 2, 0) / Math.max(1, known.length - 1);
  return { mean, deviation: Math.sqrt(variance), count: known.length };
}
