/** Opens the small models of `fixtures/` and what transformers computed on them. */
import { existsSync, readdirSync } from 'node:fs';
import { readSafetensors } from '@msae/data';
import { openFile } from '@msae/data/node';
import * as ort from 'onnxruntime-node';
import { fileFolder } from '../../src/node/openWeightsFile.ts';
import type { OpenSession } from '../../src/runtime.ts';
import { type OpenWeightsOptions, openWeights } from '../../src/weights/openWeights.ts';
import type { WeightsModel } from '../../src/weights/weightsModel.ts';

export const fixtures: string =
  process.env.MSAE_WEIGHTS_FIXTURES ?? new URL('./fixtures', import.meta.url).pathname;

export const families: string[] = readdirSync(fixtures).filter((name) =>
  existsSync(`${fixtures}/${name}/config.json`),
);

export const ggufModels: string[] = readdirSync(fixtures)
  .filter((name) => name.endsWith('.expected.safetensors'))
  .map((name) => name.replace('.expected.safetensors', ''));

const options: OpenWeightsOptions = { runtime: ort, sessionOptions: { intraOpNumThreads: 1 } };

export const openFamily = (name: string): Promise<WeightsModel> =>
  openWeights(fileFolder(`${fixtures}/${name}`), options);

export interface Expected {
  readonly ids: number[][];
  /** Tokens of each context that are none of its padding. */
  readonly lengths: number[];
  /** Taps and logits, [batch · sequence · width]. */
  readonly values: ReadonlyMap<string, Float32Array>;
}

/** Tokens at the end of the second context that are padding. */
const padding = 2;

export async function expectedAt(path: string): Promise<Expected> {
  const file = await readSafetensors(await openFile(path));
  const values = new Map<string, Float32Array>();
  for (const name of file.tensors.keys()) if (name !== 'ids') values.set(name, await file.read(name));
  const [batch, length] = file.info('ids').shape as [number, number];
  const flat = [...(await file.read('ids'))];
  const ids = Array.from({ length: batch }, (_, b) => flat.slice(b * length, (b + 1) * length));
  await file.close();
  return { ids, lengths: ids.map((_, b) => (b === 0 ? length : length - padding)), values };
}

const int64 = (values: readonly number[], shape: number[]): ort.Tensor =>
  new ort.Tensor('int64', BigInt64Array.from(values, BigInt), shape);

export interface Step {
  readonly ids: number[][];
  /** Tokens of each context, those before included. */
  readonly lengths: number[];
  /** [batch, past + sequence] 1 = a token; default by `lengths`. */
  readonly mask?: number[][];
  /** [batch, sequence]; default: the tokens before, and on. */
  readonly positions?: number[][];
  readonly past?: Readonly<Record<string, ort.Tensor>>;
  readonly more?: Readonly<Record<string, ort.Tensor>>;
}

/** Feeds a session: masks, positions, and what the cache holds. */
export async function runStep(
  { session, inputs }: OpenSession,
  { ids, lengths, mask, positions, past = {}, more = {} }: Step,
): Promise<Record<string, ort.Tensor>> {
  const batch = ids.length;
  const length = ids[0]!.length;
  const before = past['present.0.key']?.dims[2] ?? 0;
  const total = before + length;
  const feeds: Record<string, ort.Tensor> = { ...more };
  for (const { name, shape } of inputs) {
    if (name in feeds) continue;
    if (name === 'input_ids') feeds[name] = int64(ids.flat(), [batch, length]);
    else if (name === 'attention_mask') {
      const usual = lengths.map((n) => Array.from({ length: total }, (_, t) => Number(t < n)));
      feeds[name] = int64((mask ?? usual).flat(), [batch, total]);
    } else if (name === 'position_ids') {
      const usual = ids.map(() => Array.from({ length }, (_, t) => before + t));
      feeds[name] = int64((positions ?? usual).flat(), [batch, length]);
    } else if (name.startsWith('past_key_values.')) {
      const [, heads, , width] = shape as number[];
      feeds[name] =
        past[name.replace('past_key_values', 'present')] ??
        new ort.Tensor('float32', new Float32Array(0), [batch, heads!, 0, width!]);
    }
  }
  return (await session.run(feeds)) as Record<string, ort.Tensor>;
}

/** The largest difference at tokens that are no padding, over the largest value. */
export function difference(got: ort.Tensor, wanted: Float32Array, { ids, lengths }: Expected): number {
  const width = wanted.length / ids.flat().length;
  const values = got.data as Float32Array;
  if (values.length !== wanted.length) return Number.POSITIVE_INFINITY;
  let largest = 0;
  lengths.forEach((n, b) => {
    for (let i = b * ids[0]!.length * width; i < (b * ids[0]!.length + n) * width; i++) {
      largest = Math.max(largest, Math.abs(values[i]! - wanted[i]!) / Math.max(1, Math.abs(wanted[i]!)));
    }
  });
  return largest;
}

/** The largest difference, over the larger of 1 and the value. */
export function farthest(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let largest = 0;
  for (let i = 0; i < a.length; i++) {
    largest = Math.max(largest, Math.abs(a[i]! - b[i]!) / Math.max(1, Math.abs(b[i]!)));
  }
  return largest;
}
