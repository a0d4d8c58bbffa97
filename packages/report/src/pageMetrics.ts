/** The table that sets runs side by side: the rows of every run's metrics, and what was measured in the model itself. */
import type { PageMetric } from './pageData.ts';
import type { MetricRowInput, ReportRun } from './reportInput.ts';

/** Metrics of all runs. Those that no run has are left out; a value that is not finite counts as not measured. */
export function pageMetrics(runs: readonly ReportRun[]): PageMetric[] {
  const tables = runs.map(rowsOf);
  const rows = new Map(merged(tables).map((row) => [keyOf(row), row]));
  return [...rows]
    .map(([key, { label, help, better, percent }]) => ({
      label,
      help,
      ...(better && { better }),
      ...(percent && { percent }),
      values: tables.map((table) => finite(table.find((row) => keyOf(row) === key)?.value)),
    }))
    .filter((metric) => metric.values.some((value) => value !== null));
}

/** The rows of a run; what was measured in the model stands behind the first metric. */
function rowsOf(run: ReportRun): MetricRowInput[] {
  const { table } = run.evaluation;
  const first = table.filter(({ metric }) => metric === table[0]?.metric);
  return [...first, ...recoveredRows(run), ...table.filter((row) => !first.includes(row))];
}

/** Rows of one metric are told apart by their labels. */
function keyOf({ metric, label }: MetricRowInput): string {
  return `${metric}\n${label}`;
}

/** Every row once, in the order of the tables: one that only a later run has comes after the row it follows there. */
function merged(tables: readonly (readonly MetricRowInput[])[]): MetricRowInput[] {
  const all: MetricRowInput[] = [];
  const keys: string[] = [];
  for (const table of tables) {
    let after = -1;
    for (const row of table) {
      const key = keyOf(row);
      const at = keys.indexOf(key);
      if (at < 0) {
        after += 1;
        all.splice(after, 0, row);
        keys.splice(after, 0, key);
      } else after = at;
    }
  }
  return all;
}

function recoveredRows({ recovered }: ReportRun): MetricRowInput[] {
  if (recovered === undefined) return [];
  const row = (
    label: string,
    value: number | null | undefined,
    help: string,
    better?: 'lower' | 'higher',
  ): MetricRowInput => ({
    metric: 'recovered',
    label,
    value: value ?? null,
    help,
    ...(better && { better }),
  });
  return [
    row(
      'CE recovered',
      recovered.ceRecovered,
      "Share of the language model's cross-entropy that survives the reconstruction; 0 = zero ablation, 1 = unharmed",
      'higher',
    ),
    row(
      'KL recovered',
      recovered.klRecovered,
      '1 − KL(clean ‖ reconstructed) / KL(clean ‖ ablated)',
      'higher',
    ),
    row('CE, clean', recovered.ceClean, 'Cross-entropy of the model itself, nats a token'),
    row(
      'CE, reconstructed',
      recovered.ceReconstructed,
      'Cross-entropy with the reconstruction in place of the activations, nats a token',
      'lower',
    ),
  ];
}

/** A number, or null for whatever is none. */
export function finite(value: number | null | undefined): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}
