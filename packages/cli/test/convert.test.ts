import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { run } from '../src/run.ts';

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
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => errors.push(String(text)) > 0);
});
afterEach(async () => {
  vi.restoreAllMocks();
  process.exitCode = undefined;
  await rm(root, { recursive: true, force: true });
});

describe('msae inspect', () => {
  it('prints what an SAE is', async () => {
    expect(await run(['inspect', matryoshka])).toBe(0);
    const text = out.join('\n');
    expect(text).toMatch(/^format +dictionary_learning$/m);
    expect(text).toMatch(/^d_model × latents +8 × 24, 416 parameters$/m);
    expect(text).toMatch(/^activation here +batchtopk, k = 3$/m);
    expect(text).toMatch(/^prefixes +4 10 24; weights 0\.5 0\.3 0\.2$/m);
    expect(text).toMatch(/W_enc F32 \[8, 24\]/);
  });

  it('prints JSON, and warns of a normalisation that is not folded', async () => {
    await run(['inspect', `${fixtures}saelens-standard-expected_average_only_in`, '--json']);
    const report = JSON.parse(out.join('')) as { format: string; warnings: string[]; norms: object | null };
    expect(report.format).toBe('saelens');
    expect(report.warnings.join()).toContain('normalisation not folded');
    expect(report.norms).toMatchObject({ decoder: { min: expect.any(Number) } });
    out = [];
    await run(['inspect', matryoshka, '--json', '--no-norms']);
    expect(JSON.parse(out.join(''))).toMatchObject({ norms: null });
  });

  it('says in one line what is wrong, and fails', async () => {
    expect(await run(['inspect', join(root, 'nothing')])).toBe(1);
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatch(/^msae inspect: .*nothing: path: found nothing, expected a file or a folder/);
  });
});

describe('msae convert', () => {
  it('replaces nothing unasked, and never what it reads', async () => {
    const to = join(root, 'out');
    expect(await run(['convert', matryoshka, to, '--to', 'msae'])).toBe(0);
    const before = await readFile(join(to, 'sae.safetensors'));
    expect(await run(['convert', matryoshka, to, '--to', 'saelens'])).toBe(2);
    expect(errors.join('')).toContain(
      'is there already and would be replaced; name another place, or add --force',
    );
    errors = [];
    expect(await run(['convert', to, join(to, '..', 'out'), '--to', 'saelens', '--force'])).toBe(2);
    expect(errors.join('')).toContain('it is what is read');
    expect(await readFile(join(to, 'sae.safetensors'))).toEqual(before);
    expect(await run(['convert', matryoshka, to, '--to', 'saelens', '--force'])).toBe(0);
    out = [];
    await run(['inspect', to, '--json']);
    expect(JSON.parse(out.join(''))).toMatchObject({ format: 'saelens' });
  });

  it('writes another format, which inspect then reads', async () => {
    await run(['convert', matryoshka, join(root, 'out'), '--to', 'saelens', '--dtype', 'float16']);
    expect(errors).toEqual([]);
    expect(out.join()).toMatch(/dictionary_learning MatryoshkaBatchTopKSAE, 8 × 24 \(batchtopk\) → saelens/);
    const cfg = JSON.parse(await readFile(join(root, 'out', 'cfg.json'), 'utf8')) as Record<string, unknown>;
    expect(cfg).toMatchObject({ architecture: 'jumprelu', dtype: 'float16', d_in: 8, d_sae: 24 });
    out = [];
    await run(['inspect', join(root, 'out')]);
    expect(out.join('\n')).toMatch(/^prefixes +4 10 24; weights 0\.5 0\.3 0\.2$/m);
  });

  it('prints JSON', async () => {
    expect(await run(['convert', matryoshka, join(root, 'out'), '--to', 'msae', '--json'])).toBe(0);
    expect(JSON.parse(out.join(''))).toMatchObject({
      from: 'dictionary_learning',
      nLatents: 24,
      to: 'msae',
      dtype: 'F32',
      out: join(root, 'out'),
    });
  });

  it.each([
    [['--to', 'gguf'], 2, /--to: expected one of msae, saelens, sparsify, dictionary_learning; got 'gguf'/],
    [
      ['--to', 'saelens', '--dtype', 'int4'],
      2,
      /--dtype: expected one of float64, float32, float16, bfloat16; got 'int4'/,
    ],
    [['--to', 'saelens', '--input-scale', '-1'], 2, /--input-scale: expected a number > 0, got '-1'/],
    [['--to', 'sparsify'], 1, /sparsify export: activation: found batchtopk, expected topk/],
  ])('refuses %j', async (options, code, pattern) => {
    expect(await run(['convert', matryoshka, join(root, 'out'), ...options])).toBe(code);
    expect(errors.join('\n')).toMatch(pattern);
  });
});
