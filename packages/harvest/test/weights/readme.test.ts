import { readFileSync } from 'node:fs';
import { optionTable } from '@msae/schema';
import { expect, it } from 'vitest';
import { openWeightsSchema } from '../../src/index.ts';

it('the README shows the options of openWeights as its schema has them', () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const [, shown] = /<!-- weights -->\n([\s\S]*?)<!-- \/weights -->/.exec(readme) ?? [];
  expect(shown?.trim()).toBe(optionTable(openWeightsSchema));
});
