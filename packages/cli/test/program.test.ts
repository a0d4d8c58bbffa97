import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeNpy, toyTree } from '@msae/data';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commands } from '../src/commands/index.ts';
import { msae } from './msae.ts';

let root = '';
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'msae-program-'));
  writeFileSync(join(root, 'toy.npy'), encodeNpy(toyTree({ seed: 1 }).sample(4_000).x, [4_000, 20]));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const at = (name: string): string => join(root, name);
const version = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version;

describe('the program', () => {
  it('has help and a version; no colours where there is no terminal', async () => {
    const [help, ofTrain, ofVersion] = await Promise.all([
      msae(['--help'], { env: { FORCE_COLOR: '1' } }),
      msae(['train', '--help']),
      msae(['--version']),
    ]);
    expect([help.code, help.err]).toEqual([0, '']);
    for (const name of Object.keys(commands)) expect(help.out).toMatch(new RegExp(`^  ${name} +\\w`, 'm'));
    expect(help.out).not.toContain('\u001b');
    expect(ofTrain.out).toContain('Usage: msae train [data] --out <dir> [options]');
    expect(ofTrain.out).toContain('Examples\n  msae train ');
    expect([ofVersion.out, ofVersion.code]).toEqual([`${version}\n`, 0]);
  });

  it('answers a wrong call in one line, with exit code 2', async () => {
    const wrong: [string[], string][] = [
      [['harvset'], 'msae: there is no command harvset (did you mean harvest?); see msae --help'],
      [['bench', 'stp'], 'msae bench: there is no command stp (did you mean step?); see msae bench --help'],
      [
        ['train', 'x', '--latent', '8', '--out', 'y'],
        'msae train: there is no option --latent (did you mean --latents?); see msae train --help',
      ],
      [
        ['report'],
        'msae report: <evaluation> is missing: files of msae eval; several are set side by side; see msae report --help',
      ],
      [
        ['doctor', '--timeout', 'soon'],
        "msae doctor: --timeout: expected a whole number of at least 1, got 'soon'; see msae doctor --help",
      ],
    ];
    const runs = await Promise.all(wrong.map(([words]) => msae(words)));
    expect(runs).toEqual(wrong.map(([, line]) => ({ code: 2, out: '', err: `${line}\n` })));
  });

  it('fails in one line, with exit code 1; MSAE_DEBUG shows where', async () => {
    const words = ['report', at('none.json'), '--json'];
    const [plain, debug] = await Promise.all([msae(words), msae(words, { env: { MSAE_DEBUG: '1' } })]);
    const line = `msae report: ${at('none.json')}: there is no such file\n`;
    expect(plain).toEqual({ code: 1, out: '', err: line });
    expect(debug.code).toBe(1);
    expect(debug.err.startsWith(line)).toBe(true);
    expect(debug.err).toMatch(/\n +at .*evaluationFile/);
  });

  it('ends at once at Ctrl-C where there is nothing to save', async () => {
    const { code, out, err } = await msae(['bench', 'step', '--backend', 'cpu', '--steps', '1000000'], {
      watch: (child) => setTimeout(() => child.kill('SIGINT'), 4000).unref(),
    });
    expect({ code, out, err }).toEqual({ code: 130, out: '', err: '' });
  });
});

describe('a run from data to report', () => {
  it('prints JSON and nothing else under --json', async () => {
    const settings = { data: { path: at('toy.npy') }, sae: { nLatents: 20 }, training: { batchSize: 100 } };
    writeFileSync(at('run.json'), JSON.stringify(settings));
    const cpu = ['--backend', 'cpu', '--json'];
    const train = await msae(['train', '--config', at('run.json'), '--k', '2', '--out', at('run'), ...cpu]);
    expect([train.code, train.err]).toEqual([0, '']);
    const events = train.out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string });
    expect(events.at(-1)).toMatchObject({ type: 'done' });

    writeFileSync(at('eval.json'), JSON.stringify({ data: at('toy.npy'), rows: 1000, prefixes: [5, 20] }));
    const files = ['--config', at('eval.json'), '--out', at('evaluation.json')];
    const evaluated = await msae(['eval', at('run/sae'), ...files, ...cpu]);
    expect([evaluated.code, evaluated.err]).toEqual([0, '']);
    expect(JSON.parse(evaluated.out)).toMatchObject({
      tokens: 1000,
      prefixes: [{ length: 5 }, { length: 20 }],
    });

    const report = await msae(['report', at('evaluation.json'), '--out', at('report.html'), '--json']);
    expect([report.code, report.err]).toEqual([0, '']);
    expect(JSON.parse(report.out)).toMatchObject({ path: at('report.html') });
    expect(existsSync(at('report.html'))).toBe(true);
  });

  it('stops quietly when the reader of its output goes away', async () => {
    const { code, err } = await msae(
      ['train', at('toy.npy'), '--latents', '20', '--k', '2', '--batch', '20', '--epochs', '1000'].concat([
        '--out',
        at('piped'),
        '--report-every',
        '1',
        '--backend',
        'cpu',
        '--json',
      ]),
      { watch: (child, out) => void (out.includes('\n') && child.stdout?.destroy()) },
    );
    expect([code, err]).toEqual([130, '']);
    expect(existsSync(at('piped/checkpoints'))).toBe(true);
  });

  it('names the setting that a config file has wrong', async () => {
    writeFileSync(at('wrong.json'), '{"data": {"path": "x"}, "sae": {"nLatents": 8, "activatoin": {}}}');
    expect(await msae(['train', '--config', at('wrong.json'), '--out', at('wrong')])).toEqual({
      code: 2,
      out: '',
      err: `msae train: ${at('wrong.json')}: sae: there is no option activatoin (did you mean activation?); there are nLatents, penalty, applyBDecToInput, activation, init, seed; see msae train --help\n`,
    });
  });
});
