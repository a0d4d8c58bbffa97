/**
 * Transforms: what lies between a raw activation and what the weights see, as a list of steps in the order they are applied.
 * An empty list does nothing.
 */
import { check, list, msaeError, type Schema, variant } from '@msae/schema';
import type { Tensor, Tensor2D } from '@tensorflow/tfjs-core';
import { type Centre, centreDefinition } from './centre.ts';
import { type ConstantNorm, constantNormDefinition } from './constantNorm.ts';
import type { Affine, TransformDefinition, TransformOptions } from './definition.ts';
import { type LayerNorm, layerNormDefinition } from './layerNorm.ts';
import { type Scale, scaleDefinition } from './scale.ts';
import { type Whitening, whiteningDefinition } from './whitening.ts';

export type TransformStep = Scale | Centre | LayerNorm | ConstantNorm | Whitening;

/** Steps in the order in which they are applied to x. */
export type Transform = readonly TransformStep[];

type AnyDefinition = TransformDefinition<TransformOptions>;

const table: Readonly<Record<TransformStep['kind'], AnyDefinition>> = {
  scale: scaleDefinition as AnyDefinition,
  centre: centreDefinition as AnyDefinition,
  'layer-norm': layerNormDefinition as AnyDefinition,
  'constant-norm': constantNormDefinition as AnyDefinition,
  whitening: whiteningDefinition as AnyDefinition,
};

const schema: Schema<Transform> = list(
  variant<TransformStep>(
    'kind',
    Object.fromEntries(Object.values(table).map((definition) => [definition.kind, definition.schema])),
  ),
);

/** Arrays of a step by name, with their shapes: what a file stores as tensors. */
export function stepArrays(step: TransformStep, width: number): Readonly<Record<string, readonly number[]>> {
  return table[step.kind].arrays?.(step, width) ?? {};
}

/** Checks a transform of activations of this width. @throws MsaeError `option` or `shape` */
export function checkTransform(transform: Transform, width: number, where: string): Transform {
  const checked = check(schema, transform, where);
  for (const step of checked) {
    const fields: Record<string, unknown> = { ...step };
    for (const [name, shape] of Object.entries(stepArrays(step, width))) {
      const values = fields[name] as Float32Array;
      const wanted = shape.reduce((product, size) => product * size, 1);
      if (values.length !== wanted) {
        throw msaeError(
          'shape',
          `${where}: ${step.kind}: ${name}: expected ${wanted} values, got ${values.length}`,
        );
      }
    }
  }
  return checked;
}

/** x [B, d] → what the weights see, and the way back for outputs of the same rows. Call it inside a tidy. */
export function applyTransform(transform: Transform, x: Tensor2D): { z: Tensor2D; undo(z: Tensor): Tensor } {
  let z = x;
  const undos: ((z: Tensor) => Tensor)[] = [];
  for (const step of transform) {
    const applied = table[step.kind].apply(step, z);
    z = applied.z;
    undos.unshift(applied.undo);
  }
  return { z, undo: (out) => undos.reduce((value, undo) => undo(value), out) };
}

/** Does some step depend on the row, so that undoing it needs the row? */
export function dependsOnRow(transform: Transform): boolean {
  return transform.some((step) => table[step.kind].affine === undefined);
}

/**
 * Splits a transform into what has to be done row by row (a format may have a word for it) and the affine map that follows,
 * which folds into the weights. `undefined`: there is nothing to fold.
 */
export function splitTransform(
  transform: Transform,
  width: number,
): { rest: Transform; affine: Affine | undefined } {
  const last = transform.findLastIndex((step) => table[step.kind].affine === undefined);
  const affine = transform
    .slice(last + 1)
    .map((step) => table[step.kind].affine!(step, width))
    .reduce<Affine | undefined>(
      (all, next) => (all === undefined ? next : compose(all, next, width)),
      undefined,
    );
  return { rest: transform.slice(0, last + 1), affine };
}

/** First a, then b: (x·A + c)·B + e = x·(A·B) + (c·B + e). */
function compose(a: Affine, b: Affine, width: number): Affine {
  const offset = Float64Array.from(times(a.offset, 1, b, width), (value, i) => value + b.offset[i]!);
  const scale = a.scale * b.scale;
  if (a.matrix === undefined || b.matrix === undefined) {
    const matrix = a.matrix ?? b.matrix;
    return { scale, offset, ...(matrix && { matrix }) };
  }
  return {
    scale,
    offset,
    matrix: {
      forward: times(a.matrix.forward, width, { scale: 1, matrix: b.matrix, offset }, width),
      inverse: times(b.matrix.inverse, width, { scale: 1, matrix: inverted(a.matrix), offset }, width),
    },
  };
}

function inverted(matrix: NonNullable<Affine['matrix']>): NonNullable<Affine['matrix']> {
  return { forward: matrix.inverse, inverse: matrix.forward };
}

/** `rows` rows of `width` numbers, each times an affine map's A (its offset is not added). */
export function times(
  values: Float64Array,
  rows: number,
  { scale, matrix }: Affine,
  width: number,
): Float64Array {
  const out = new Float64Array(values.length);
  for (let r = 0; r < rows; r++) {
    for (let i = 0; i < width; i++) {
      const value = values[r * width + i]! * scale;
      if (matrix === undefined) {
        out[r * width + i]! += value;
        continue;
      }
      const row = i * width;
      for (let j = 0; j < width; j++) out[r * width + j]! += value * matrix.forward[row + j]!;
    }
  }
  return out;
}
