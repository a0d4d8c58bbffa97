/**
 * The write-up's toy: 20 features in a tree, three parents with three exclusive children each and eight that stand alone. A
 * vanilla SAE lets a child's latent absorb its parent; this one finds all twenty.
 *
 *     npx -y pnpm@12.21.0 --filter @msae-examples/toy-tree start [preset] [seed] [steps]
 *
 * Presets: best (default), encoder-only, full-prefix-only, reference, vanilla. `msae toy` measures them over many seeds.
 */
import { createSae, encode, l1 } from '@msae/core';
import { toyTree } from '@msae/data';
import { groundTruthMetrics, matchLatents, matrix } from '@msae/eval';
import { TOY_PRESETS, type ToyPreset, toyRecipe } from '@msae/lab';
import { releaseNode, useNode } from '@msae/node';
import { Trainer } from '@msae/train';
import * as tf from '@tensorflow/tfjs-core';

const [preset = 'best', seedText = '0', stepsText = '15000'] = process.argv.slice(2);
if (!(TOY_PRESETS as readonly string[]).includes(preset)) {
  throw new Error(`preset: one of ${TOY_PRESETS.join(', ')} was expected, got ${preset}`);
}
const [seed, totalSteps] = [Number(seedText), Number(stepsText)];
await useNode({ backend: 'cpu', threads: 1 }); // the fastest backend at this size

// Data, weights and prefix draws all come from the one seed.
const data = toyTree({ seed });
const [d, n] = [data.width, data.nFeatures];
const sae = createSae({ dModel: d, nLatents: n, penalty: l1(), init: 'reference', seed });
const trainer = new Trainer(sae, {
  ...toyRecipe(preset as ToyPreset, { totalSteps, nLatents: n, seed }),
  reportEvery: Math.ceil(totalSteps / 10),
});
for await (const event of trainer.run(data)) {
  if (event.type === 'metrics') {
    const { step, l0, fvu, penaltyCoefficient, stepsPerSecond } = event;
    console.log(
      `step ${String(step).padStart(6)}   L0 ${l0.toFixed(2)}   FVU ${fvu.toExponential(1)}   λ ${penaltyCoefficient.toFixed(3)}   ${stepsPerSecond.toFixed(0)} steps/s`,
    );
  } else if (event.type === 'warning') {
    console.log(`step ${String(event.step).padStart(6)}   ${event.message}`);
  }
}

// Fresh samples, with the truth beside them. The trained SAE takes raw activations.
const samples = data.sample(20_000);
const f = encode(trainer.sae, tf.tensor2d(samples.x, [samples.rows, d])); // [S, N]
const latents = (await f.data()) as Float32Array;
const decoder = matrix((await trainer.sae.params.W_dec.data()) as Float32Array, d);
const truth = matrix(data.features, d);
const match = matchLatents({ decoder, truth });
const { perFeature, l0, trueL0, tree } = groundTruthMetrics({
  match,
  latents: matrix(latents, n),
  features: matrix(samples.activations, n),
  truth,
  decoder,
  parentOfFeature: data.parentOf,
});

console.log('\nfeature            latent   cosine       F1');
perFeature.forEach((score, j) => {
  const parent = data.parentOf[j]!;
  const kind = parent >= 0 ? `child of ${parent}` : data.parentOf.includes(j) ? 'parent' : '';
  const cells = [String(match.latentOfFeature[j]), match.cosine[j]!.toFixed(4), score.f1.toFixed(4)];
  console.log(`${String(j).padStart(2)} ${kind.padEnd(14)}${cells.map((cell) => cell.padStart(9)).join('')}`);
});
console.log(
  `\nL0 ${l0.toFixed(3)} (true ${trueL0.toFixed(3)}), absorption ${tree?.absorption.toFixed(3)}, child · parent ${tree?.childLatentParentFeature.mean.toFixed(3)}`,
);
trainer.dispose();
sae.dispose();
releaseNode();
