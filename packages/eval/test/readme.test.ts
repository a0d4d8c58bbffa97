/** The README's option table comes from the schema. `UPDATE_README=1 npx vitest run --project node packages/eval/test/readme` rewrites it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { optionTable } from '@msae/schema';
import { expect, it } from 'vitest';
import { evaluationOptionsSchema } from '../src/index.ts';

const path = new URL('../README.md', import.meta.url);

it('the table of options is not stale', () => {
  const readme = readFileSync(path, 'utf8');
  const [open, close] = ['<!-- evaluation options -->\n', '<!-- /evaluation options -->'];
  const [begin, end] = [readme.indexOf(open) + open.length, readme.indexOf(close)];
  const table = `\n${optionTable(evaluationOptionsSchema)}\n\n`;
  if (process.env.UPDATE_README) writeFileSync(path, readme.slice(0, begin) + table + readme.slice(end));
  else expect(readme.slice(begin, end)).toBe(table);
});
