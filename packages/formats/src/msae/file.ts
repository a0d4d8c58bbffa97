/**
 * The native format: a folder with sae.safetensors (the core parameters under their own names, the skip matrix, arrays of the
 * transform's steps as `transform.input.0.mean` …) and msae.json, which holds the rest of the SAE. Nothing is folded, so what
 * is read is bit for bit what was written.
 */
import type { PrefixRecord, SaeConfig, SaeRecord } from '@msae/core';

export const configFile = 'msae.json';
export const weightsFile = 'sae.safetensors';

/** msae.json; version 1 had the fields of `config` at the top, `inputScale`, `normalize` and `reshape`. */
export interface MsaeJson {
  readonly format: 'msae';
  readonly version: 2;
  readonly config: SaeConfig;
  /** Steps without their arrays; `output` of transcoders only. */
  readonly transform: { readonly input: readonly object[]; readonly output?: readonly object[] };
  readonly inferenceThreshold: number | null;
  readonly prefixes: PrefixRecord | null;
  readonly record: SaeRecord;
}

/** The tensor of a step's array. */
export const stepTensor = (side: 'input' | 'output', i: number, name: string): string =>
  `transform.${side}.${i}.${name}`;
