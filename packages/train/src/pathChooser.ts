/**
 * Dense or sparse, by measured density L0 / N with hysteresis: the sparse path costs O(L0) a row, the dense one O(N), and
 * both give the same numbers to rounding. The choice is part of a checkpoint, so a resumed run takes the same path.
 */
import { KERNEL, ownKernels, type SaeConfig } from '@msae/core';
import * as tf from '@tensorflow/tfjs-core';
import type { StepPath } from './stepGradients.ts';

export interface PathChooser {
  current(): StepPath;
  /** Should the density be read back at this step (steps done)? */
  wantsDensity(step: number): boolean;
  observe(step: number, l0: number): void;
  restore(path: StepPath): void;
}

/** With so few latents the sparse path's fixed costs are lower at any density. */
const ALWAYS_SPARSE_LATENTS = 64;
const LOOK_EVERY = 50;

/**
 * The sparse path is taken below the first density, the dense one above the second. On cpu and wasm the paths break even at
 * about half the latents active (`msae bench step --activation relu --l0 …`); a GPU's matrix products ask for more sparsity.
 */
function thresholds(backend: string): readonly [number, number] {
  return backend === 'cpu' || backend === 'wasm' ? [0.35, 0.5] : [0.1, 0.2];
}

/** Chooses for the current backend; one without kernels of its own for the sparse path stays dense. */
export function createPathChooser(config: SaeConfig, option: 'auto' | StepPath): PathChooser {
  const { activation, nLatents } = config;
  const [sparseBelow, denseAbove] = thresholds(tf.getBackend());
  let path: StepPath = 'dense';
  let fixed = true;
  if (option !== 'auto') path = option;
  else if (activation.kind === 'identity' || ownKernels([KERNEL.weightedPrefixDecode]).length === 0)
    path = 'dense';
  else if (nLatents <= ALWAYS_SPARSE_LATENTS) path = 'sparse';
  else if ('k' in activation) path = activation.k / nLatents < denseAbove ? 'sparse' : 'dense';
  else fixed = false;
  return {
    current: () => path,
    wantsDensity: (step) => !fixed && step % LOOK_EVERY === 0,
    observe(step, l0) {
      if (fixed || step % LOOK_EVERY !== 0) return;
      const density = l0 / nLatents;
      if (density < sparseBelow) path = 'sparse';
      else if (density > denseAbove) path = 'dense';
    },
    restore(value) {
      if (!fixed) path = value;
    },
  };
}
