/** Small made-up inputs of a model: tokens, pictures, sound, in two variants. */
import { float32ToBytes } from '@msae/data';
import { msaeError } from '@msae/schema';
import { feedPlan, isTextInput, type PaddedBatch } from '../../feeds.ts';
import type { OnnxRuntime, OnnxTensor, TensorInfo } from '../../runtime.ts';
import type { ModelConfig } from '../agreement.ts';

/** Tokens of a probe, where the model does not insist on another number. */
export const probeTokens = 5;

/** Feeds of a probe; the inputs in `varied` get other values than in the feeds of another set. */
export interface ProbeFeeds {
  feeds(varied?: ReadonlySet<string>): Record<string, OnnxTensor>;
}

/**
 * What to try, one after the other: where sizes of a picture or a recording are not fixed, they are guessed.
 *
 * @param given inputs that are fed by others
 */
export function probeFeeds(
  model: string,
  inputs: readonly TensorInfo[],
  runtime: OnnxRuntime,
  config: ModelConfig | undefined,
  given: readonly string[],
): ProbeFeeds[] {
  const own = inputs.filter(({ name }) => !given.includes(name));
  const text = own.filter(isTextInput);
  const rest = own.filter((input) => !isTextInput(input));
  const plan = feedPlan(model, text, runtime);
  const pictures = rest.some(({ shape }) => shape.length === 4);
  const sizes = rest.length === 0 ? [0] : guesses(config, pictures);
  return sizes.map((size) => ({
    feeds(varied = new Set()) {
      const [clean, other] = [0, 1].map((variant) => ({
        ...plan.feeds(tokens(plan.fixedBatch ?? 1, plan.fixedLength ?? probeTokens, variant)),
        ...Object.fromEntries(
          rest.map((input) => [input.name, floats(runtime, input, size, config, variant)]),
        ),
      })) as [Record<string, OnnxTensor>, Record<string, OnnxTensor>];
      return Object.fromEntries(own.map(({ name }) => [name, (varied.has(name) ? other : clean)[name]!]));
    },
  }));
}

/** Low token ids that are no padding in any common vocabulary, other ones in each variant. */
function tokens(batch: number, length: number, variant: number): PaddedBatch {
  const ids = Int32Array.from(
    { length: batch * length },
    (_, i) => 5 + 2 * ((i * 7 + 3 * variant) % 12) + variant,
  );
  return { batch, length, ids, mask: new Uint8Array(ids.length).fill(1) };
}

/** Sizes of pictures, or lengths of recordings: the configuration's, then common ones. */
function guesses(config: ModelConfig | undefined, pictures: boolean): number[] {
  const found = new Set<number>();
  const add = (value: unknown, times = 1): void => {
    for (const size of [value].flat()) if (typeof size === 'number') found.add(times * size);
  };
  const visit = (object: ModelConfig): void => {
    for (const [name, value] of Object.entries(object)) {
      if (pictures && name === 'image_size') add(value);
      if (!pictures && name === 'max_source_positions') add(value, 2);
      if (typeof value === 'object' && value !== null && !Array.isArray(value)) visit(value as ModelConfig);
    }
  };
  if (config) visit(config);
  return [...new Set([...found, ...(pictures ? [224, 160, 32, 384] : [3000, 16000, 200])])];
}

function floats(
  runtime: OnnxRuntime,
  input: TensorInfo,
  size: number,
  config: ModelConfig | undefined,
  variant: number,
): OnnxTensor {
  const channels = Number(config?.num_channels ?? 3);
  const { shape, dtype, name } = input;
  const dims = shape.map((dimension, axis) => {
    if (typeof dimension === 'number') return dimension;
    if (axis === 0) return 1;
    if (/hidden_states|embeds/.test(name)) return probeTokens; // as many as masks of text have
    return shape.length === 4 && axis === 1 ? channels : size;
  });
  const count = dims.reduce((product, n) => product * n, 1);
  const values = Float32Array.from({ length: count }, (_, i) => Math.sin(i * (1.7 + variant) + variant));
  if (dtype === 'float32') return new runtime.Tensor('float32', values, dims);
  if (dtype === 'float16')
    return new runtime.Tensor('float16', new Uint16Array(float32ToBytes(values, 'F16').slice().buffer), dims);
  throw msaeError(
    'unsupported',
    `input ${name} is ${dtype} [${shape.join(', ')}], which nothing can be made up for`,
  );
}
