import '@tensorflow/tfjs-backend-cpu';
import { createSae, topK } from '@msae/core';
import { toyTree } from '@msae/data';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import {
  type CheckpointStorage,
  opfsStorage,
  Trainer,
  type TrainerEvent,
  type TrainerOptions,
} from '../src/index.ts';

async function storageIn(
  name: string,
): Promise<{ storage: CheckpointStorage; directory: FileSystemDirectoryHandle }> {
  const root = await navigator.storage.getDirectory();
  await root.removeEntry(name, { recursive: true }).catch(() => undefined);
  const directory = await root.getDirectoryHandle(name, { create: true });
  return { storage: opfsStorage(directory), directory };
}

it('a run in a browser resumes bit for bit from checkpoints in OPFS', async () => {
  await tf.setBackend('cpu');
  const { storage, directory } = await storageIn('run');
  const options: TrainerOptions = { totalSteps: 40, batchSize: 50, reportEvery: 1, learningRate: 3e-3 };
  const start = (changes: Partial<TrainerOptions> = {}): Trainer =>
    new Trainer(createSae({ dModel: 20, nLatents: 20, activation: topK(2) }), { ...options, ...changes });
  const losses = async (trainer: Trainer, stopAt = Number.POSITIVE_INFINITY): Promise<number[]> => {
    const abort = new AbortController();
    const events: TrainerEvent[] = [];
    for await (const event of trainer.run(toyTree({ seed: 2 }), { signal: abort.signal })) {
      events.push(event);
      if (event.type === 'metrics' && event.step === stopAt) abort.abort();
    }
    return events.filter((event) => event.type === 'metrics').map((event) => event.loss);
  };
  const whole = await losses(start());
  const checkpoints = { storage, everySteps: 10, keep: 2 };
  const part = await losses(start({ checkpoints }), 25);
  expect(await storage.list()).toEqual(['step-0000000020', 'step-0000000025']);
  const resumed = await Trainer.resume(storage);
  expect([...part, ...(await losses(resumed))]).toEqual(whole);

  // Without its marker a checkpoint was never completed.
  await (await directory.getDirectoryHandle('step-0000000040')).removeEntry('complete');
  expect(await storage.list()).toEqual(['step-0000000030']);
  await expect(storage.read('step-0000000040', 'state.json')).rejects.toThrow('never completed');
});
