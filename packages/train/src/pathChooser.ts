/**
 * Dense or sparse, by measured density L0 / N with hysteresis: the sparse path costs O(L0) a row, the dense one O(N), and
 * both give the same numbers to rounding. The choice is part of a checkpoint, so a resumed run takes the same path.
 */
import type { SaeConfig } from '@msae/core';
import type { StepPath } from './stepGradients.ts';

export interface PathChooser {
  current(): StepPath;
  /** Should the density be read back at this step (steps done)? */
  wantsDensity(step: number): boolean;
  observe(step: number, l0: number): void;
  restore(path: StepPath): void;
}

/** Below the first density the sparse path is taken, above the second the dense one. */
const SPARSE_BELOW = 0.1;
const DENSE_ABOVE = 0.2;
/** With so few latents the sparse path's fixed costs are lower at any density. */
const ALWAYS_SPARSE_LATENTS = 64;
const LOOK_EVERY = 50;

export function createPathChooser(config: SaeConfig, option: 'auto' | StepPath): PathChooser {
  const { activation, nLatents } = config;
  let path: StepPath = 'dense';
  let fixed = true;
  if (option !== 'auto') path = option;
  else if (activation.kind === 'identity') path = 'dense';
  else if (activation.kind === 'topk' || activation.kind === 'batchtopk') {
    path = activation.k / nLatents < DENSE_ABOVE || nLatents <= ALWAYS_SPARSE_LATENTS ? 'sparse' : 'dense';
  } else if (nLatents <= ALWAYS_SPARSE_LATENTS) path = 'sparse';
  else fixed = false;
  return {
    current: () => path,
    wantsDensity: (step) => !fixed && step % LOOK_EVERY === 0,
    observe(step, l0) {
      if (fixed || step % LOOK_EVERY !== 0) return;
      const density = l0 / nLatents;
      if (density < SPARSE_BELOW) path = 'sparse';
      else if (density > DENSE_ABOVE) path = 'dense';
    },
    restore(value) {
      path = value;
    },
  };
}
