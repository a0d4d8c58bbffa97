/** The toy's results as text: a line a seed and a line a preset. */
import type { ToyScores } from './evaluateToy.ts';
import type { ToyPreset } from './toyRecipe.ts';

export interface ToyResult {
  readonly preset: ToyPreset;
  readonly seed: number;
  readonly steps: number;
  readonly seconds: number;
  readonly stepsPerSecond: number;
  readonly scores: ToyScores;
  /** All of {@link isExact}. */
  readonly exact: boolean;
}

/** The features found: cosine and F1 ≥ .999, no absorption, FVU ≤ 1e-4, every |child · parent| ≤ .01. */
export function isExact({ cosine, f1, absorption, fvu, childParent }: ToyScores): boolean {
  return (
    cosine.mean >= 0.999 &&
    f1.mean >= 0.999 &&
    absorption === 0 &&
    fvu <= 1e-4 &&
    childParent.maxAbsolute <= 0.01
  );
}

const columns = [
  'cosine',
  'min',
  'parents',
  'children',
  'indep.',
  'F1',
  'min',
  'FVU',
  'L0',
  'absorption',
  'child·parent',
  'steps/s',
] as const;

export const TOY_COLUMNS: readonly string[] = columns;

/** The cells of one run under {@link TOY_COLUMNS}; child·parent is the mean. */
export function toyCells({
  scores: s,
  stepsPerSecond,
}: Pick<ToyResult, 'scores' | 'stepsPerSecond'>): string[] {
  const { cosine, f1 } = s;
  return [
    ...[cosine.mean, cosine.min, cosine.parents, cosine.children, cosine.independents, f1.mean, f1.min].map(
      (value) => value.toFixed(4),
    ),
    s.fvu.toExponential(1),
    s.l0.toFixed(3),
    s.absorption.toFixed(3),
    signed(s.childParent.mean),
    Math.round(stepsPerSecond).toString(),
  ];
}

const signed = (value: number): string => (Math.abs(value) < 5e-4 ? '0.000' : value.toFixed(3));

export interface ToySummary {
  readonly preset: ToyPreset;
  readonly seeds: number;
  /** How many seeds found the features, see {@link isExact}. */
  readonly exact: number;
  /** How many seeds reached cosine ≥ .960 without absorption, the mark of the write-up's own implementation. */
  readonly good: number;
  /** Means over seeds; `min` ones are the least. */
  readonly scores: ToyScores;
  readonly stepsPerSecond: number;
}

/** One entry a preset, in order of appearance. */
export function summarizeToy(results: readonly ToyResult[]): ToySummary[] {
  return [...new Set(results.map((r) => r.preset))].map((preset) => {
    const runs = results.filter((r) => r.preset === preset);
    const mean = (of: (s: ToyScores) => number): number =>
      runs.reduce((sum, r) => sum + of(r.scores), 0) / runs.length;
    const least = (of: (s: ToyScores) => number): number => Math.min(...runs.map((r) => of(r.scores)));
    return {
      preset,
      seeds: runs.length,
      exact: runs.filter((r) => r.exact).length,
      good: runs.filter((r) => r.scores.cosine.mean >= 0.96 && r.scores.absorption === 0).length,
      scores: {
        cosine: {
          mean: mean((s) => s.cosine.mean),
          min: least((s) => s.cosine.min),
          parents: mean((s) => s.cosine.parents),
          children: mean((s) => s.cosine.children),
          independents: mean((s) => s.cosine.independents),
        },
        f1: { mean: mean((s) => s.f1.mean), min: least((s) => s.f1.min) },
        fvu: mean((s) => s.fvu),
        l0: mean((s) => s.l0),
        trueL0: mean((s) => s.trueL0),
        absorption: mean((s) => s.absorption),
        childParent: {
          mean: mean((s) => s.childParent.mean),
          maxAbsolute: Math.max(...runs.map((r) => r.scores.childParent.maxAbsolute)),
        },
      },
      stepsPerSecond: runs.reduce((sum, r) => sum + r.stepsPerSecond, 0) / runs.length,
    };
  });
}

const NAME = 17;

/** Heading of the lines that follow. */
export function toyHeading(): string {
  return line(['', 'seed', ...columns]);
}

export function toyLine(result: ToyResult): string {
  return `${line([result.preset, String(result.seed), ...toyCells(result)])}${result.exact ? '  exact' : ''}`;
}

export function toySummaryLine(summary: ToySummary): string {
  const { preset, seeds, exact, good } = summary;
  return `${line([preset, 'mean', ...toyCells(summary)])}  exact ${exact} of ${seeds}; cosine ≥ .960 without absorption ${good} of ${seeds}`;
}

function line(cells: readonly string[]): string {
  return cells
    .map((cell, i) =>
      i === 0 ? cell.padEnd(NAME) : cell.padStart(i === 1 ? 4 : (columns[i - 2]?.length ?? 0) + 2),
    )
    .map((cell, i) => (i > 1 ? cell.padStart(9) : cell))
    .join('')
    .trimEnd();
}
