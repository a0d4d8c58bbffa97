/** Weights of a model under one set of names, whatever file they are in. The names are GGUF's: `blk.0.attn_q.weight`. */
import { msaeError } from '@msae/schema';
import type { TextTokenizer } from '../tokenizer.ts';
import type { Architecture } from './architecture.ts';
import type { Weight } from './storedTensor.ts';

export interface WeightSource {
  /** What error messages call it. */
  readonly name: string;
  readonly architecture: Architecture;
  /** Whether logits come from the embedding where there is no `output.weight`; else the model has none. */
  readonly tied: boolean;
  /** A weight by its name; undefined where the model has none. */
  find(name: string): Weight | undefined;
  /** SHA-256 over headers and samples of the data, hexadecimal. */
  fingerprint(): Promise<string>;
  tokenizer(): Promise<TextTokenizer | undefined>;
  close(): Promise<void>;
}

/** A weight of a known shape. @throws MsaeError `file` when it is not there, or not of that shape */
export function need(source: WeightSource, name: string, shape: readonly (number | undefined)[]): Weight {
  const found = optional(source, name, shape);
  if (found === undefined) {
    throw msaeError('file', `${source.name}: tensor ${name} is missing`, { file: source.name, tensor: name });
  }
  return found;
}

/** Like {@link need}, undefined when it is not there. */
export function optional(
  source: WeightSource,
  name: string,
  shape: readonly (number | undefined)[],
): Weight | undefined {
  const found = source.find(name);
  if (found === undefined) return undefined;
  const fits =
    found.shape.length === shape.length && shape.every((n, i) => n === undefined || n === found.shape[i]);
  if (!fits) {
    throw msaeError(
      'file',
      `${source.name}: tensor ${name} (${found.tensor.name}) has shape [${found.shape.join(', ')}]; expected [${shape.map((n) => n ?? 'any').join(', ')}]`,
      { file: source.name, tensor: found.tensor.name },
    );
  }
  return found;
}
