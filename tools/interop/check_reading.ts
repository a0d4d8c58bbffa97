/**
 * Reads what the peers wrote (peer_cases.py) and compares with what they computed from it.
 *
 *     tsx check_reading.ts DIR     prints one JSON line a case
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openSafetensorsFile } from '@msae/data/node';
import { loadSae } from '@msae/formats';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';

interface PeerCase {
  case: string;
  format: string;
  architecture: string;
  normalize: string;
  version: string;
  prefixes?: number[];
  prefixWeights?: number[];
}

const root = process.argv[2]!;
await tf.setBackend('cpu');
const index = JSON.parse(await readFile(join(root, 'index.json'), 'utf8')) as PeerCase[];
for (const peer of index) {
  const problems: string[] = [];
  let worst = Number.NaN;
  try {
    const loaded = await loadSae(join(root, 'cases', peer.case));
    const expected = await openSafetensorsFile(join(root, 'expected', `${peer.case}.safetensors`));
    const read = async (name: string) =>
      tf.tensor2d(await expected.read(name), expected.info(name).shape as [number, number]);
    const x = await read('x');
    worst = Math.max(
      difference(loaded.encode(x), await read('f')),
      difference(loaded.reconstruct(x), await read('xhat')),
    );
    if (!(worst <= 1e-5)) problems.push(`differs by ${worst.toExponential(2)}`);
    if (loaded.format !== peer.format) problems.push(`format ${loaded.format}`);
    if (loaded.architecture !== peer.architecture) problems.push(`architecture ${loaded.architecture}`);
    if (peer.prefixes && String(loaded.prefixes?.lengths) !== String(peer.prefixes)) {
      problems.push(`prefixes ${loaded.prefixes?.lengths}`);
    }
    loaded.dispose();
    await expected.close();
  } catch (error) {
    problems.push(String(error));
  }
  const { format, architecture, normalize, version } = peer;
  console.log(
    JSON.stringify({
      case: peer.case,
      way: 'theirs → ours',
      format,
      architecture,
      normalize,
      version,
      worst,
      problems,
    }),
  );
}

/** Largest difference relative to the expected values' scale (at least 1). */
function difference(actual: tf.Tensor, expected: tf.Tensor): number {
  if (String(actual.shape) !== String(expected.shape)) return Number.POSITIVE_INFINITY;
  const a = actual.dataSync();
  const b = expected.dataSync();
  let scale = 1;
  let worst = 0;
  for (let i = 0; i < b.length; i++) scale = Math.max(scale, Math.abs(b[i]!));
  for (let i = 0; i < b.length; i++) worst = Math.max(worst, Math.abs(a[i]! - b[i]!));
  return worst / scale;
}
