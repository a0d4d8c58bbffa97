/**
 * How many steps the two sparsity controllers take until L0 is on target and stays there: the toy tree and a bench of 128
 * features in 48 dimensions, each from three starting coefficients. On target: the running average (.99) of L0 within 5 %
 * until the end. `npx tsx tools/bench/controllers.ts [steps]`
 */
import { createSae, l1, log, type Penalty } from '@msae/core';
import { type ActivationSource, synthBench, toyTree } from '@msae/data';
import { useNode } from '@msae/node';
import { truncatedPareto } from '@msae/sampler';
import { type SparsityControllerOptions, Trainer, wsdSchedule } from '@msae/train';

const totalSteps = Number(process.argv[2] ?? 6000);
await useNode({ backend: 'cpu' });

interface Task {
  name: string;
  source: () => ActivationSource;
  nLatents: number;
  penalty: Penalty;
  learningRate: number;
  targetL0: number;
}
const tasks: Task[] = [
  {
    name: 'toy tree, l1',
    source: () => toyTree({ seed: 0 }),
    nLatents: 20,
    penalty: l1(),
    learningRate: 1e-2,
    targetL0: 1.12,
  },
  {
    name: 'synthetic, log',
    source: () => synthBench({ nFeatures: 128, dModel: 48, seed: 0 }),
    nLatents: 128,
    penalty: log({ subtractLogEpsilon: true }),
    learningRate: 3e-3,
    targetL0: 6,
  },
];

async function stepsToTarget(
  task: Task,
  controller: SparsityControllerOptions,
): Promise<{ settled: number; end: number }> {
  const source = task.source();
  const sae = createSae({ dModel: source.width, nLatents: task.nLatents, penalty: task.penalty, seed: 0 });
  const trainer = new Trainer(sae, {
    totalSteps,
    batchSize: 200,
    prefixes: truncatedPareto({ count: 5, reduction: 'mean' }),
    learningRate: task.learningRate,
    schedule: wsdSchedule({ warmupSteps: 100, decayFraction: 0 }),
    sparsityController: controller,
    reportEvery: 1,
  });
  let average = Number.NaN;
  let settled = 0;
  for await (const event of trainer.run(source)) {
    if (event.type !== 'metrics') continue;
    average = Number.isNaN(average) ? event.l0 : 0.99 * average + 0.01 * event.l0;
    if (Math.abs(average / task.targetL0 - 1) > 0.05) settled = event.step;
  }
  trainer.dispose();
  sae.dispose();
  return { settled, end: average };
}

for (const task of tasks) {
  for (const start of [0.005, 0.05, 0.5]) {
    for (const kind of ['reference', 'pi'] as const) {
      const { settled, end } = await stepsToTarget(task, { kind, targetL0: task.targetL0, start });
      const took = settled === totalSteps ? `not within ${totalSteps} steps` : `${settled} steps`;
      console.log(
        `${task.name.padEnd(15)} target ${task.targetL0}  λ from ${String(start).padEnd(5)}  ${kind.padEnd(9)}  ${took} (L0 ${end.toFixed(2)} at the end)`,
      );
    }
  }
}
