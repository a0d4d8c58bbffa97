/**
 * The write-up's toy: 20 features in a tree, three parents with three exclusive children each and eight that stand alone. A
 * vanilla SAE lets a child's latent absorb its parent; this one finds all twenty.
 *
 *     pnpm --filter @msae-examples/toy-tree start [preset] [seed] [steps]
 *
 * Presets: best (default), encoder-only, full-prefix-only, reference, vanilla. `msae toy` measures them over many seeds.
 */
import { createSae, l1 } from '@msae/core';
import { toyTree } from '@msae/data';
import { groundTruthMetrics, matchLatents, matrix } from '@msae/eval';
import { releaseNode, useNode } from '@msae/node';
import { TOY_PRESETS, type ToyPreset, Trainer, toyRecipe } from '@msae/train';

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

// Fresh samples, with the truth beside them. The export applies to raw activations.
const { weights } = await trainer.export();
const samples = data.sample(20_000);
const latents = new Float32Array(samples.rows * n); // [S, N] relu(x W_enc + b_enc)
for (let row = 0; row < samples.rows; row++) {
  for (let i = 0; i < n; i++) {
    let pre = weights.b_enc[i]!;
    for (let k = 0; k < d; k++) pre += samples.x[row * d + k]! * weights.W_enc[k * n + i]!;
    latents[row * n + i] = Math.max(0, pre);
  }
}
const decoder = matrix(weights.W_dec, d);
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
