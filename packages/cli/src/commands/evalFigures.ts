/** What `msae eval` prints: the rows of every metric's table, a user's own among them. */
import type { EvaluationRow, SaeEvaluation } from '@msae/eval';
import type { RecoveredInput } from '@msae/report';

export interface EvalFigures {
  readonly evaluation: SaeEvaluation;
  readonly recovered: RecoveredInput | undefined;
  /** The file that was written. */
  readonly out: string;
}

/** To stdout, as one JSON object or as lines. */
export function printEvaluation(figures: EvalFigures, json: boolean): void {
  process.stdout.write(json ? `${JSON.stringify(asJson(figures))}\n` : asText(figures));
}

function asJson({ evaluation, recovered, out }: EvalFigures): object {
  const { tokens, table, prefixes, reconstruction, sparsity } = evaluation;
  return {
    tokens,
    fvu: reconstruction.fvu,
    l0: sparsity.l0,
    deadFraction: sparsity.deadFraction,
    ceRecovered: recovered?.ceRecovered ?? null,
    table: table.map(({ metric, label, value }) => ({ metric, label, value })),
    prefixes: prefixes.map(({ length, fvu, l0 }) => ({ length, fvu, l0 })),
    out,
  };
}

function asText({ evaluation, recovered, out }: EvalFigures): string {
  const { table, prefixes, tokens } = evaluation;
  const rows: [string, string][] = table.flatMap((row) =>
    row.value === null ? [] : [[row.label, shown(row)] as [string, string]],
  );
  if (recovered && recovered.ceRecovered !== null) {
    rows.push(['CE recovered', recovered.ceRecovered.toFixed(4)]);
  }
  const width = Math.max(...rows.map(([label]) => label.length));
  return [
    `${tokens} rows`,
    ...rows.map(([label, value]) => `${label.padEnd(width)}  ${value}`),
    ...prefixes.map(
      (p) =>
        `  first ${String(p.length).padStart(6)} latents: FVU ${p.fvu.toFixed(4)}, L0 ${p.l0.toFixed(2)}`,
    ),
    `${out} (msae report ${out} shows it)`,
    '',
  ].join('\n');
}

function shown({ value, percent }: EvaluationRow): string {
  if (percent) return `${(100 * value!).toFixed(1)} %`;
  return Number.isInteger(value) ? String(value) : String(Number(value!.toPrecision(4)));
}
