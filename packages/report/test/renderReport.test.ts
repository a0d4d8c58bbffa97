import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { bundleClient } from '../scripts/bundleClient.ts';
import { visible } from '../src/client/format.ts';
import { matching } from '../src/client/latentOrder.ts';
import { runModel } from '../src/client/runModel.ts';
import { type ReportInput, type ReportRun, renderReport } from '../src/index.ts';
import { pack, unpack } from '../src/pack.ts';
import type { PageData } from '../src/pageData.ts';
import { scriptJson } from '../src/renderReport.ts';
import { syntheticReport, syntheticRun } from './syntheticRun.ts';

const shownValue = (run: ReportRun, label: string) =>
  run.evaluation.table.find((row) => row.label === label)?.value;

const dataOf = (html: string): PageData =>
  JSON.parse(/<script type="application\/json" id="data">(.*?)<\/script>/s.exec(html)![1]!) as PageData;

describe('the bundled client', () => {
  it('is current: run `npx tsx packages/report/scripts/bundle-client.ts` when this fails', async () => {
    const committed = await readFile(new URL('../src/generated/client.ts', import.meta.url), 'utf8');
    expect(committed === (await bundleClient())).toBe(true);
  });
});

describe('renderReport', () => {
  let input: ReportInput;
  let run: ReportRun;
  beforeAll(async () => {
    input = await syntheticReport(64);
    run = input.runs[0]!;
  });

  it('keeps what it is given: contexts, forest, labels and logits come back out of the page', () => {
    const data = dataOf(renderReport(input));
    const model = runModel(data, 0);
    const { evaluation } = run;
    for (const latent of [0, 7, 40]) {
      const contexts = evaluation.contexts![latent]!;
      const windows = model.windows(latent);
      expect(windows.map((w) => w.focus)).toEqual(contexts.map((c) => c.focus));
      windows.forEach((window, k) => {
        const context = contexts[k]!;
        expect(window.tokens).toEqual(Array.from(context.tokens, (id) => visible(input.vocabulary![id]!)));
        window.shades.forEach((shade, t) => {
          expect(shade / 255).toBeCloseTo(context.activations[t]! / contexts[0]!.activation, 1);
        });
      });
      expect(model.hierarchy?.parent[latent]).toBe(evaluation.forest?.parent[latent]);
      expect(model.labels(latent)[0]?.share).toBeCloseTo(evaluation.labels!.profiles[latent]![0]!.share, 6);
      expect(model.logits(latent)?.promoted[0]?.[1]).toBeCloseTo(
        run.logitEffects![latent]!.promoted[0]!.effect,
        6,
      );
      expect(Array.from(model.histogram(latent)!.counts)).toEqual(
        Array.from(evaluation.histograms![latent]!.counts),
      );
    }
    expect(data.metrics.find((m) => m.label === 'FVU')?.values).toEqual(
      input.runs.map((r) => shownValue(r, 'FVU')),
    );
    expect(shownValue(run, 'FVU')).toBeGreaterThan(0);
  });

  it('finds latents by number, word and label', () => {
    const model = runModel(dataOf(renderReport(input)), 0);
    expect(Array.from(matching(model, '#12'))).toEqual([12]);
    const word = model.topTokens(9, 1)[0]!;
    expect(Array.from(matching(model, word.toUpperCase()))).toContain(9);
    expect(matching(model, 'no such word anywhere')).toHaveLength(0);
    expect(matching(model, '')).toHaveLength(64);
  });

  it('reads evaluations that went through JSON, with null where a metric was not finite', () => {
    const text = JSON.stringify(run, (_key, value: unknown) =>
      ArrayBuffer.isView(value) ? Array.from(value as unknown as ArrayLike<number>) : value,
    );
    const parsed = JSON.parse(text) as ReportRun;
    const broken: Record<string, number | null> = { FVU: null, Cosine: Number.NaN };
    const table = parsed.evaluation.table.map((row) =>
      row.label in broken ? { ...row, value: broken[row.label]! } : row,
    );
    const data = dataOf(
      renderReport({ ...input, runs: [{ ...parsed, evaluation: { ...parsed.evaluation, table } }] }),
    );
    expect(data.metrics.some((m) => m.label === 'FVU' || m.label === 'Cosine')).toBe(false);
    expect(data.metrics.some((m) => m.label === 'L0')).toBe(true);
  });

  it('says what is missing and leaves it out', async () => {
    const bare = await syntheticRun({ name: 'Bare', nLatents: 32, tokens: 1000, withTokens: false });
    const { recovered: _recovered, logitEffects: _logits, curves: _curves, ...rest } = bare;
    const data = dataOf(renderReport({ title: 'Bare', runs: [rest] }));
    expect(data.notes.join(' ')).toMatch(/without token ids/);
    expect(data.notes.join(' ')).toMatch(/cross-entropy recovered was not measured/);
    expect(data.runs[0]).toMatchObject({ contexts: null, logits: null, curves: [] });
  });

  it("shows a user's own metric beside the others, also where only one run has it", () => {
    const [first, second] = input.runs as [ReportRun, ReportRun];
    const data = dataOf(renderReport(input));
    expect(data.metrics.map(({ label }) => label).slice(0, 8)).toEqual([
      'FVU',
      'FVU, mean of rows',
      'Cosine',
      'Norm ratio',
      'CE recovered',
      'CE, clean',
      'CE, reconstructed',
      'L0',
    ]);
    expect(data.metrics.at(-1)).toEqual({
      label: 'Mean token',
      better: 'higher',
      help: 'A metric of the test’s own',
      values: [shownValue(first, 'Mean token'), shownValue(second, 'Mean token')],
    });
    expect(data.metrics.find(({ label }) => label === 'Dead latents')).toMatchObject({
      percent: true,
      better: 'lower',
    });
    const table = first.evaluation.table.filter(({ metric }) => metric !== 'meanToken');
    const one = dataOf(
      renderReport({ ...input, runs: [{ ...first, evaluation: { ...first.evaluation, table } }, second] }),
    );
    expect(one.metrics.map(({ label }) => label)).toEqual(data.metrics.map(({ label }) => label));
    expect(one.metrics.at(-1)?.values).toEqual([null, shownValue(second, 'Mean token')]);
  });

  it('shows activations below 0 as such, with their magnitudes', async () => {
    const signed = await syntheticRun({ name: 'Signed', nLatents: 32, tokens: 2000, signed: true });
    const model = runModel(dataOf(renderReport({ ...input, runs: [signed] })), 0);
    for (const latent of [0, 1, 3]) {
      const contexts = signed.evaluation.contexts![latent]!;
      expect(contexts.length).toBeGreaterThan(0);
      model.windows(latent).forEach(({ shades, negative }, k) => {
        const { activations } = contexts[k]!;
        expect(Array.from(negative!)).toEqual(Array.from(activations, (a) => (a < 0 ? 1 : 0)));
        shades.forEach((shade, t) => {
          expect(shade / 255).toBeCloseTo(Math.abs(activations[t]! / contexts[0]!.activation), 1);
        });
      });
    }
    expect(runModel(dataOf(renderReport(input)), 0).windows(7)[0]!.negative).toBeUndefined();
  });

  it('refuses no runs and parts of different sizes', () => {
    expect(() => renderReport({ title: 'x', runs: [] })).toThrow(/at least one evaluated SAE/);
    expect(() =>
      renderReport({ ...input, runs: [{ ...run, logitEffects: run.logitEffects!.slice(1) }] }),
    ).toThrow(/run "Matryoshka": logitEffects has 63 entries, but the SAE has 64 latents/);
    const { contexts } = run.evaluation;
    expect(() =>
      renderReport({
        ...input,
        runs: [{ ...run, evaluation: { ...run.evaluation, contexts: contexts!.slice(2) } }],
      }),
    ).toThrow(/evaluation\.contexts has 62 entries/);
    const { sparsity: _sparsity, ...without } = run.evaluation;
    expect(() =>
      renderReport({ ...input, runs: [{ ...run, evaluation: without as typeof run.evaluation }] }),
    ).toThrow(/run "Matryoshka": the evaluation has no sparsity; evaluate with standardMetrics/);
  });
});

