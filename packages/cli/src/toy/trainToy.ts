/** One seed of the toy: its data, its SAE and its prefix draws all come from that seed. */
import { createSae, l1 } from '@msae/core';
import { type ToyTree, toyTree } from '@msae/data';
import { type ExportedSae, type ToyPreset, Trainer, toyRecipe } from '@msae/train';

export interface ToyRunOptions {
  readonly preset: ToyPreset;
  readonly seed: number;
  readonly steps: number;
  readonly signal?: AbortSignal;
}

export interface ToyRun {
  readonly exported: ExportedSae;
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
  try {
    let seconds = 0;
    for await (const event of trainer.run(source, signal ? { signal } : {})) {
      if (event.type === 'done') seconds = event.seconds;
    }
    if (signal?.aborted) return null;
    return { exported: await trainer.export(), source, seconds, stepsPerSecond: steps / seconds };
  } finally {
    trainer.dispose();
    sae.dispose();
  }
}
