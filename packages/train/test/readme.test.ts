/** The README's table of options is what the schema says. `UPDATE_README=1` writes it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { optionTable } from '@msae/schema';
import { expect, it } from 'vitest';
import { trainerOptionsSchema } from '../src/index.ts';

const path = new URL('../README.md', import.meta.url);

it('the table of options is not stale', () => {
  const readme = readFileSync(path, 'utf8');
  const [open, close] = ['<!-- options -->\n', '<!-- /options -->'];
  const [begin, end] = [readme.indexOf(open) + open.length, readme.indexOf(close)];
  const table = `\n${optionTable(trainerOptionsSchema)}\n\n`;
  if (process.env.UPDATE_README) writeFileSync(path, readme.slice(0, begin) + table + readme.slice(end));
  else expect(readme.slice(begin, end)).toBe(table);
});
