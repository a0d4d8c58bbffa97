/** The tensors of a checkpoint, asked for by name and shape; what is missing, misshapen or left over is an error. */
import type { WeightRef } from '../checkpoint.ts';
import { formatError, showShape } from '../formatError.ts';
import { readNumbers, type StoredTensor } from './storedTensor.ts';

export interface TensorTable {
  readonly file: string;
  readonly names: readonly string[];
  has(name: string): boolean;
  /** Axes of a tensor; undefined where there is none of that name. */
  rank(name: string): number | undefined;
  /** Shape of a tensor that must be there, with its number of axes. */
  shape(name: string, rank: number): readonly number[];
  /** A matrix; `transpose` when the file has it the other way round: `shape` is that of the file. */
  matrix(name: string, shape: readonly [number, number], options?: { transpose?: boolean }): WeightRef;
  vector(name: string, length: number): WeightRef;
  /** Of one element. */
  scalar(name: string): Promise<number>;
  /** A short list of numbers. */
  list(name: string): Promise<number[]>;
  /** Names that may be there and are not used. */
  ignore(...names: string[]): void;
  /** Throws when there are tensors nobody asked for. */
  finish(): void;
}

export function tensorTable(file: string, tensors: ReadonlyMap<string, StoredTensor>): TensorTable {
  const names = [...tensors.keys()];
  const used = new Set<string>();
  const listed = names.slice(0, 12).join(', ') + (names.length > 12 ? ', …' : '');
  const get = (name: string, expected: string): StoredTensor => {
    const tensor = tensors.get(name);
    used.add(name);
    if (!tensor) {
      const hint = names.length ? `the file has ${listed}` : 'the file has no tensors';
      throw formatError({ file, field: `tensor ${name}`, found: 'nothing', expected, hint });
    }
    return tensor;
  };
  const take = (name: string, shape: readonly number[]): StoredTensor => {
    const tensor = get(name, `a tensor of shape ${showShape(shape)}`);
    const same = tensor.shape.length === shape.length && shape.every((n, axis) => n === tensor.shape[axis]);
    if (same) return tensor;
    const turned =
      shape.length === 2 &&
      tensor.shape.length === 2 &&
      shape[0] === tensor.shape[1] &&
      shape[1] === tensor.shape[0];
    throw formatError({
      file,
      field: `tensor ${name}`,
      found: `shape ${showShape(tensor.shape)}`,
      expected: showShape(shape),
      ...(turned ? { hint: 'it is transposed' } : {}),
    });
  };
  const list = async (name: string): Promise<number[]> => readNumbers(get(name, 'a list of numbers'));
  return {
    file,
    names,
    has: (name) => tensors.has(name),
    rank: (name) => tensors.get(name)?.shape.length,
    shape(name, rank) {
      const { shape } = get(name, `a tensor with ${rank} axes`);
      used.delete(name);
      if (shape.length !== rank || shape.includes(0)) {
        throw formatError({
          file,
          field: `tensor ${name}`,
          found: `shape ${showShape(shape)}`,
          expected: `${rank} axes, none of them empty`,
        });
      }
      return shape;
    },
    matrix(name, shape, { transpose = false } = {}) {
      return { tensor: take(name, shape), transpose };
    },
    vector(name, length) {
      return { tensor: take(name, [length]) };
    },
    async scalar(name) {
      const values = await list(name);
      if (values.length !== 1) {
        throw formatError({
          file,
          field: `tensor ${name}`,
          found: `${values.length} elements`,
          expected: 'one number',
        });
      }
      return values[0]!;
    },
    list,
    ignore(...more) {
      for (const name of more) used.add(name);
    },
    finish() {
      const extra = names.filter((name) => !used.has(name));
      if (extra.length) {
        throw formatError({
          file,
          field: `tensor ${extra[0]}`,
          found: extra.length > 1 ? `it and ${extra.length - 1} more that do not belong` : 'it',
          expected: `only ${[...used].filter((name) => tensors.has(name)).join(', ')}`,
        });
      }
    },
  };
}
