/** Opens one file of the matrix and compares what is tapped and spliced with the truth. */
import { float32ToBytes } from '../../packages/data/src/index.ts';
import { float32Of } from '../../packages/harvest/src/harvest.ts';
import {
  evaluateSplice,
  harvest,
  type TransformerModel,
  unembedding,
} from '../../packages/harvest/src/index.ts';
import { openModelFile } from '../../packages/harvest/src/node/index.ts';
import { rowsOfTruth, type Truth } from './truth.ts';

export interface Outcome {
  architecture: string;
  kind: string;
  taps: number;
  /** Taps of the truth that the file has not. */
  missing?: string[];
  /** Largest |difference| over largest |value| of the file's own output, untouched: what the tool that made it changed. */
  own?: number;
  /** The same of all taps. */
  values?: number;
  /** A tap that is nearer to another one's values. */
  misplaced?: string;
  /** Largest |difference| of cross-entropy and KL. */
  splice?: number;
  /** The same with a tap replaced by itself, against the model as it is. */
  identity?: number;
  unembedding?: number | 'none';
  milliseconds?: number;
  refusal?: string;
}

/** Kinds whose weights are not those of the truth to the last bit. */
const inexact = /fp16|int8|int4|q4|bnb4/;

export function isWrong({
  kind,
  own,
  values,
  misplaced,
  splice,
  identity,
  refusal,
  missing,
  unembedding: head,
}: Outcome): boolean {
  if (refusal !== undefined) return false;
  if (misplaced !== undefined || (missing?.length ?? 0) > 0) return true;
  if (head === 'none' || (identity ?? 0) > identityLimit(kind)) return true;
  // a file whose own output is another is judged as a quantised one: by the nearest tap
  const exact = !inexact.test(kind) && (own ?? 0) <= 1e-5;
  return exact && Math.max(values ?? 0, splice ?? 0, head ?? 0) > 1e-5;
}

/**
 * A tap replaced by itself: onnxruntime computes float16 graphs in float32 between what it gives out, so a tap is rounded that was not
 * before; and it fuses the two halves of a cut otherwise than the whole, which moves an int8 activation by a step here and there.
 */
function identityLimit(kind: string): number {
  if (/fp16/.test(kind)) return 1e-3;
  return /int8/.test(kind) ? 1e-2 : 1e-5;
}

/** What is found is written into `outcome`, as far as it comes. */
export async function examine(file: string, truth: Truth, outcome: Outcome): Promise<void> {
  const started = performance.now();
  const proofs = { get: async () => undefined, set: async () => undefined };
  const { model } = await openModelFile(file, { threads: 1, proofs });
  outcome.milliseconds = Math.round(performance.now() - started);
  outcome.taps = model.parts.length;
  if (model.refusal !== undefined) {
    outcome.refusal = model.refusal;
    return;
  }
  const prefix = model.parts.some(({ tower }) => tower === 'encoder') ? 'encoder.' : '';
  const names = Object.keys(truth.values).filter((name) => name.startsWith('blocks.'));
  const there = new Set(model.parts.map(({ name }) => name));
  const found = names.filter((name) => there.has(prefix + name));
  outcome.missing = names.filter((name) => !there.has(prefix + name));
  const tapped = await tap(
    model,
    truth,
    found.map((name) => prefix + name),
  );
  const [own] = await tap(model, truth, [model.graph.outputs[0]!]).catch(() => []);
  // a whole T5's first output is its decoder's
  if (own && prefix === '') outcome.own = distance(own, truth.read('output'));
  if (outcome.own === Number.POSITIVE_INFINITY) delete outcome.own; // another output than the truth's
  outcome.values = 0;
  for (const [i, name] of found.entries()) {
    const values = tapped[i]!;
    outcome.values = Math.max(outcome.values, distance(values, truth.read(name)));
    const nearest = (other: string) => spread(values, truth.read(other));
    const nearer = names
      .map((other) => [other, nearest(other)] as const)
      .find(([, far]) => far < nearest(name) * 0.999);
    if (nearer) outcome.misplaced = `${name} is nearer to ${nearer[0]}`;
  }
  if (Object.keys(truth.splices).length > 0) await examineSplices(model, truth, outcome);
  if (truth.values.unembedding) {
    const head = await unembedding(model);
    outcome.unembedding = head?.foldedGain ? distance(head.data, truth.read('unembedding')) : 'none';
  }
}

/** One [rows, width] array a tap, rows in the order of the truth. */
async function tap(model: TransformerModel, truth: Truth, taps: string[]): Promise<Float32Array[]> {
  if (truth.task === 'image-classification') {
    const { session, inputs } = await model.session(taps);
    const { shape } = truth.values.pixel_values!;
    const pixels = truth.read('pixel_values');
    const feeds =
      inputs[0]!.dtype === 'float16'
        ? new model.runtime.Tensor(
            'float16',
            new Uint16Array(float32ToBytes(pixels, 'F16').slice().buffer),
            shape,
          )
        : new model.runtime.Tensor('float32', pixels, shape);
    const outputs = await session.run({ pixel_values: feeds });
    await session.release();
    return taps.map((name) => float32Of(outputs[model.resolve(name)]!, name));
  }
  const documents = truth.documents.map((ids, id) => ({ id, ids: Int32Array.from(ids) }));
  const whole = taps.map(() => [] as Float32Array[]);
  for await (const batch of harvest(model, documents, { taps, contextLength: truth.context })) {
    batch.activations.forEach(({ data, width }, i) => {
      for (let row = 0; row < batch.rows; row++) {
        const at = rowsOfTruth(truth, batch.docIds[row]!, batch.positions[row]!);
        whole[i]![at] = data.slice(row * width, (row + 1) * width);
      }
    });
  }
  return whole.map((rows) => {
    const out = new Float32Array(rows.length * rows[0]!.length);
    rows.forEach((row, at) => out.set(row, at * row.length));
    return out;
  });
}

async function examineSplices(model: TransformerModel, truth: Truth, outcome: Outcome): Promise<void> {
  const documents = truth.documents.map((ids, id) => ({ id, ids: Int32Array.from(ids) }));
  let [worst, identity] = [0, 0];
  for (const [name, { zero, half }] of Object.entries(truth.splices)) {
    const report = await evaluateSplice(model, documents, {
      tap: name,
      contextLength: truth.context,
      reconstructions: { half: (x) => x.map((value) => value / 2), same: (x) => x },
    });
    const { half: halved, same } = report.reconstructions;
    worst = Math.max(
      worst,
      Math.abs(report.clean - truth.clean!),
      Math.abs(report.zeroAblated.crossEntropy - zero[0]),
      Math.abs(report.zeroAblated.kl - zero[1]),
      Math.abs(halved!.crossEntropy - half[0]),
      Math.abs(halved!.kl - half[1]),
    );
    identity = Math.max(identity, Math.abs(same!.kl), Math.abs(same!.crossEntropy - report.clean));
  }
  outcome.splice = worst;
  outcome.identity = identity;
}

/** Root of the sum of squared differences, relative to that of the values. */
function spread(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let [off, whole] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    off += (a[i]! - b[i]!) ** 2;
    whole += b[i]! ** 2;
  }
  return Math.sqrt(off / whole);
}

/** Largest |difference| relative to the largest |value|. */
function distance(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let [most, scale] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    most = Math.max(most, Math.abs(a[i]! - b[i]!));
    scale = Math.max(scale, Math.abs(b[i]!));
  }
  return most / scale;
}
