/** SAEs written by the peers' own code (tools/interop/peer_cases.py --fixtures), with what the peers compute from them. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { openSafetensorsFile } from '@msae/data/node';
import * as tf from '@tensorflow/tfjs-core';

export interface PeerCase {
  case: string;
  format: string;
  architecture: string;
  normalize: string;
  prefixes?: number[];
  prefixWeights?: number[];
}

const root = fileURLToPath(new URL('./fixtures/peers/', import.meta.url));

export const peerCases = JSON.parse(readFileSync(`${root}index.json`, 'utf8')) as PeerCase[];

export const casePath = (name: string): string => `${root}cases/${name}`;

/** x, and the peer's f and x̂, as tensors the caller disposes. */
export async function peerExpectation(
  name: string,
): Promise<{ x: tf.Tensor2D; f: tf.Tensor2D; xhat: tf.Tensor2D }> {
  const file = await openSafetensorsFile(`${root}expected/${name}.safetensors`);
  const read = async (tensor: string) =>
    tf.tensor2d(await file.read(tensor), file.info(tensor).shape as [number, number]);
  const made = { x: await read('x'), f: await read('f'), xhat: await read('xhat') };
  await file.close();
  return made;
}

/** Largest absolute difference over the largest expected value (at least 1). */
export function difference(actual: tf.Tensor, expected: tf.Tensor): number {
  const a = actual.dataSync();
  const b = expected.dataSync();
  if (String(actual.shape) !== String(expected.shape)) return Number.POSITIVE_INFINITY;
  let scale = 1;
  let worst = 0;
  for (let i = 0; i < b.length; i++) {
    scale = Math.max(scale, Math.abs(b[i]!));
    worst = Math.max(worst, Math.abs(a[i]! - b[i]!));
  }
  return worst / scale;
}
