/** What a model is fed for a batch of token contexts: ids, masks, positions, by the names exporters give them. */
import { msaeError } from '@msae/schema';
import type { OnnxRuntime, OnnxTensor, TensorInfo } from './runtime.ts';

/** Contexts of one batch, each led by its first token; shorter ones are padded at the end. */
export interface PaddedBatch {
  /** Contexts in the batch, padding rows of a fixed batch size included. */
  batch: number;
  /** Tokens per context, padding included. */
  length: number;
  /** [batch, length] */
  ids: Int32Array;
  /** [batch, length], 1 = a token, 0 = padding */
  mask: Uint8Array;
}

export interface FeedPlan {
  /** Whether padding can be masked. A model without a mask gets batches of one length. */
  readonly masked: boolean;
  /** Batch size and context length that the model insists on. */
  readonly fixedBatch?: number;
  readonly fixedLength?: number;
  /** Whether padding that is not masked would change what is read of the tokens before it. Absent: not known. */
  readonly readsPadding?: boolean;
  /** Positions that the model has. */
  readonly positions?: number;
  feeds(batch: PaddedBatch): Record<string, OnnxTensor>;
}

type Filler = (batch: PaddedBatch) => ArrayLike<number>;

/** Names of masks. */
export const isMask = (name: string): boolean => known[name] === mask;

const ids: Filler = (batch) => batch.ids;
const mask: Filler = (batch) => batch.mask;
const zeros: Filler = (batch) => new Uint8Array(batch.batch * batch.length);
const positions: Filler = (batch) =>
  Int32Array.from({ length: batch.batch * batch.length }, (_, i) => i % batch.length);

/** Inputs known by name. */
const known: Record<string, Filler> = {
  input_ids: ids,
  tokens: ids,
  ids,
  input: ids,
  attention_mask: mask,
  input_mask: mask,
  token_type_ids: zeros,
  segment_ids: zeros,
  position_ids: positions,
  decoder_input_ids: ids,
  decoder_attention_mask: mask,
  encoder_attention_mask: mask,
};

/** What a plan takes from the model besides its inputs. */
export type FeedTraits = Pick<FeedPlan, 'readsPadding' | 'positions'>;

/**
 * Finds out how to feed token ids to a model.
 *
 * @param inputs inputs of the session that is to be fed
 * @param given inputs that the caller feeds (a spliced tensor)
 * @throws when an input is none of those known, naming it and what is known
 */
export function feedPlan(
  model: string,
  inputs: readonly TensorInfo[],
  runtime: OnnxRuntime,
  given: readonly string[] = [],
  traits: FeedTraits = {},
): FeedPlan {
  const own = inputs.filter((input) => !given.includes(input.name));
  for (const input of own) {
    if (!isTextInput(input)) throw unknownInput(model, input, own);
  }
  const ranked = own.find((input) => known[input.name] === ids);
  const [fixedBatch, fixedLength] = ranked?.shape ?? [];
  return {
    ...(traits.readsPadding !== undefined && { readsPadding: traits.readsPadding }),
    ...(traits.positions !== undefined && { positions: traits.positions }),
    masked: own.some((input) => known[input.name] === mask),
    ...(typeof fixedBatch === 'number' && { fixedBatch }),
    ...(typeof fixedLength === 'number' && { fixedLength }),
    feeds(batch) {
      const feeds: Record<string, OnnxTensor> = {};
      for (const input of own) feeds[input.name] = fill(runtime, input, batch);
      return feeds;
    },
  };
}

/** Whether an input can be fed when there is nothing but text. */
export const isTextInput = (input: TensorInfo): boolean => input.name in known || isCache(input);

/** The key-value cache of a generating model: fed empty. */
const isCache = (input: TensorInfo): boolean =>
  input.name.startsWith('past_key_values') || input.name === 'use_cache_branch';

function fill(runtime: OnnxRuntime, input: TensorInfo, batch: PaddedBatch): OnnxTensor {
  if (input.name === 'use_cache_branch') return new runtime.Tensor('bool', new Uint8Array(1), [1]);
  const filler = known[input.name];
  const shape = filler
    ? [batch.batch, batch.length]
    : input.shape.map((size, axis) => (typeof size === 'number' ? size : axis === 0 ? batch.batch : 0));
  const values = filler ? filler(batch) : [];
  switch (input.dtype) {
    case 'int64':
      return new runtime.Tensor(
        'int64',
        BigInt64Array.from({ length: values.length }, (_, i) => BigInt(values[i]!)),
        shape,
      );
    case 'int32':
      return new runtime.Tensor('int32', Int32Array.from(values), shape);
    case 'bool':
      return new runtime.Tensor('bool', Uint8Array.from(values), shape);
    case 'float16':
      if (!filler) return new runtime.Tensor('float16', new Uint16Array(0), shape);
      break;
    case 'float32':
      return new runtime.Tensor('float32', Float32Array.from(values), shape);
  }
  throw msaeError(
    'unsupported',
    `input ${input.name} is ${input.dtype}; expected int64, int32, bool or float32`,
  );
}

function unknownInput(model: string, input: TensorInfo, inputs: readonly TensorInfo[]): Error {
  const describe = ({ name, dtype, shape }: TensorInfo) => `${name} ${dtype} [${shape.join(', ')}]`;
  return msaeError(
    'unsupported',
    `${model}: cannot feed its input ${describe(input)}; text can be fed to ${Object.keys(known).join(', ')} and past_key_values. ` +
      `The model's inputs are ${inputs.map(describe).join('; ')}. Run its session() with feeds of your own instead`,
  );
}
