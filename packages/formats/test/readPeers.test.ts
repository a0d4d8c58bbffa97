import { encode, reconstruct } from '@msae/core';
import { loadSae } from '@msae/formats';
import { useNode } from '@msae/node';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { casePath, difference, peerCases, peerExpectation } from './peerFixtures.ts';

describe.each(['cpu', 'wasm'] as const)('SAEs that the peers wrote, on %s', (backend) => {
  beforeAll(async () => void (await useNode({ backend, threads: 1 })));

  it.each(peerCases)('$case gives the activations and reconstructions of the peer', async (peer) => {
    const before = tf.memory().numTensors;
    const sae = await loadSae(casePath(peer.case));
    const { x, f, xhat } = await peerExpectation(peer.case);
    const latents = encode(sae, x);
    const output = reconstruct(sae, x);
    expect(difference(latents, f)).toBeLessThan(1e-5);
    expect(difference(output, xhat)).toBeLessThan(1e-5);
    expect(sae.record.source).toEqual({ format: peer.format, architecture: peer.architecture });
    if (peer.prefixes) expect(sae.prefixes?.lengths).toEqual(peer.prefixes);
    if (peer.prefixWeights) expect(sae.prefixes?.weights).toEqual(peer.prefixWeights);
    tf.dispose([x, f, xhat, latents, output]);
    sae.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('says what is missing when a normalisation is not folded, and folds it when told the factor', async () => {
    const path = casePath('saelens-standard-expected_average_only_in');
    const plain = await loadSae(path);
    expect(plain.record.warnings.join()).toContain('normalisation not folded');
    const scaled = await loadSae(path, { inputScale: 2 });
    expect(scaled.record.warnings).toEqual([]);
    expect(scaled.transform.input).toEqual([{ kind: 'scale', factor: 2 }]);
    const { x, f, xhat } = await peerExpectation('saelens-standard-expected_average_only_in');
    // the peer did nothing at run time: fed x/2, the scaled SAE must give its latents, and half its output
    expect(difference(encode(scaled, tf.div(x, 2)), f)).toBeLessThan(1e-5);
    expect(difference(reconstruct(scaled, tf.div(x, 2)), tf.div(xhat, 2))).toBeLessThan(1e-5);
  });
});
