/** The words that SAELens (and version 1 of the native format) has for what is done to activations, as steps of a transform. */
import type { Transform } from '@msae/core';
import {
  type Checkpoint,
  type ConstantNormalization,
  constantNormalizations,
  type StoredStep,
  scaleStep,
} from './checkpoint.ts';

/** Words for steps that depend on the row; SAELens' ε of layer norm is fixed. */
const rowWise: Readonly<Record<RowWise, StoredStep>> = {
  layer_norm: { kind: 'layer-norm', numbers: { epsilon: 1e-5 } },
  constant_norm_rescale: { kind: 'constant-norm' },
};
type RowWise = 'layer_norm' | 'constant_norm_rescale';

const rowWiseWords = Object.keys(rowWise) as RowWise[];

export type Normalization = 'none' | RowWise | ConstantNormalization;
export const normalizations: readonly Normalization[] = ['none', ...rowWiseWords, ...constantNormalizations];

/** The word for steps that cannot be folded; undefined where there is none. */
export function wordFor(rest: Transform): Normalization | undefined {
  if (rest.length === 0) return 'none';
  if (rest.length > 1) return undefined;
  return rowWiseWords.find((word) => {
    const { kind, numbers = {} } = rowWise[word];
    return JSON.stringify({ kind, ...numbers }) === JSON.stringify(rest[0]);
  });
}

/** Steps for a word and an input scale; a normalisation whose constants are missing is noted, with a warning. */
export function normalization(
  word: Normalization,
  inputScale = 1,
): Pick<Checkpoint, 'transform' | 'needs' | 'warnings'> {
  const row = rowWiseWords.find((other) => other === word);
  const needs = constantNormalizations.find((other) => other === word);
  const input = [...(row ? [rowWise[row]] : []), ...(inputScale === 1 ? [] : [scaleStep(inputScale)])];
  return {
    ...(input.length > 0 && { transform: { input } }),
    ...(needs && { needs }),
    warnings: needs ? [missingConstants(needs)] : [],
  };
}

function missingConstants(word: string): string {
  return (
    `normalisation not folded: it was trained with ${word}, whose constants are not beside the weights; ` +
    'give it activations so normalised, or load with { inputScale }'
  );
}
