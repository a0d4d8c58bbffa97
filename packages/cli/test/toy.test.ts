import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ToyResult } from '@msae/lab';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { msae } from './msae.ts';

describe('msae toy', () => {
  let out = '';
  beforeEach(() => {
    out = mkdtempSync(join(tmpdir(), 'msae-toy-'));
  });
  afterEach(() => rmSync(out, { recursive: true, force: true }));

  it('trains, measures and draws; the recovering recipe does better than vanilla', async () => {
    const { code, out: text } = await msae([
      ...['toy', '--preset', 'vanilla,best', '--seeds', '1..1', '--steps', '1500', '--out', out, '--json'],
    ]);
    expect(code).toBe(0);
    const { summaries, results } = JSON.parse(text) as {
      summaries: { preset: string; scores: { cosine: { mean: number }; absorption: number } }[];
      results: ToyResult[];
    };
    expect(results.map((r) => [r.preset, r.seed, r.steps])).toEqual([
      ['vanilla', 1, 1500],
      ['best', 1, 1500],
    ]);
    expect(summaries[0]?.scores.absorption).toBeGreaterThan(0.3);
    expect(summaries[1]?.scores.cosine.mean).toBeGreaterThan(0.99);
    expect(readdirSync(out).sort()).toEqual(
      ['best-1.png', 'best-1.svg', 'index.html', 'results.json', 'vanilla-1.png', 'vanilla-1.svg'].sort(),
    );
    expect(JSON.parse(readFileSync(join(out, 'results.json'), 'utf8'))).toEqual(JSON.parse(text));
    const page = readFileSync(join(out, 'index.html'), 'utf8');
    expect(page.match(/data:image\/png;base64,/g)).toHaveLength(2);
    expect(page).not.toMatch(/src="(?!data:)|href=/);
  });

  it.each([
    [['--preset', 'besst'], '--preset: expected one of vanilla, reference'],
    [['--seeds', '5..1'], '--seeds: expected a..b'],
    [['--seeds', 'x'], '--seeds: expected a whole number of at least 0'],
    [['--steps', '0'], '--steps: expected a whole number of at least 1'],
  ])('%j is an error', async (args, message) => {
    const { code, err } = await msae(['toy', ...args]);
    expect(code).toBe(2);
    expect(err).toContain(message);
  });
});
