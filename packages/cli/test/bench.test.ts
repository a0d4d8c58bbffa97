import { describe, expect, it } from 'vitest';
import { msae } from './msae.ts';

const small = ['--d', '24', '--n', '96', '--batch', '40', '--k', '5', '--steps', '3', '--threads', '1'];

describe('msae bench step', () => {
  it('times a step and its parts', async () => {
    const { code, out } = await msae(['bench', 'step', ...small, '--prefixes', 'every', '--json']);
    expect(code).toBe(0);
    const result = JSON.parse(out) as Record<string, unknown> & {
      parts: Record<string, number>;
      all: number[];
    };
    expect(result).toMatchObject({ d: 24, n: 96, batch: 40, prefixes: 'every', path: 'sparse', l0: 5 });
    expect(Object.keys(result.parts)).toEqual(['encode', 'select', 'decode', 'gradients', 'adam', 'other']);
    expect(result.all).toHaveLength(3);
    expect(result.ms).toBeGreaterThan(0);
    expect(result.peakResidentMiB).toBeGreaterThan(10);
  });

  it('the dense path of relu on the cpu backend, for people', async () => {
    const relu = [
      '--activation',
      'relu',
      '--l0',
      '12',
      '--path',
      'dense',
      '--backend',
      'cpu',
      '--prefixes',
      '3',
    ];
    const { code, out } = await msae(['bench', 'step', ...small, ...relu]);
    expect(code).toBe(0);
    expect(out).toMatch(
      /^cpu, JavaScript; d=24 N=96 B=40 relu, L0 1\d\.\d, prefixes 3, dense\n[\d.]+ ms\/step/,
    );
  });

  it.each([
    [['--n', '0'], "--n: expected a whole number of at least 1, got '0'"],
    [['--prefixes', 'some'], "--prefixes: expected 'every' or a count of at least 1, got 'some'"],
    [['--activation', 'gelu'], "--activation: expected one of topk, batchtopk, relu; got 'gelu'"],
  ])('%j is an error', async (args, message) => {
    const { code, err } = await msae(['bench', 'step', ...small, ...args]);
    expect(code).not.toBe(0);
    expect(err).toContain(message);
  });
});
