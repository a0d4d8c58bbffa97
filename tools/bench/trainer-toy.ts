/**
 * Steps per second of the trainer on the write-up's toy (N = 20, d = 20, B = 200, P = 10), data included.
 * `npx tsx tools/bench/trainer-toy.ts [backend] [steps] [dense|sparse|auto]`
 */
import { createSae, l1 } from '@msae/core';
import { toyTree } from '@msae/data';
import { type BackendName, useNode } from '@msae/node';
import { referencePreset, Trainer } from '@msae/train';

const [backend = 'cpu', steps = '3000', path = 'auto'] = process.argv.slice(2);
await useNode({ backend: backend as BackendName, threads: 1 });
const sae = createSae({ dModel: 20, nLatents: 20, penalty: l1(), seed: 0 });
const trainer = new Trainer(sae, {
  ...referencePreset({ totalSteps: Number(steps) }),
  batchSize: 200,
  path: path as 'dense' | 'sparse' | 'auto',
  reportEvery: Number(steps) / 10,
});
for await (const event of trainer.run(toyTree({ seed: 0 }))) {
  if (event.type === 'metrics') {
    const { step, stepsPerSecond, l0, fvu } = event;
    console.log(
      `step ${step}: ${stepsPerSecond.toFixed(0)} steps/s, L0 ${l0.toFixed(2)}, FVU ${fvu.toFixed(4)}, ${event.path}`,
    );
  } else if (event.type === 'done') {
    console.log(`${backend}: ${(event.step / event.seconds).toFixed(0)} steps/s over ${event.step} steps`);
  }
}
process.exit(0);
