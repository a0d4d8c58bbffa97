/** The matrix as a table for a README: a row a kind of file. */
import { isWrong, type Outcome } from './examine.ts';

export function tableOf(outcomes: readonly Outcome[]): string {
  const kinds = [...new Set(outcomes.map(({ kind }) => kind))].sort();
  const rows = kinds.map((kind) => {
    const files = outcomes.filter((one) => one.kind === kind);
    const opened = files.filter(({ refusal }) => refusal === undefined);
    const worst = (pick: (one: Outcome) => number | string | undefined): string => {
      const numbers = opened.map(pick).filter((value): value is number => typeof value === 'number');
      return numbers.length === 0 ? '' : Math.max(...numbers).toExponential(0);
    };
    const count = (matches: (one: Outcome) => boolean) => files.filter(matches).length;
    const refused = count(({ refusal }) => refusal !== undefined);
    return [
      kind,
      `${files.length}`,
      `${files.length - refused - count(isWrong)}`,
      `${refused}`,
      `${count(isWrong)}`,
      worst(({ own }) => own),
      worst(({ values }) => values),
      worst(({ splice }) => splice),
      worst(({ identity }) => identity),
      worst(({ unembedding }) => unembedding),
    ];
  });
  const head = [
    'file',
    'files',
    'right',
    'refused',
    'wrong',
    'output of the file itself',
    'taps',
    'splice',
    'splice of itself',
    'unembedding',
  ];
  return [head, head.map((_, i) => (i === 0 ? '---' : '---:')), ...rows]
    .map((row) => `| ${row.join(' | ')} |`)
    .join('\n');
}
