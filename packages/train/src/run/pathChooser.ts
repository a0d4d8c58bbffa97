/**
 * Dense or sparse, by measured density L0 / N with hysteresis: the sparse path costs O(L0) a row, the dense one O(N), and
 * both give the same numbers to rounding. The choice is part of a checkpoint, so a resumed run takes the same path.
 */
import { activationTraits, type SaeConfig } from '@msae/core';
import { backendTraits, prefixLossKernel } from '@msae/core/backend';
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

/** Chooses for the current backend; one without kernels of its own for the sparse path stays dense. */
export function createPathChooser(config: SaeConfig, option: 'auto' | StepPath): PathChooser {
  const { activation, nLatents } = config;
  const { fixedL0, selectsAll } = activationTraits(activation);
  const [sparseBelow, denseAbove] = backendTraits().breakEvenDensity;
  let path: StepPath = 'dense';
  let fixed = true;
  if (option !== 'auto') path = option;
  else if (selectsAll || !prefixLossKernel.isOwn()) path = 'dense';
  else if (nLatents <= ALWAYS_SPARSE_LATENTS) path = 'sparse';
  else if (fixedL0 !== undefined) path = fixedL0 / nLatents < denseAbove ? 'sparse' : 'dense';
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
