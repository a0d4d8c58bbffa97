import { createSae, relu, type SaeConfig, topK } from '@msae/core';
import { beforeAll, describe, expect, it } from 'vitest';
import { createPathChooser } from '../src/run/pathChooser.ts';
import { useBackend } from './support/backends.ts';

beforeAll(() => useBackend('cpu'));

const config = (nLatents: number, activation: SaeConfig['activation'] = relu()): SaeConfig => {
  const sae = createSae({ dModel: 2, nLatents, activation });
  sae.dispose();
  return sae.config;
};

describe('the path', () => {
  it('follows the density of relu with hysteresis, looking every 50 steps', () => {
    const chooser = createPathChooser(config(1000), 'auto');
    expect(chooser.current()).toBe('dense');
    const at = (step: number, l0: number): string => {
      if (chooser.wantsDensity(step)) chooser.observe(step, l0);
      return chooser.current();
    };
    expect(at(49, 1)).toBe('dense');
    expect(at(50, 400)).toBe('dense');
    expect(at(100, 300)).toBe('sparse');
    expect(at(150, 450)).toBe('sparse');
    expect(at(200, 600)).toBe('dense');
  });

  it('is known beforehand for topk, for small SAEs, and when it was asked for', () => {
    expect(createPathChooser(config(1000, topK(32)), 'auto').current()).toBe('sparse');
    expect(createPathChooser(config(1000, topK(800)), 'auto').current()).toBe('dense');
    expect(createPathChooser(config(20), 'auto').current()).toBe('sparse');
    expect(createPathChooser(config(20), 'dense').current()).toBe('dense');
    expect(createPathChooser(config(20, { kind: 'identity' }), 'auto').current()).toBe('dense');
    expect(createPathChooser(config(20), 'auto').wantsDensity(50)).toBe(false);
  });
});
