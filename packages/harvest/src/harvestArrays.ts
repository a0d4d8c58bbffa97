/** Activations of models that read pictures or sound: a row for every patch or frame of every array. */
import { float32ToBytes } from '@msae/data';
import { check, givenBy, list, msaeError, object, optional, type Schema, text, whole } from '@msae/schema';
import { type HarvestedBatch, rowsOf } from './harvest.ts';
import type { TransformerModel } from './model.ts';
import type { OnnxTensor, TensorInfo } from './runtime.ts';

/** What a model reads at once: a picture [channels, height, width], a spectrogram [mels, frames], without the axis of the batch. */
export interface InputArray {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

export interface HarvestArraysOptions {
  /** Tap names: `blocks.2.resid_post`, or any tensor of the graph. */
  taps: readonly string[];
  /** Which input the arrays are fed to: `pixel_values`, `input_features`. Default: the only one that the taps need. */
  input?: string;
  /** Arrays of a batch. Default 8. */
  batchSize?: number;
  /** Ends after this many arrays. */
  maxArrays?: number;
  signal?: AbortSignal | undefined;
}

const schema: Schema<HarvestArraysOptions> = object<HarvestArraysOptions>({
  taps: list(text(), { help: 'names of taps' }),
  input: optional(text({ help: 'input that the arrays are fed to' })),
  batchSize: optional(whole({ min: 1, help: 'arrays of a batch' }), 8),
  maxArrays: optional(whole({ min: 1, help: 'ends after this many arrays' })),
  signal: optional(givenBy<AbortSignal>('an AbortSignal', (value) => value instanceof AbortSignal)),
});

/** The arrays along the first axis of one: what `readNpy` and `readSafetensors` of `@msae/data` give. */
export function* arraysOf({ data, shape }: InputArray): Generator<InputArray> {
  const [count = 0, ...rest] = shape;
  const size = rest.reduce((product, n) => product * n, 1);
  if (rest.length === 0 || count * size !== data.length)
    throw msaeError(
      'shape',
      `arrays: ${data.length} values of shape [${shape.join(', ')}]; expected [arrays, …]`,
    );
  for (let i = 0; i < count; i++) yield { data: data.subarray(i * size, (i + 1) * size), shape: rest };
}

/**
 * Runs a model over arrays and yields what its taps compute, in the order of the arrays: `docIds` number the arrays, `positions` the
 * patches or frames within one, `tokenIds` are 0.
 *
 * @throws MsaeError `option` when a tap or input is unknown, `shape` when a tap is not one row a position or an array does not fit the
 *   input, `value` when what is tapped is not finite, `unsupported` when the taps need other inputs besides
 */
export async function* harvestArrays(
  model: TransformerModel,
  arrays: Iterable<InputArray> | AsyncIterable<InputArray>,
  options: HarvestArraysOptions,
): AsyncGenerator<HarvestedBatch> {
  const given = check(schema, options, 'harvestArrays');
  const { taps, batchSize = 8, maxArrays = Number.POSITIVE_INFINITY, signal } = given;
  if (taps.length === 0) throw msaeError('option', 'taps: expected at least one tap name');
  const tensors = taps.map(model.resolve);
  const { session, inputs } = await model.session(tensors);
  try {
    const input = inputOf(model, inputs, given.input);
    let [rows, done] = [0, 0];
    for await (const batch of batchesOf(arrays, batchSize, maxArrays)) {
      signal?.throwIfAborted();
      const outputs = await session.run({ [input.name]: batched(model, input, batch) });
      const found = withPositions(
        model,
        taps,
        tensors.map((tensor) => outputs[tensor]!),
        batch.length,
      );
      const positions = found.length;
      const all = Int32Array.from({ length: batch.length * positions }, (_, i) => i);
      yield {
        rows: all.length,
        firstRow: rows,
        activations: found.tensors.map((tensor, i) => ({
          tap: taps[i]!,
          ...rowsOf(tensor, { batch: batch.length, length: positions }, all, `${model.name}: tap ${taps[i]}`),
        })),
        tokenIds: new Int32Array(all.length),
        positions: all.map((at) => at % positions),
        docIds: all.map((at) => done + Math.floor(at / positions)),
      };
      rows += all.length;
      done += batch.length;
    }
  } finally {
    await session.release();
  }
}

function inputOf(
  model: TransformerModel,
  inputs: readonly TensorInfo[],
  name: string | undefined,
): TensorInfo {
  const described = inputs
    .map((input) => `${input.name} ${input.dtype} [${input.shape.join(', ')}]`)
    .join('; ');
  const input = name === undefined ? inputs[0] : inputs.find((one) => one.name === name);
  if (!input)
    throw msaeError('option', `${model.name}: the taps need no input ${name}; they need ${described}`);
  if (inputs.length > 1) {
    throw msaeError(
      'unsupported',
      `${model.name}: the taps need several inputs: ${described}; run its session() with feeds of your own`,
    );
  }
  if (input.dtype !== 'float32' && input.dtype !== 'float16')
    throw msaeError('unsupported', `${model.name}: cannot feed arrays to its input ${described}`);
  return input;
}

/** Arrays of one shape, in their order. */
async function* batchesOf(
  arrays: Iterable<InputArray> | AsyncIterable<InputArray>,
  size: number,
  most: number,
): AsyncGenerator<InputArray[]> {
  let batch: InputArray[] = [];
  let taken = 0;
  for await (const array of arrays) {
    if (taken++ >= most) break;
    const [first] = batch;
    if (first && (batch.length === size || first.shape.join() !== array.shape.join())) {
      yield batch;
      batch = [];
    }
    batch.push(array);
  }
  if (batch.length > 0) yield batch;
}

function batched(model: TransformerModel, input: TensorInfo, batch: readonly InputArray[]): OnnxTensor {
  const { shape } = batch[0]!;
  const size = shape.reduce((product, n) => product * n, 1);
  const wanted = input.shape.slice(1);
  const fits =
    wanted.length === shape.length && wanted.every((n, i) => typeof n !== 'number' || n === shape[i]);
  if (!fits || batch.some(({ data }) => data.length !== size)) {
    throw msaeError(
      'shape',
      `${model.name}: an array [${shape.join(', ')}] of ${batch[0]!.data.length} values; ${input.name} takes [${wanted.join(', ')}]`,
    );
  }
  const values = new Float32Array(batch.length * size);
  batch.forEach(({ data }, i) => values.set(data, i * size));
  const dims = [batch.length, ...shape];
  if (input.dtype === 'float32') return new model.runtime.Tensor('float32', values, dims);
  const halves = float32ToBytes(values, 'F16').slice();
  return new model.runtime.Tensor('float16', new Uint16Array(halves.buffer), dims);
}

/** The taps' tensors, and how many positions each array has in all of them. */
function withPositions(
  model: TransformerModel,
  taps: readonly string[],
  tensors: readonly OnnxTensor[],
  batch: number,
): { tensors: readonly OnnxTensor[]; length: number } {
  const lengths = tensors.map(({ dims }) => (dims.length === 3 && dims[0] === batch ? dims[1]! : 0));
  const odd = lengths.findIndex((length) => length === 0 || length !== lengths[0]);
  if (odd >= 0) {
    throw msaeError(
      'shape',
      `${model.name}: tap ${taps[odd]} has shape [${tensors[odd]!.dims.join(', ')}]; expected one row a position, as many as the other taps: [${batch}, positions, width]`,
    );
  }
  return { tensors, length: lengths[0]! };
}
