/** One seed of the toy: its data, its SAE and its prefix draws all come from that seed. */
import { createSae, l1, type Sae } from '@msae/core';
import { type ToyTree, toyTree } from '@msae/data';
import { Trainer } from '@msae/train';
import { type ToyPreset, toyRecipe } from './toyRecipe.ts';

export interface ToyRunOptions {
  readonly preset: ToyPreset;
  readonly seed: number;
  readonly steps: number;
  readonly signal?: AbortSignal;
}

export interface ToyRun {
  /** The caller's to dispose. */
  readonly sae: Sae;
  readonly source: ToyTree;
  /** Whole training, data included. */
  readonly seconds: number;
  readonly stepsPerSecond: number;
}

/** Trains an SAE of as many latents as there are features, on the current tfjs backend. Null when it was aborted. */
export async function trainToy({ preset, seed, steps, signal }: ToyRunOptions): Promise<ToyRun | null> {
  const source = toyTree({ seed });
  const nLatents = source.nFeatures;
  const sae = createSae({ dModel: source.width, nLatents, penalty: l1(), init: 'reference', seed });
  const trainer = new Trainer(sae, {
    ...toyRecipe(preset, { totalSteps: steps, nLatents, seed }),
    reportEvery: Math.max(1, Math.floor(steps / 10)),
  });
  let kept = false;
  try {
    let seconds = 0;
    for await (const event of trainer.run(source, signal ? { signal } : {})) {
      if (event.type === 'done') seconds = event.seconds;
    }
    if (signal?.aborted) return null;
    kept = true;
    return { sae: trainer.sae, source, seconds, stepsPerSecond: steps / seconds };
  } finally {
    trainer.dispose();
    if (!kept) sae.dispose();
  }
}
