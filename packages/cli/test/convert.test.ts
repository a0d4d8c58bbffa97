import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCommand } from 'citty';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import convert from '../src/commands/convert.ts';
import inspect from '../src/commands/inspect.ts';

const fixtures = fileURLToPath(new URL('../../formats/test/fixtures/peers/cases/', import.meta.url));
const matryoshka = `${fixtures}dictionary_learning-MatryoshkaBatchTopKSAE`;

let root = '';
let out: string[] = [];
let errors: string[] = [];
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'msae-convert-'));
  out = [];
  errors = [];
  vi.spyOn(console, 'log').mockImplementation((text: string) => void out.push(text));
  vi.spyOn(console, 'error').mockImplementation((text: string) => void errors.push(text));
});
afterEach(async () => {
  vi.restoreAllMocks();
  process.exitCode = 0;
  await rm(root, { recursive: true, force: true });
});

const run = (command: typeof convert, ...rawArgs: string[]) => runCommand(command, { rawArgs });

describe('msae inspect', () => {
  it('prints what an SAE is', async () => {
    await run(inspect, matryoshka);
    const text = out.join('\n');
    expect(text).toMatch(/^format +dictionary_learning$/m);
    expect(text).toMatch(/^d_model × latents +8 × 24, 416 parameters$/m);
    expect(text).toMatch(/^activation here +batchtopk, k = 3$/m);
    expect(text).toMatch(/^prefixes +4 10 24; weights 0\.5 0\.3 0\.2$/m);
    expect(text).toMatch(/W_enc F32 \[8, 24\]/);
    expect(process.exitCode ?? 0).toBe(0);
  });

  it('prints JSON, and warns of a normalisation that is not folded', async () => {
    await run(inspect, `${fixtures}saelens-standard-expected_average_only_in`, '--json');
    const report = JSON.parse(out.join('')) as { format: string; warnings: string[]; norms: object | null };
    expect(report.format).toBe('saelens');
    expect(report.warnings.join()).toContain('normalisation not folded');
    expect(report.norms).toMatchObject({ decoder: { min: expect.any(Number) } });
    out = [];
    await run(inspect, matryoshka, '--json', '--no-norms');
    expect(JSON.parse(out.join(''))).toMatchObject({ norms: null });
  });

  it('says in one line what is wrong, and fails', async () => {
    await run(inspect, join(root, 'nothing'));
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatch(/nothing: path: found nothing, expected a file or a folder/);
    expect(process.exitCode).toBe(1);
  });
});

describe('msae convert', () => {
  it('writes another format, which inspect then reads', async () => {
    await run(convert, matryoshka, join(root, 'out'), '--to', 'saelens', '--dtype', 'float16');
    expect(errors).toEqual([]);
    expect(out.join()).toMatch(/dictionary_learning MatryoshkaBatchTopKSAE, 8 × 24 \(batchtopk\) → saelens/);
    const cfg = JSON.parse(await readFile(join(root, 'out', 'cfg.json'), 'utf8')) as Record<string, unknown>;
    expect(cfg).toMatchObject({ architecture: 'jumprelu', dtype: 'float16', d_in: 8, d_sae: 24 });
    out = [];
    await run(inspect, join(root, 'out'));
    expect(out.join('\n')).toMatch(/^prefixes +4 10 24; weights 0\.5 0\.3 0\.2$/m);
  });

  it.each([
    [['--to', 'gguf'], /--to gguf: expected one of msae, saelens, sparsify, dictionary_learning/],
    [['--to', 'saelens', '--dtype', 'int4'], /--dtype int4: expected one of float64, float32/],
    [['--to', 'saelens', '--input-scale', '-1'], /--input-scale -1: expected a number > 0/],
    [['--to', 'sparsify'], /sparsify export: activation: found batchtopk, expected topk/],
  ])('refuses %j', async (options, pattern) => {
    await run(convert, matryoshka, join(root, 'out'), ...options);
    expect(errors.join('\n')).toMatch(pattern);
    expect(process.exitCode).toBe(1);
  });
});
