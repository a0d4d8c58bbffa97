/**
 * What the code asks of a backend instead of its name. A backend package says it with `describeBackend`; for tfjs's own
 * backends it is said here.
 */
import * as tf from '@tensorflow/tfjs-core';

export interface BackendTraits {
  /** Can a tensor be read back in the middle of a step, without waiting? */
  readonly canReadSync: boolean;
  /** Largest error of a step's numbers against float64, relative to each tensor's largest magnitude. */
  readonly tolerance: number;
  /**
   * Densities L0 / N between which the sparse and the dense path cost the same: below the first the sparse one is taken, above
   * the second the dense one.
   */
  readonly breakEvenDensity: readonly [number, number];
  /** Which products with a transposed operand are fast as they are; the others transpose first. */
  readonly transposedMatMul: { readonly left: boolean; readonly right: boolean };
}

/** A backend that nobody has described. */
const unknown: BackendTraits = {
  canReadSync: false,
  tolerance: 2e-4,
  breakEvenDensity: [0.1, 0.2],
  transposedMatMul: { left: true, right: false },
};

// Transposed operands: wasm multiplies them with a scalar loop 40 times slower than transposing first, and WebGPU has no
// vectorised kernel for a transposed right side.
const described = new Map<string, BackendTraits>([
  [
    'cpu',
    {
      canReadSync: true,
      tolerance: 1e-4,
      breakEvenDensity: [0.35, 0.5],
      transposedMatMul: { left: true, right: true },
    },
  ],
  [
    'wasm',
    {
      canReadSync: true,
      tolerance: 1e-4,
      breakEvenDensity: [0.35, 0.5],
      transposedMatMul: { left: false, right: false },
    },
  ],
  [
    'tensorflow',
    {
      canReadSync: true,
      tolerance: 1e-4,
      breakEvenDensity: [0.1, 0.2],
      transposedMatMul: { left: true, right: true },
    },
  ],
  ['webgl', { ...unknown, canReadSync: true, tolerance: 1e-4 }],
  ['webgpu', unknown],
]);

/** Says what a backend is like, in place of what was said before. */
export function describeBackend(name: string, traits: Partial<BackendTraits>): void {
  described.set(name, { ...backendTraits(name), ...traits });
}

/** What the current backend, or the one called `name`, is like. */
export function backendTraits(name: string = tf.getBackend()): BackendTraits {
  return described.get(name) ?? unknown;
}

/** What a backend package says of the backend it has registered; printed by `msae doctor`. Core itself knows no backend. */
export interface BackendDescription {
  /** tfjs's name of the backend. */
  readonly name: string;
  /** For people: the adapter, the library's version, the processor. */
  readonly device: string;
  readonly precision: 'float32';
  readonly threads: number;
  readonly limits: {
    /** The largest single tensor. */
    readonly maxTensorBytes?: number;
    /** All tensors together. */
    readonly maxMemoryBytes?: number;
  };
  /** The kernels of the sparse path that run in code of their own here; the others are composed from stock ops. */
  readonly kernels: readonly string[];
}
