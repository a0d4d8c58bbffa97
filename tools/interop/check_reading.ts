/**
 * Reads what the peers wrote (peer_cases.py) and compares with what they computed from it.
 *
 *     tsx check_reading.ts DIR     prints one JSON line a case
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encode, reconstruct } from '@msae/core';
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
    const sae = await loadSae(join(root, 'cases', peer.case));
    const expected = await openSafetensorsFile(join(root, 'expected', `${peer.case}.safetensors`));
    const read = async (name: string) =>
      tf.tensor2d(await expected.read(name), expected.info(name).shape as [number, number]);
    const x = await read('x');
    worst = Math.max(
      difference(encode(sae, x), await read('f')),
      difference(reconstruct(sae, x), await read('xhat')),
    );
    if (!(worst <= 1e-5)) problems.push(`differs by ${worst.toExponential(2)}`);
    const { format, architecture } = sae.record.source!;
    if (format !== peer.format) problems.push(`format ${format}`);
    if (architecture !== peer.architecture) problems.push(`architecture ${architecture}`);
    if (peer.prefixes && String(sae.prefixes?.lengths) !== String(peer.prefixes)) {
      problems.push(`prefixes ${sae.prefixes?.lengths}`);
    }
    sae.dispose();
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
