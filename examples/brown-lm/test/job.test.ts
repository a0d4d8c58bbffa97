import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isMsaeError } from '@msae/schema';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HELP, parseOptions } from '../src/options.ts';

describe('options of the main job', () => {
  it('have defaults and are checked', () => {
    expect(parseOptions([])).toMatchObject({
      steps: 4000,
      activation: 'batchtopk',
      prefixes: 'fixed',
      backend: 'wasm',
    });
    expect(parseOptions(['--', '--steps', '10', '--activation=log'])).toMatchObject({
      steps: 10,
      activation: 'log',
    });
    expect(parseOptions(['--help'])).toBe('help');
    expect(HELP).toMatch(/--steps +training steps .*default 4000/);
    expect(HELP).toMatch(/--held-out +held-out tokens/);
  });

  it.each([
    [['--stesp', '4'], /there is no option --stesp \(did you mean --steps\?\)/],
    [['--steps', 'many'], /--steps: expected a whole number/],
    [['--activation', 'gelu'], /--activation: expected one of batchtopk, topk, log, got "gelu"/],
    [['stray'], /--help lists all/],
  ])('%j is a mistake', (argv, message) => {
    expect(() => parseOptions(argv)).toThrow(message);
    let error: unknown;
    try {
      parseOptions(argv);
    } catch (thrown) {
      error = thrown;
    }
    expect(isMsaeError(error, 'option')).toBe(true);
  });
});

describe('the main job, very small', () => {
  const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
  let out = '';
  beforeAll(() => {
    out = mkdtempSync(join(tmpdir(), 'brown-lm-'));
  });
  afterAll(() => rmSync(out, { recursive: true, force: true }));
  const job = (...args: string[]) =>
    spawnSync(process.execPath, ['--import', 'tsx', main, ...args], { encoding: 'utf8', timeout: 150_000 });

  it('harvests, trains, measures, writes a report, and finds it all there the second time', () => {
    const args = [
      '--steps',
      '3',
      '--tokens',
      '2000',
      '--held-out',
      '1500',
      '--threads',
      '1',
      '--out',
      out,
      '--json',
    ];
    const first = job(...args);
    expect(first.status, first.stderr).toBe(0);
    const { report, table } = JSON.parse(first.stdout);
    expect(table.rows[0]).toHaveLength(3);
    const html = readFileSync(report, 'utf8');
    expect(html.includes('Matryoshka SAE on layer 2')).toBe(true);
    expect(html.includes('"contexts":null')).toBe(false);
    const second = job(...args);
    expect(second.status, second.stderr).toBe(0);
    expect(second.stderr).toContain('already trained');
    expect(JSON.parse(second.stdout).table.rows[0]).toEqual(table.rows[0]);
  }, 300_000);

  it('a wrong option ends with exit code 2 and one line', () => {
    const { status, stderr } = job('--stesp', '3');
    expect(status).toBe(2);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  }, 60_000);
});
