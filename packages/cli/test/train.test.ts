import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createSae } from '@msae/core';
import { encodeNpy, toyTree } from '@msae/data';
import { loadSae } from '@msae/formats';
import { useNode } from '@msae/node';
import { Trainer } from '@msae/train';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseTrainConfig, trainerOptionsOf } from '../src/commands/trainConfig.ts';
import { flagSettings } from '../src/commands/trainFlags.ts';
import { type FlagTexts, mergeSettings } from '../src/options/fromFlags.ts';

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
let root = '';

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'msae-train-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

interface Result {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs `msae train …`; with `interruptOn`, sends SIGINT when stdout first holds that text. */
function train(args: string[], interruptOn?: string): Promise<Result> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', 'tsx', main, 'train', ...args]);
    let [stdout, stderr] = ['', ''];
    let sent = false;
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk;
    });
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk;
      if (interruptOn === undefined || sent || !stdout.includes(interruptOn)) return;
      sent = true;
      child.kill('SIGINT');
    });
    child.on('error', reject);
    child.on('exit', (code) => resolve({ code, stdout, stderr }));
  });
}

const events = (text: string): { type: string; step: number; loss?: number; reason?: string }[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

describe('msae train', () => {
  it('stops at Ctrl-C with a checkpoint, resumes, and ends like a run that was never stopped', async () => {
    const data = join(root, 'toy.npy');
    writeFileSync(data, encodeNpy(toyTree({ seed: 1 }).sample(40_000).x, [40_000, 20]));
    const common = [
      data,
      '--latents',
      '20',
      '--k',
      '2',
      '--batch',
      '50',
      '--lr',
      '0.003',
      '--backend',
      'cpu',
      '--json',
    ];
    const more = ['--report-every', '10', '--checkpoint-every', '250'];
    const [whole, broken] = [join(root, 'whole'), join(root, 'broken')];
    const undisturbed = train([...common, ...more, '--out', whole]);
    const first = await train([...common, ...more, '--out', broken], '"step":50');
    expect(first.stderr).toBe('');
    expect(first.code).toBe(130);
    const stopped = events(first.stdout);
    expect(stopped.at(-1)).toMatchObject({ type: 'done', reason: 'aborted' });
    expect(stopped.at(-2)).toMatchObject({ type: 'checkpoint', final: true });
    expect(existsSync(join(broken, 'sae'))).toBe(false);

    const second = await train(['--out', broken, '--resume', '--json']);
    expect(second.code).toBe(0);
    expect((await undisturbed).code).toBe(0);
    const losses = (directory: string): unknown[] =>
      events(readFileSync(join(directory, 'metrics.jsonl'), 'utf8'))
        .filter((event) => event.type === 'metrics')
        .map(({ step, loss }) => [step, loss]);
    expect(losses(broken)).toHaveLength(80);
    expect(losses(broken)).toEqual(losses(whole));
    const weights = (directory: string): Buffer => readFileSync(join(directory, 'sae', 'sae.safetensors'));
    expect(weights(broken).equals(weights(whole))).toBe(true);
    await useNode({ backend: 'cpu' });
    const loaded = await loadSae(join(broken, 'sae'));
    expect(loaded.config).toMatchObject({
      input: { width: 20 },
      nLatents: 20,
      activation: { kind: 'topk', k: 2 },
    });
    expect(loaded.transform.input).toMatchObject([{ kind: 'scale' }]);
    expect(loaded.record.metadata).toMatchObject({ dataset_path: data });
    loaded.dispose();

    const again = await train([...common, '--out', broken]);
    expect(again.code).toBe(1);
    expect(again.stderr).toContain('holds a run already');
    expect(readdirSync(join(broken, 'checkpoints')).length).toBeLessThanOrEqual(3);
  });

  it('says in one line what is wrong with the data', async () => {
    const { code, stderr, stdout } = await train([
      join(root, 'none.npy'),
      '--latents',
      '8',
      '--out',
      join(root, 'out'),
    ]);
    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(stderr.trim()).toBe(`msae train: ${join(root, 'none.npy')}: there is no such file or directory`);
    expect(existsSync(join(root, 'out'))).toBe(false);
  });

  it('goes over the data again until --steps are done; --epochs ends it before, with a warning', async () => {
    const data = join(root, 'few.npy');
    const rows = 64;
    writeFileSync(data, encodeNpy(toyTree({ seed: 0 }).sample(rows).x, [rows, 20]));
    const run = (out: string, more: string[]) =>
      train([
        data,
        '--latents',
        '16',
        '--k',
        '2',
        '--batch',
        '32',
        '--steps',
        '7',
        '--backend',
        'cpu',
        '--out',
        join(root, out),
        ...more,
      ]);
    const [whole, one] = await Promise.all([run('whole', []), run('one', ['--epochs', '1'])]);
    expect(whole.stderr).toContain('7 steps, 224 rows');
    expect(whole.stderr).not.toContain('warning');
    expect(one.stderr).toContain('the source ended after 2 of 7 steps');
  });
});

describe('the configuration', () => {
  const base = { data: { path: 'x' }, sae: { nLatents: 8 } };

  it('has defaults', () => {
    const config = parseTrainConfig(base, 'run.json');
    expect(config.sae.activation).toEqual({ kind: 'topk', k: 32 });
    expect(config.training.prefixes).toEqual({ kind: 'truncated-pareto', count: 10 });
    expect(config.checkpoints).toEqual({ everySteps: 1000, keep: 3 });
  });

  it.each([
    [{ ...base, sae: { nLatents: 'a' } }, 'run.json: sae.nLatents: expected a whole number ≥ 1, got "a"'],
    [{ ...base, colour: 1 }, 'run.json: there is no option colour'],
    [
      { ...base, training: { learningRate: -1 } },
      'run.json: training.learningRate: expected a number > 0, got -1',
    ],
    [
      { ...base, training: { schedule: { kind: 'zig' } } },
      'training.schedule.kind: expected one of constant, linear, cosine, wsd, got "zig"',
    ],
    [
      { ...base, training: { phases: [{ from: 2 }] } },
      'training.phases.0.from: expected a number ≥ 0 and < 1, got 2',
    ],
    [{ sae: { nLatents: 8 } }, 'run.json: data: is missing'],
    [{ ...base, sae: { nLatents: 2.5 } }, 'run.json: sae.nLatents: expected a whole number ≥ 1, got 2.5'],
    [
      { ...base, backend: 'gpu' },
      'run.json: backend: expected one of auto, cuda, tensorflow, webgpu, wasm, cpu (did you mean cpu?), got "gpu"',
    ],
    [
      { ...base, training: { learningrate: 1 } },
      'there is no option learningrate (did you mean learningRate?)',
    ],
    ['text', 'run.json: expected an object with settings, got "text"'],
  ])('%j is refused in words', (json, message) => {
    expect(() => parseTrainConfig(json, 'run.json')).toThrow(message);
  });

  it('names the flag where the mistake is in a flag', () => {
    const flags: FlagTexts = { out: 'o', latents: '2.5', activation: 'gelu' };
    const settings = { data: { path: 'x' }, ...flagSettings(flags) };
    expect(() =>
      parseTrainConfig(mergeSettings(settings, { data: { path: 'x' } }), undefined, flags),
    ).toThrow(
      /--latents: expected a whole number ≥ 1, got '2.5'\n--activation: expected one of .*abstopk.*, got 'gelu'/,
    );
  });

  it('is overridden by flags; another kind replaces the whole', () => {
    const file = {
      sae: { nLatents: 8, activation: { kind: 'topk', k: 4 } },
      training: { learningRate: 1, prefixes: { kind: 'fixed-widths', lengths: [2, 8] } },
    };
    const flags: FlagTexts = { out: 'o', k: '2', prefixes: 'every', lr: '0.5', seed: '3' };
    expect(mergeSettings(file, flagSettings(flags))).toEqual({
      data: { shuffle: 3 },
      sae: { nLatents: 8, activation: { kind: 'topk', k: 2 }, seed: 3 },
      training: { learningRate: 0.5, prefixes: { kind: 'every-prefix' }, seed: 3 },
    });
    expect(() => flagSettings({ out: 'o', steps: 'many' })).not.toThrow();
    expect(() =>
      parseTrainConfig({ ...base, training: { totalSteps: 'many' } }, undefined, { steps: 'many' }),
    ).toThrow("--steps: expected a whole number ≥ 1, got 'many'");
  });

  it('can be said in flags, all of it', async () => {
    await useNode({ backend: 'cpu' });
    const flags: FlagTexts = {
      latents: '2048',
      prefixes: '256,512,1024,2048',
      schedule: 'cosine',
      'schedule-warmup-steps': '50',
      init: 'unit-norm',
      normalizer: 'off',
      'auxiliary-loss-coefficient': '0.1',
      'auxiliary-loss-k': '16',
      'grad-clip-norm': 'none',
      phases: '[{"from": 0.8, "prefixes": {"kind": "full"}}]',
    };
    const config = parseTrainConfig(
      mergeSettings({ data: { path: 'x' } }, flagSettings(flags)),
      undefined,
      flags,
    );
    expect(config).toMatchObject({
      sae: { nLatents: 2048, init: 'unit-norm' },
      training: {
        prefixes: { kind: 'fixed-widths', lengths: [256, 512, 1024, 2048] },
        schedule: { kind: 'cosine', warmupSteps: 50 },
        normalizer: false,
        auxiliaryLoss: { coefficient: 0.1, k: 16 },
        gradClipNorm: null,
        phases: [{ from: 0.8, prefixes: { kind: 'full' } }],
      },
    });
    expect(
      new Trainer(createSae({ ...config.sae, dModel: 8 }), { ...trainerOptionsOf(config), totalSteps: 2 })
        .step,
    ).toBe(0);
  });
});
