/** What a decoder is made of, in numbers: read out of config.json or out of a GGUF's metadata. */
import { msaeError } from '@msae/schema';

/** Rotary position embedding of one kind of layer. */
export interface Rope {
  readonly theta: number;
  /** Dimensions of a head that are turned; the rest pass through. */
  readonly dimensions: number;
  /** Divides the frequencies, one for each pair of dimensions. */
  readonly factors?: Float32Array;
  /** Multiplies sine and cosine (longrope). Default 1. */
  readonly attentionFactor?: number;
}

/** Families whose graph is built here. */
export type Family =
  | 'llama'
  | 'mistral'
  | 'qwen2'
  | 'qwen3'
  | 'phi3'
  | 'gemma2'
  | 'gemma3'
  | 'gpt2'
  | 'gptneox';

export interface Architecture {
  readonly family: Family;
  readonly layers: number;
  /** Width of the residual stream. */
  readonly width: number;
  readonly heads: number;
  readonly keyHeads: number;
  readonly headWidth: number;
  /** Longest context the model was made for. */
  readonly positions: number;
  readonly norm: { readonly kind: 'rms' | 'layer'; readonly epsilon: number };
  readonly activation: 'silu' | 'gelu' | 'gelu-tanh';
  /** Absent for learned positions (GPT-2). */
  readonly rope?: Rope;
  /** Rope of layers with a window, where it is another (Gemma 3). */
  readonly windowRope?: Rope;
  /** Tokens that a layer with a window sees, itself included. */
  readonly window?: number;
  /** Whether a layer has the window. */
  readonly windowed: (layer: number) => boolean;
  /** Multiplies queries · keys. */
  readonly attentionScale: number;
  /** Attention scores, and logits, are squashed as cap · tanh(x / cap). */
  readonly attentionCap?: number;
  readonly logitCap?: number;
  /** Multiplies the embedding. Default 1. */
  readonly embeddingScale?: number;
  /** Attention and MLP both read the stream before the layer (GPT-NeoX). */
  readonly parallel: boolean;
}

/** @throws MsaeError `file` when the numbers do not go together */
export function checkArchitecture(name: string, architecture: Architecture): Architecture {
  const { width, heads, keyHeads, headWidth, rope, windowRope } = architecture;
  const fail = (message: string) => msaeError('file', `${name}: ${message}`, { file: name });
  if (!Number.isSafeInteger(headWidth)) throw fail(`a width of ${width} does not divide into ${heads} heads`);
  if (heads % keyHeads !== 0) throw fail(`${heads} heads do not share ${keyHeads} key heads evenly`);
  for (const { dimensions } of [rope, windowRope].filter((one) => one !== undefined)) {
    if (dimensions % 2 === 0 && dimensions >= 2 && dimensions <= headWidth) continue;
    throw fail(
      `rope of ${dimensions} dimensions, where a head has ${headWidth}; expected an even number up to it`,
    );
  }
  return architecture;
}
