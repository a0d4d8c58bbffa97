import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createSae, topK } from '@msae/core';
import { encodeNpy } from '@msae/data';
import { saveSae } from '@msae/formats';
import { useNode } from '@msae/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
let root = '';
let sae = '';
let data = '';

function msae(...args: string[]): { code: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', main, ...args], {
    encoding: 'utf8',
  });
  return { code: status, stdout, stderr };
}

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'msae-eval-'));
  await useNode({ backend: 'cpu' });
  const made = createSae({ dModel: 6, nLatents: 32, activation: topK(4), init: 'unit-norm', seed: 0 });
  sae = join(root, 'sae');
  made.prefixes = { lengths: [8, 32], weights: [1, 1] };
  await saveSae(made, sae);
  data = join(root, 'x.npy');
  writeFileSync(
    data,
    encodeNpy(
      Float32Array.from({ length: 3000 }, (_, at) => Math.sin(at * at)),
      [500, 6],
    ),
  );
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe('msae eval and msae report', () => {
  it('measures an SAE at its own prefixes and makes a page of it', () => {
    const out = join(root, 'evaluation.json');
    const metric = join(root, 'largest.mjs');
    writeFileSync(
      metric,
      `export default {
        name: 'largest',
        start: () => ({ value: -Infinity }),
        add: (state, { x }) => { for (const value of x.data) state.value = Math.max(state.value, Math.round(value)); },
        result: ({ value }) => ({ value }),
        table: ({ value }) => [{ label: 'Largest activation', value, help: 'the largest activation, rounded' }],
      };`,
    );
    const measured = msae(
      'eval',
      sae,
      '--data',
      data,
      '--out',
      out,
      '--name',
      'first',
      '--backend',
      'cpu',
      '--metric',
      metric,
      '--json',
    );
    expect(measured.stderr).toBe('');
    const figures = JSON.parse(measured.stdout);
    expect(figures.tokens).toBe(500);
    expect(figures.l0).toBeGreaterThan(3);
    expect(figures.prefixes.map((p: { length: number }) => p.length)).toEqual([8, 32]);
    expect(figures.table.at(-1)).toEqual({ metric: 'largest', label: 'Largest activation', value: 1 });
    const page = join(root, 'page.html');
    const metrics = join(root, 'metrics.jsonl');
    writeFileSync(metrics, '{"type":"metrics","step":1,"fvu":0.5}\n{"type":"done","step":1}\n');
    const made = msae('report', out, out, '--out', page, '--title', 'A & B', '--metrics', metrics, '--json');
    expect(JSON.parse(made.stdout)).toMatchObject({ path: page });
    const html = readFileSync(page, 'utf8');
    expect(html).toContain('<h1>A &amp; B</h1>');
    expect(html).toContain('without token ids');
    expect(html).toContain('Largest activation');
    expect(JSON.parse(readFileSync(out, 'utf8')).evaluation.largest).toEqual({ value: 1 });
    const again = ['eval', sae, '--data', data, '--out', out, '--backend', 'cpu', '--metric', metric];
    const refused = msae(...again);
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining('would be replaced')]);
    const text = msae(...again, '--force');
    expect(text.stdout).toMatch(/Largest activation +1\n/);
  });

  it.each([
    [
      'an SAE of another width',
      () => ['eval', sae, '--data', join(root, 'wide.npy'), '--backend', 'cpu'],
      /6 wide, but the data is 5 wide/,
    ],
    ['no such SAE', () => ['eval', join(root, 'nothing'), '--data', data, '--backend', 'cpu'], /nothing/],
    [
      'prefixes that do not ascend',
      () => ['eval', sae, '--data', data, '--backend', 'cpu', '--prefixes', '8,8'],
      /must increase strictly/,
    ],
    ['a file that is no evaluation', () => ['report', join(root, 'other.json')], /other\.json: kind/],
    [
      'a folder that cannot be made',
      () => ['report', join(root, 'evaluation.json'), '--out', join(root, 'x.npy', 'page.html')],
      /a file, not a folder/,
    ],
  ])('%s: one line, exit code 1 or 2 (options)', (name, args, message) => {
    writeFileSync(join(root, 'wide.npy'), encodeNpy(new Float32Array(50).fill(1), [10, 5]));
    writeFileSync(join(root, 'other.json'), '{"version":1}');
    const { code, stderr } = msae(...args());
    expect(code).toBe(name.startsWith('prefixes') ? 2 : 1);
    expect(stderr).toMatch(message);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });
});
