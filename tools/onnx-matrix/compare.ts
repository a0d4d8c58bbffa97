/**
 * Opens every file of the matrix and compares what is tapped and spliced with PyTorch's hooks.
 *
 *     npx tsx tools/onnx-matrix/compare.ts [DIR (build/onnx-matrix/files)] [--json FILE] [--only PATTERN]
 *
 * A row a file: taps found, the largest difference of a tap relative to its largest value, whether the right tap is the nearest, the
 * largest difference of cross-entropy and KL with a tap zeroed or halved, of the unembedding, or why the file is refused. Exits with 1 when a
 * file that is not quantised is off by more than 1e-5, or the nearest tap is another one.
 */
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { examine, isWrong, type Outcome } from './examine.ts';
import { tableOf } from './table.ts';
import { truthOf } from './truth.ts';

const { values: flags, positionals } = parseArgs({
  options: { json: { type: 'string' }, only: { type: 'string', default: '' } },
  allowPositionals: true,
});
const root = positionals[0] ?? 'build/onnx-matrix/files';
const outcomes: Outcome[] = [];
for (const architecture of readdirSync(root).sort()) {
  if (!existsSync(join(root, architecture, 'truth.json'))) continue;
  const truth = truthOf(join(root, architecture));
  for (const kind of readdirSync(join(root, architecture)).sort()) {
    const file = join(root, architecture, kind, 'model.onnx');
    if (!existsSync(file) || !`${architecture}/${kind}`.includes(flags.only)) continue;
    const outcome: Outcome = { architecture, kind, taps: 0 };
    await examine(file, truth, outcome).catch((error: Error) => {
      outcome.refusal ??= error.message;
    });
    outcomes.push(outcome);
    console.log(describe(outcome));
  }
}
if (flags.json) writeFileSync(flags.json, `${JSON.stringify(outcomes, null, 1)}\n`);
console.log(tableOf(outcomes));
const wrong = outcomes.filter(isWrong);
console.log(
  `${outcomes.length} files, ${outcomes.filter((one) => one.refusal).length} refused, ${wrong.length} wrong`,
);
process.exitCode = wrong.length > 0 ? 1 : 0;

function describe(outcome: Outcome): string {
  const { architecture, kind, taps, values, misplaced, splice, refusal, missing, milliseconds } = outcome;
  const figure = (value: number | undefined) => (value === undefined ? '' : value.toExponential(0));
  const head =
    typeof outcome.unembedding === 'number' ? figure(outcome.unembedding) : (outcome.unembedding ?? '');
  const said = [
    refusal && `refused: ${refusal}`,
    misplaced && `MISPLACED ${misplaced}`,
    missing?.length && `MISSING ${missing.join(' ')}`,
    isWrong(outcome) && 'WRONG',
  ].filter(Boolean);
  return `${architecture.padEnd(11)} ${kind.padEnd(15)} ${String(taps).padStart(2)} taps  own ${figure(outcome.own).padEnd(5)} values ${figure(values).padEnd(5)} splice ${figure(splice).padEnd(5)} head ${head.padEnd(5)} ${milliseconds ?? ''} ms ${said.join(' ')}`;
}
