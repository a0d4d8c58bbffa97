import { describe, expectTypeOf, it } from 'vitest';
import {
  createRng,
  everyPrefix,
  fixedWidths,
  type Prefixes,
  type PrefixScheme,
  type Rng,
  type RngState,
  truncatedPareto,
} from '../src/index.ts';

describe('public types', () => {
  it('schemes, draws and the stream', () => {
    expectTypeOf(truncatedPareto).returns.toEqualTypeOf<PrefixScheme>();
    expectTypeOf(everyPrefix().sample).parameters.toEqualTypeOf<[number, Rng]>();
    expectTypeOf(fixedWidths([1]).sample(2, createRng(0))).toEqualTypeOf<Prefixes>();
    expectTypeOf<Prefixes['lengths']>().toEqualTypeOf<ArrayLike<number>>();
    expectTypeOf({ lengths: [1, 2], weights: [1, 1] }).toExtend<Prefixes>();
    expectTypeOf(createRng).parameter(0).toEqualTypeOf<number | RngState>();
  });

  it('mistakes do not compile', () => {
    // @ts-expect-error a string is no seed
    () => createRng('0');
    // @ts-expect-error the option is called count
    () => truncatedPareto({ nPrefixes: 3 });
    // @ts-expect-error a reduction is sum or mean
    () => truncatedPareto({ reduction: 'max' });
  });
});