describe('hostile text', () => {
  it('cannot leave the script element, whatever it is', () => {
    const nasty = fc.string({ unit: 'binary' }).map((s) => `</script><!--${s}\u2028\ud800`);
    fc.assert(
      fc.property(nasty, (text) => {
        const json = scriptJson([text]);
        expect(json).not.toContain('<');
        expect(JSON.parse(json)).toEqual([text]);
      }),
    );
  });

  it('titles and names are escaped', async () => {
    const html = renderReport({ ...(await syntheticReport(16)), title: '<b>"x"</b>', subtitle: '<i>' });
    expect(html).toContain('<h1>&lt;b&gt;&quot;x&quot;&lt;/b&gt;</h1>');
    expect(html).not.toContain('<i>');
  });

  it('what cannot be seen is made visible', () => {
    expect(visible('')).toBe('∅');
    expect(visible('a\r\nb\tc\u0000\u007f\u200d\u202e')).toBe('a⏎b⇥c␀···');
    expect(visible('\ud83d\ude00 \ud83d')).toBe('\ud83d\ude00 \ufffd');
  });
});

it('pack and unpack are inverse for every kind and length', () => {
  for (const array of [
    Uint8Array.from({ length: 100_001 }, (_, k) => k),
    Uint16Array.from([1, 65535]),
    Uint32Array.from([2 ** 32 - 1]),
    Int32Array.from([-1, 5]),
    Float32Array.from([0.5, -1e30]),
    new Uint8Array(),
  ]) {
    expect(unpack(pack(array))).toEqual(array);
  }
});
