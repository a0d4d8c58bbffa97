/** The README's table of options is what the schema says. `UPDATE_README=1` writes it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { saveSaeSchema } from '@msae/formats';
import { optionTable } from '@msae/schema';
import { expect, it } from 'vitest';

const path = new URL('../README.md', import.meta.url);

it('the table of options is not stale', () => {
  const readme = readFileSync(path, 'utf8');
  const [open, close] = ['<!-- save options -->\n', '<!-- /save options -->'];
  const [begin, end] = [readme.indexOf(open) + open.length, readme.indexOf(close)];
  const table = `\n${optionTable(saveSaeSchema)}\n\n`;
  if (process.env.UPDATE_README) writeFileSync(path, readme.slice(0, begin) + table + readme.slice(end));
  else expect(readme.slice(begin, end)).toBe(table);
});
