/**
 * The Matryoshka loss inside somebody else's training loop: @msae/sampler, @msae/core, and a stock tfjs optimizer.
 * `npx -y pnpm@12.21.0 --filter @msae-examples/embed start`
 */
import { createSae, decode, encode, l1, matryoshkaLoss, relu } from '@msae/core';
import { createRng, truncatedPareto } from '@msae/sampler';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';

await tf.setBackend('cpu');
const [dModel, nLatents, batchSize] = [16, 32, 256];
const rng = createRng(0);

// Activations with 24 hidden directions, each active in one row of twenty.
const directions = Array.from({ length: 24 }, () => Array.from({ length: dModel }, () => rng.normal() / 4));
function activations(): tf.Tensor2D {
  const x = new Float32Array(batchSize * dModel);
  for (let row = 0; row < batchSize; row++) {
    for (const direction of directions) {
      if (rng.next() > 0.05) continue;
      const size = 0.5 + rng.next();
      for (let c = 0; c < dModel; c++) x[row * dModel + c]! += size * direction[c]!;
    }
  }
  return tf.tensor2d(x, [batchSize, dModel]);
}

const sae = createSae({ dModel, nLatents, activation: relu(), penalty: l1(), seed: 0 });
const scheme = truncatedPareto({ count: 6, reduction: 'mean' });
const optimizer = tf.train.adam(1e-2);

for (let step = 1; step <= 1000; step++) {
  const x = activations();
  const prefixes = scheme.sample(nLatents, rng);
  optimizer.minimize(
    () => matryoshkaLoss(sae, x, { prefixes, penaltyCoefficient: 0.2 }),
    false,
    Object.values(sae.params),
  );
  if (step % 200 === 0) {
    const [error, l0] = tf.tidy(() => {
      const f = encode(sae, x);
      const residual = tf.sub(x, decode(sae, f));
      const fvu = tf.div(tf.sum(tf.square(residual)), tf.sum(tf.square(tf.sub(x, tf.mean(x, 0)))));
      return [fvu.dataSync()[0]!, tf.mean(tf.sum(tf.step(f), 1)).dataSync()[0]!];
    });
    console.log(`step ${step}  FVU ${error.toFixed(4)}  L0 ${l0.toFixed(2)}`);
  }
  x.dispose();
}
