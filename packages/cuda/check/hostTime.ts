/**
 * The host's time of a training step, with a device that does nothing. For profiles on any machine:
 * `MSAE_CUDA_IDLE=1 MSAE_CUDA_EMULATE=$(npx tsx packages/cuda/scripts/buildEmulator.ts) npx tsx packages/cuda/check/hostTime.ts`.
 */
import { useCuda } from '../src/useCuda.ts';
import { prefixesOf, startTraining } from './stepTime.ts';

await useCuda();
for (const [d, n, batch] of [
  [512, 4096, 1024],
  [768, 24_576, 1024],
] as const) {
  const training = startTraining({ d, n, batch, k: 32 });
  for (const kind of ['ten', 'every'] as const) {
    const prefixes = prefixesOf(kind, n);
    const steps = 2000;
    for (let i = 0; i < 500; i++) training.step(prefixes);
    const from = performance.now();
    for (let i = 0; i < steps; i++) training.step(prefixes);
    const ms = (performance.now() - from) / steps;
    process.stdout.write(`N ${n}, ${kind} prefixes: ${(1000 * ms).toFixed(0)} µs a step\n`);
  }
  training.dispose();
}
