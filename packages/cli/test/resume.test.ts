/** A training that is killed at any moment, by any signal, ends with the bytes of one that was not: every activation, through the command line. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { encodeNpy, toyTree } from '@msae/data';
import { afterAll, beforeAll, describe, it } from 'vitest';

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
let root = '';
let data = '';

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'msae-resume-'));
  data = join(root, 'x.npy');
  const rows = 4096;
  const x = toyTree({ seed: 3 })
    .sample(rows)
    .x.map((value, i) => 5 * value + 0.1 * Math.sin(i * i));
  writeFileSync(data, encodeNpy(x, [rows, 20]));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Runs `msae train`; `killAt`: sends the signal when stdout first holds that text. Resolves with its exit code, null when killed. */
function train(args: string[], kill?: { signal: NodeJS.Signals; at: string }): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', 'tsx', main, 'train', ...args, '--json']);
    let [out, errors, sent] = ['', '', false];
    child.stderr.on('data', (chunk: Buffer) => {
      errors += chunk;
    });
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk;
      if (kill === undefined || sent || !out.includes(kill.at)) return;
      sent = true;
      child.kill(kill.signal);
    });
    child.on('error', reject);
    child.on('exit', (code) => (code === 1 || code === 2 ? reject(new Error(errors)) : resolve(code)));
  });
}

const common = [
  '--latents',
  '64',
  '--batch',
  '128',
  '--steps',
  '300',
  '--report-every',
  '20',
  '--backend',
  'cpu',
];
const every = ['--checkpoint-every', '40', '--lr', '0.003'];
const cases: [string, string[], NodeJS.Signals][] = [
  ['batchtopk', ['--activation', 'batchtopk', '--k', '4'], 'SIGKILL'],
  [
    'batchtopk-all',
    [
      ...[
        '--activation',
        'batchtopk',
        '--k',
        '4',
        '--prefixes',
        '8,32,64',
        '--k-annealing-from',
        '12',
        '--k-annealing-to',
        '4',
      ],
      ...[
        '--k-annealing-steps',
        '100',
        '--auxiliary-loss',
        'on',
        '--dead-latents-after-tokens',
        '2000',
        '--resampling-every',
        '50',
      ],
      ...['--weight-average-decay', '0.9', '--decoder-bias-init-rows', '64', '--unit-norm-decoder'],
    ],
    'SIGINT',
  ],
  [
    'abstopk',
    ['--activation', 'abstopk', '--k', '4', '--permutation', 'on', '--permutation-every', '10'],
    'SIGKILL',
  ],
  [
    'jumprelu',
    ['--activation', 'jumprelu', '--l0-penalty-coefficient', '0.1', '--l0-penalty-target', '4'],
    'SIGTERM',
  ],
  [
    'relu',
    [
      ...[
        '--activation',
        'relu',
        '--penalty',
        'l1',
        '--target-l0',
        '3',
        '--prefixes',
        'every',
        '--normalizer-decay',
        '0.9',
      ],
      ...['--phases', '[{"from":0.5,"decoderPrefixes":"full","penaltyCoefficient":0}]'],
    ],
    'SIGKILL',
  ],
];

describe.concurrent('msae train, stopped at a random moment and resumed', () => {
  it.for(cases)('ends with the same bytes: %s', async ([name, flags, signal], { expect }) => {
    const [whole, broken] = [join(root, `${name}-whole`), join(root, `${name}-broken`)];
    expect(await train([data, ...common, ...every, ...flags, '--out', whole])).toBe(0);
    const stopped = await train([data, ...common, ...every, ...flags, '--out', broken], {
      signal,
      at: '"step":60',
    });
    expect(stopped).not.toBe(0);
    // stopped once more, somewhere else
    await train(['--out', broken, '--resume'], { signal: 'SIGKILL', at: '"step":120' });
    expect(await train(['--out', broken, '--resume'])).toBe(0);
    const bytes = (run: string, file: string): string =>
      readFileSync(join(run, 'sae', file)).toString('base64');
    expect(bytes(broken, 'sae.safetensors')).toBe(bytes(whole, 'sae.safetensors'));
    const json = (run: string): object =>
      JSON.parse(readFileSync(join(run, 'sae', 'msae.json'), 'utf8')) as object;
    expect(json(broken)).toEqual(json(whole));
  });
});
