/**
 * L0 and FVU of the SAEs that SAELens trained (train_saelens.py), computed here, against SAELens' own.
 *
 *     tsx check_trained.ts DIR      prints one JSON line a case
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encode, reconstruct } from '@msae/core';
import { openSafetensorsFile } from '@msae/data/node';
import { loadSae } from '@msae/formats';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';

interface Trained {
  case: string;
  path: string;
  architecture: string;
  normalize: string;
  version: string;
  l0: number;
  fvu: number;
}

const root = process.argv[2]!;
await tf.setBackend('cpu');
const file = await openSafetensorsFile(join(root, 'trained-x.safetensors'));
const x = tf.tensor2d(await file.read('x'), file.info('x').shape as [number, number]);

for (const trained of JSON.parse(await readFile(join(root, 'trained.json'), 'utf8')) as Trained[]) {
  const problems: string[] = [];
  let l0 = Number.NaN;
  let fvu = Number.NaN;
  try {
    const sae = await loadSae(join(root, trained.path));
    l0 = meanActive(encode(sae, x));
    fvu = unexplained(x, reconstruct(sae, x));
    if (!(Math.abs(l0 - trained.l0) <= 1e-3)) problems.push(`L0 ${l0}, theirs ${trained.l0}`);
    if (!(Math.abs(fvu - trained.fvu) <= 1e-5)) problems.push(`FVU ${fvu}, theirs ${trained.fvu}`);
    if (!(trained.fvu < 0.9)) problems.push(`it was not trained: FVU ${trained.fvu}`);
    sae.dispose();
  } catch (error) {
    problems.push(String(error));
  }
  const worst = Math.abs(fvu - trained.fvu);
  console.log(
    JSON.stringify({
      ...trained,
      way: 'trained there',
      format: 'saelens',
      ours: { l0, fvu },
      worst,
      problems,
    }),
  );
}

function meanActive(f: tf.Tensor2D): number {
  let active = 0;
  for (const value of f.dataSync()) if (value !== 0) active++;
  return active / f.shape[0];
}

/** Σ‖x − x̂‖² / Σ‖x − x̄‖² in float64. */
function unexplained(target: tf.Tensor2D, output: tf.Tensor2D): number {
  const [rows, width] = target.shape;
  const a = target.dataSync();
  const b = output.dataSync();
  const mean = new Float64Array(width);
  for (let i = 0; i < a.length; i++) mean[i % width]! += a[i]! / rows;
  let error = 0;
  let variance = 0;
  for (let i = 0; i < a.length; i++) {
    error += (a[i]! - b[i]!) ** 2;
    variance += (a[i]! - mean[i % width]!) ** 2;
  }
  return error / variance;
}
