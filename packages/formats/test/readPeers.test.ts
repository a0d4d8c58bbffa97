import { loadSae } from '@msae/formats';
import { useNode } from '@msae/node';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { casePath, difference, peerCases, peerExpectation } from './peerFixtures.ts';

describe.each(['cpu', 'wasm'] as const)('SAEs that the peers wrote, on %s', (backend) => {
  beforeAll(async () => void (await useNode({ backend, threads: 1 })));

  it.each(peerCases)('$case gives the activations and reconstructions of the peer', async (peer) => {
    const before = tf.memory().numTensors;
    const loaded = await loadSae(casePath(peer.case));
    const { x, f, xhat } = await peerExpectation(peer.case);
    const latents = loaded.encode(x);
    const output = loaded.reconstruct(x);
    expect(difference(latents, f)).toBeLessThan(1e-5);
    expect(difference(output, xhat)).toBeLessThan(1e-5);
    expect(loaded.format).toBe(peer.format);
    expect(loaded.architecture).toBe(peer.architecture);
    if (peer.prefixes) expect(loaded.prefixes?.lengths).toEqual(peer.prefixes);
    if (peer.prefixWeights) expect(loaded.prefixes?.weights).toEqual(peer.prefixWeights);
    tf.dispose([x, f, xhat, latents, output]);
    loaded.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('says what is missing when a normalisation is not folded, and folds it when told the factor', async () => {
    const path = casePath('saelens-standard-expected_average_only_in');
    const plain = await loadSae(path);
    expect(plain.warnings.join()).toContain('normalisation not folded');
    const scaled = await loadSae(path, { inputScale: 2 });
    expect(scaled.warnings).toEqual([]);
    const { x, f, xhat } = await peerExpectation('saelens-standard-expected_average_only_in');
    // the peer did nothing at run time: fed x/2, the folded SAE must give its latents, and half its output
    expect(difference(scaled.encode(tf.div(x, 2)), f)).toBeLessThan(1e-5);
    expect(difference(scaled.reconstruct(tf.div(x, 2)), tf.div(xhat, 2))).toBeLessThan(1e-5);
  });
});
