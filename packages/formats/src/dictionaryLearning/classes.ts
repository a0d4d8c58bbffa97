/** The classes of dictionary_learning (0.1.0, `dictionary.py` and `trainers/*.py`): what each computes, how it lays out its tensors. */
import { type Activation, batchTopK, jumpRelu, relu, topK } from '@msae/core';

export interface DictClass {
  /** How it runs here; `k` only where the class has one. */
  activation(k: number): Activation;
  /** Its encoder sees x − b_dec. */
  readonly subtracts?: true;
  /** Matrices [d, N] and [N, d] under the core's names; else `encoder.weight`, `decoder.weight` of torch.nn.Linear. */
  readonly byRows?: true;
  /** The name of b_dec. */
  readonly bias: string;
  /** It has `r_mag`, `gate_bias` and `mag_bias` instead of an encoder's bias. */
  readonly gated?: true;
  /** A threshold per latent. */
  readonly thresholds?: true;
  /** It has `k`, and `threshold` of inference for those that need one. */
  readonly k?: true;
  /** Prefixes, as `group_sizes`. */
  readonly groups?: true;
}

export type ClassName =
  | 'AutoEncoder'
  | 'AutoEncoderNew'
  | 'GatedAutoEncoder'
  | 'JumpReluAutoEncoder'
  | 'AutoEncoderTopK'
  | 'BatchTopKSAE'
  | 'MatryoshkaBatchTopKSAE';

export const classes: Readonly<Record<ClassName, DictClass>> = {
  AutoEncoder: { activation: relu, subtracts: true, bias: 'bias' },
  AutoEncoderNew: { activation: relu, bias: 'decoder.bias' },
  GatedAutoEncoder: {
    activation: () => jumpRelu({ threshold: 0 }),
    subtracts: true,
    bias: 'decoder_bias',
    gated: true,
  },
  JumpReluAutoEncoder: {
    activation: () => jumpRelu({ threshold: 0 }),
    byRows: true,
    bias: 'b_dec',
    thresholds: true,
  },
  AutoEncoderTopK: { activation: topK, subtracts: true, bias: 'b_dec', k: true },
  BatchTopKSAE: { activation: batchTopK, subtracts: true, bias: 'b_dec', k: true },
  MatryoshkaBatchTopKSAE: {
    activation: batchTopK,
    subtracts: true,
    byRows: true,
    bias: 'b_dec',
    k: true,
    groups: true,
  },
};

export const classNames: readonly ClassName[] = Object.keys(classes) as ClassName[];

/** The class for an activation here, and the one for several prefixes. */
export const written: Readonly<
  Partial<Record<Activation['kind'], { readonly name: ClassName; readonly grouped?: ClassName }>>
> = {
  relu: { name: 'AutoEncoderNew' },
  topk: { name: 'AutoEncoderTopK' },
  batchtopk: { name: 'BatchTopKSAE', grouped: 'MatryoshkaBatchTopKSAE' },
  jumprelu: { name: 'JumpReluAutoEncoder' },
};
