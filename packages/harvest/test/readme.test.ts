/** The README's tables of options are what their schemas say. `UPDATE_README=1` writes them. */
import { readFileSync, writeFileSync } from 'node:fs';
import { optionTable } from '@msae/schema';
import { expect, it } from 'vitest';
import { harvestToStoresSchema } from '../src/index.ts';

const path = new URL('../README.md', import.meta.url);

it.each([['options', harvestToStoresSchema]] as const)('the table of %s is not stale', (name, schema) => {
  const readme = readFileSync(path, 'utf8');
  const [open, close] = [`<!-- ${name} -->\n`, `<!-- /${name} -->`];
  const [begin, end] = [readme.indexOf(open) + open.length, readme.indexOf(close)];
  const table = `\n${optionTable(schema)}\n\n`;
  if (process.env.UPDATE_README) writeFileSync(path, readme.slice(0, begin) + table + readme.slice(end));
  else expect(readme.slice(begin, end)).toBe(table);
});
