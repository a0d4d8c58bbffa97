/** x → active lists: the latents that a selection keeps of pre = (x − b_dec) W_enc + b_enc. */
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { defineKernel, f32, i32, isCount, isNumber, type Kernel, oneOf, optional } from '../defineKernel.ts';
import type { Score, Selection } from '../selection.ts';
import { composedEncode } from './composed.ts';
import { cpuEncode } from './cpu.ts';

export interface EncodeActiveInputs {
  /** [B, d] */
  readonly x: Tensor2D;
  /** [d, N] */
  readonly W_enc: Tensor2D;
  /** [N] */
  readonly b_enc: Tensor1D;
  /** [d], subtracted from every row of x */
  readonly b_dec?: Tensor1D | undefined;
  /** [N], needed by the rule `aboveThreshold` */
  readonly threshold?: Tensor1D | undefined;
}

/** A {@link Selection} with every field, and the width of the lists. */
export interface EncodeActiveAttrs {
  readonly rule: Selection['rule'];
  readonly score: Score;
  /** `perRow`: latents a row keeps; `perBatch`: values the batch keeps; else 0 */
  readonly keep: number;
  /** `above`; else 0 */
  readonly cutoff: number;
  /** `aboveThreshold`; else 0 */
  readonly margin: number;
  /** C, the width of the lists; `keep` under `perRow` */
  readonly capacity: number;
}

/**
 * Lists are rows of C latents in ascending order, then padding with index N and value 0. `counts[row]` is how many latents
 * belong into the row: above C it says that the list was cut, and the caller has to come back with more capacity. Under
 * `perBatch` a row can need more than C only if one of its values beyond the C-th is among the batch's `keep` largest: then its
 * count is C + 1. Score `value` keeps only values above 0. A row with a NaN lists one, so that the loss shows it.
 */
export interface EncodeActiveOutputs {
  /** int32 [B, C] */
  readonly indices: Tensor2D;
  /** [B, C] */
  readonly values: Tensor2D;
  /** int32 [B] */
  readonly counts: Tensor1D;
  /** [B, C], under `aboveThreshold`: pre of what is listed (`values` are 0 up to the threshold) */
  readonly pre?: Tensor2D | undefined;
  /** [1], under `perBatch`: the smallest score kept, 0 if none */
  readonly smallestKept?: Tensor1D | undefined;
}

export const encodeActiveKernel: Kernel<EncodeActiveInputs, EncodeActiveAttrs, EncodeActiveOutputs> =
  defineKernel<EncodeActiveInputs, EncodeActiveAttrs, EncodeActiveOutputs>({
    name: 'MsaeEncodeActive',
    inputs: {
      x: f32('B', 'd'),
      W_enc: f32('d', 'N'),
      b_enc: f32('N'),
      b_dec: optional(f32('d')),
      threshold: optional(f32('N')),
    },
    attrs: {
      rule: oneOf('perRow', 'perBatch', 'above', 'aboveThreshold'),
      score: oneOf('value', 'magnitude'),
      keep: isCount,
      cutoff: isNumber,
      margin: isNumber,
      capacity: isCount,
    },
    outputs: {
      indices: i32('B', 'C'),
      values: f32('B', 'C'),
      counts: i32('B'),
      pre: optional(f32('B', 'C')),
      smallestKept: optional(f32(1)),
    },
    composed: composedEncode,
    cpu: cpuEncode,
  });

/** The attributes of a selection at a capacity. */
export function encodeActiveAttrs(selection: Selection, capacity: number): EncodeActiveAttrs {
  return { keep: 0, cutoff: 0, margin: 0, ...selection, capacity };
}
