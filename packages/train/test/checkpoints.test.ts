import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSae, l1, topK } from '@msae/core';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  type CheckpointStorage,
  memoryStorage,
  Trainer,
  type TrainerEvent,
  TrainerGroup,
  type TrainerOptions,
} from '../src/index.ts';
import { directoryStorage, jsonlFileSink } from '../src/node/index.ts';
import { useBackend } from './support/backends.ts';
import { metricsEvent } from './support/metricsEvent.ts';
import { seededBatches } from './support/seededBatches.ts';

const width = 6;
const source = () => seededBatches({ seed: 2, rows: 16, width });
const options: TrainerOptions = { totalSteps: 30, reportEvery: 1, learningRate: 1e-2 };
let directory = '';

beforeAll(() => useBackend('cpu'));
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'msae-checkpoints-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

async function collect(run: AsyncIterable<TrainerEvent>): Promise<TrainerEvent[]> {
  const events: TrainerEvent[] = [];
  for await (const event of run) events.push(event);
  return events;
}
const losses = (events: TrainerEvent[]): number[] =>
  events.filter((event) => event.type === 'metrics').map((event) => event.loss);

/** Trains with checkpoints every 5 steps until `stopAfter`, then closes everything. */
async function train(
  storage: CheckpointStorage,
  changes: Partial<TrainerOptions> = {},
): Promise<TrainerEvent[]> {
  const sae = createSae({ dModel: width, nLatents: 12, penalty: l1() });
  const trainer = new Trainer(sae, { ...options, checkpoints: { storage, everySteps: 5 }, ...changes });
  const events = await collect(trainer.run(source()));
  trainer.dispose();
  sae.dispose();
  return events;
}

describe('checkpoints', () => {
  it('come at the asked rhythm; the last three are kept', async () => {
    const storage = directoryStorage(directory);
    const events = await train(storage);
    const written = events.filter((event) => event.type === 'checkpoint');
    expect(written.map((event) => [event.step, event.final])).toEqual([
      [5, false],
      [10, false],
      [15, false],
      [20, false],
      [25, false],
      [30, true],
    ]);
    expect(readdirSync(directory)).toEqual(['step-0000000020', 'step-0000000025', 'step-0000000030']);
  });

  it.each([
    ['seekable', 'cpu'],
    ['not seekable', 'cpu'],
    ['seekable', 'wasm'],
  ] as const)('continue a run bit for bit, with a source that is %s, on %s', async (kind, backend) => {
    await useBackend(backend);
    const storage = memoryStorage();
    const whole = losses(await train(memoryStorage()));
    const abort = new AbortController();
    const sae = createSae({ dModel: width, nLatents: 12, penalty: l1() });
    const first = new Trainer(sae, { ...options, checkpoints: { storage } });
    const part: TrainerEvent[] = [];
    for await (const event of first.run(source(), { signal: abort.signal })) {
      part.push(event);
      if (event.type === 'metrics' && event.step === 13) abort.abort();
    }
    first.dispose();
    sae.dispose();
    const before = tf.memory().numTensors;
    const second = await Trainer.resume(storage);
    expect(second.step).toBe(13);
    const seekable = source();
    const rest = await collect(
      second.run(kind === 'seekable' ? seekable : { [Symbol.iterator]: () => seekable[Symbol.iterator]() }),
    );
    expect([...losses(part), ...losses(rest)]).toEqual(whole);
    const codes = rest.filter((event) => event.type === 'warning').map((event) => event.code);
    expect(codes).toEqual(kind === 'seekable' ? [] : ['source-replayed']);
    second.dispose();
    second.sae.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('of an older step can be resumed by name; those after it make way', async () => {
    const storage = memoryStorage();
    const whole = losses(await train(storage));
    const older = await Trainer.resume(storage, {
      name: 'step-0000000020',
      options: { checkpoints: { everySteps: 4 } },
    });
    expect(losses(await collect(older.run(source())))).toEqual(whole.slice(20));
    older.dispose();
    expect(await storage.list()).toEqual(['step-0000000024', 'step-0000000028', 'step-0000000030']);
  });

  it('of another run are not mixed with those of a new one', async () => {
    const storage = memoryStorage();
    await train(storage, { totalSteps: 6 });
    await expect(train(storage)).rejects.toThrow('holds those of another run already (step-0000000006)');
    expect(await storage.list()).toEqual(['step-0000000005', 'step-0000000006']);
  });

  it('name the options that have changed', async () => {
    const storage = memoryStorage();
    await train(storage);
    const changes = { totalSteps: 40, learningRate: 1e-3 };
    const trainer = await Trainer.resume(storage, { options: { ...options, ...changes } });
    const events = await collect(trainer.run(source()));
    expect(events[0]).toMatchObject({ type: 'warning', code: 'options-changed' });
    expect((events[0] as { message: string }).message).toContain('learningRate, totalSteps');
    trainer.dispose();
  });

  it('that are damaged, of another version or another SAE are refused', async () => {
    const storage = directoryStorage(directory);
    await train(storage, { totalSteps: 6 });
    const path = join(directory, 'step-0000000006');
    const resume = (): Promise<Trainer> => Trainer.resume(storage);
    const before = tf.memory().numTensors;
    const state = join(path, 'state.json');
    const weights = join(path, 'weights.safetensors');
    const [stateBytes, weightBytes] = [readFileSync(state), readFileSync(weights)];
    const json = JSON.parse(stateBytes.toString()) as Record<string, unknown>;

    truncateSync(weights, weightBytes.length - 100);
    await expect(resume()).rejects.toThrow(
      /weights\.safetensors.*truncated or damaged|weights\.safetensors.*bytes/,
    );
    writeFileSync(weights, weightBytes);
    truncateSync(state, 200);
    await expect(resume()).rejects.toThrow('checkpoint step-0000000006: state.json is not complete JSON');
    writeFileSync(state, JSON.stringify({ ...json, version: 9 }));
    await expect(resume()).rejects.toThrow('it has version 9, this release reads versions 1 and 2');
    writeFileSync(state, JSON.stringify({ ...json, format: 'x' }));
    await expect(resume()).rejects.toThrow('is not a training checkpoint');
    writeFileSync(state, JSON.stringify({ ...json, sae: { ...(json.sae as object), nLatents: 13 } }));
    await expect(resume()).rejects.toThrow('tensor W_enc has shape [6, 12], expected [6, 13]');
    rmSync(weights);
    writeFileSync(state, stateBytes);
    await expect(resume()).rejects.toThrow('there is no file weights.safetensors');
    writeFileSync(weights, weightBytes);
    await expect(Trainer.resume(storage, { name: 'step-7' })).rejects.toThrow(
      'there is no checkpoint step-7; there are step-0000000005, step-0000000006',
    );
    await expect(Trainer.resume(memoryStorage())).rejects.toThrow('there is no checkpoint yet');
    expect(tf.memory().numTensors).toBe(before);
    (await resume()).dispose();
  });

  it('are refused when the source has another position format', async () => {
    const storage = memoryStorage();
    await train(storage, { totalSteps: 6 });
    const trainer = await Trainer.resume(storage);
    const other = Object.assign([new Float32Array(width)], {
      position: () => ({}),
      seek: () => {
        throw new Error('position: it is not one of this source');
      },
    });
    await expect(collect(trainer.run(other))).rejects.toThrow('not one of this source');
    trainer.dispose();
  });
});

describe('a disk that fills up', () => {
  it('keeps the checkpoints there are, warns, and goes on', async () => {
    const inner = directoryStorage(directory);
    let writes = 0;
    const failing: CheckpointStorage = {
      ...inner,
      write: (name, files) => {
        writes++;
        if (writes < 3 || writes > 4) return inner.write(name, files);
        // The disk is full after the first 1,000 bytes of a file.
        return inner.write(
          name,
          files.map((file) => ({
            name: file.name,
            write: async (sink) => {
              let written = 0;
              await file.write({
                write: (bytes) => {
                  written += bytes.length;
                  if (written > 1000) throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
                  return sink.write(bytes);
                },
              });
            },
          })),
        );
      },
    };
    const events = await train(failing);
    const warnings = events.filter((event) => event.type === 'warning');
    expect(warnings.map((event) => event.step)).toEqual([15, 20]);
    expect(warnings[0]?.message).toContain('the disk is full');
    expect(readdirSync(directory)).toEqual(['step-0000000010', 'step-0000000025', 'step-0000000030']);
  });

  const mounted = join(tmpdir(), `msae-small-disk-${process.pid}`);
  const canMount = ((): boolean => {
    if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
    try {
      mkdirSync(mounted, { recursive: true });
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', mounted], { stdio: 'ignore' });
      execFileSync('umount', [mounted], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  })();
  it.skipIf(!canMount)('for real, on a tmpfs of 64 kB (needs root)', async () => {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', mounted]);
    try {
      const storage = directoryStorage(mounted);
      await train(storage, { totalSteps: 5 });
      // Fill it up: no second checkpoint fits.
      expect(() => {
        for (;;) writeFileSync(join(mounted, 'ballast'), new Uint8Array(4096), { flag: 'a' });
      }).toThrow('ENOSPC');
      const trainer = await Trainer.resume(storage, {
        options: { ...options, checkpoints: { everySteps: 5 } },
      });
      const abort = new AbortController();
      const seen: TrainerEvent[] = [];
      const run = async (): Promise<void> => {
        for await (const event of trainer.run(source(), { signal: abort.signal })) {
          seen.push(event);
          if (event.type === 'warning' && event.code === 'checkpoint-failed')
            rmSync(join(mounted, 'ballast'), { force: true });
        }
      };
      await run();
      expect(
        seen.find((event) => event.type === 'warning' && event.code === 'checkpoint-failed'),
      ).toMatchObject({
        step: 10,
      });
      expect(readdirSync(mounted)).toContain('step-0000000030');
      trainer.dispose();
    } finally {
      execFileSync('umount', [mounted]);
      rmSync(mounted, { recursive: true, force: true });
    }
  });
});

describe('a group', () => {
  const make = (): Record<string, Trainer> => ({
    relu: new Trainer(createSae({ dModel: width, nLatents: 12, penalty: l1() }), options),
    topk: new Trainer(createSae({ dModel: width, nLatents: 8, activation: topK(2) }), {
      ...options,
      totalSteps: 20,
    }),
  });

  it('trains each as if it were alone, and resumes all from one checkpoint', async () => {
    const alone: Record<string, number[]> = {};
    for (const [name, trainer] of Object.entries(make()))
      alone[name] = losses(await collect(trainer.run(source())));
    const storage = directoryStorage(directory);
    const together: Record<string, number[]> = { relu: [], topk: [] };
    const abort = new AbortController();
    const group = new TrainerGroup(make(), { checkpoints: { storage } });
    for await (const event of group.run(source(), { signal: abort.signal })) {
      if (event.type === 'metrics') together[event.trainer as string]?.push(event.loss);
      if (event.type === 'metrics' && event.step === 12 && event.trainer === 'topk') abort.abort();
    }
    const resumed = await TrainerGroup.resume(storage);
    for await (const event of resumed.run(source())) {
      if (event.type === 'metrics') together[event.trainer as string]?.push(event.loss);
      if (event.type === 'done')
        expect(event).toMatchObject({ step: 30, reason: 'completed', trainer: null });
    }
    expect(together).toEqual(alone);
    group.dispose();
    resumed.dispose();
  });

  it('refuses trainers that cannot share batches', () => {
    const trainers = make();
    const wide = new Trainer(createSae({ dModel: width + 1, nLatents: 8, activation: topK(2) }), options);
    expect(() => new TrainerGroup({ ...trainers, wide })).toThrow('wide has width 7');
    expect(() => new TrainerGroup({})).toThrow('at least one trainer');
    expect(() => new TrainerGroup({ '../x': trainers.relu as Trainer })).toThrow(
      'names files of checkpoints',
    );
  });
});

describe('a JSONL file', () => {
  it('reads like one run after a resume', async () => {
    const path = join(directory, 'metrics.jsonl');
    const first = jsonlFileSink({ path });
    for (const step of [1, 2, 3])
      await first.write(metricsEvent({ step, fvu: step === 2 ? Number.NaN : 0.5 }));
    await first.close();
    writeFileSync(path, `${readFileSync(path, 'utf8')}{"type":"metr`);
    const second = jsonlFileSink({ path, resumeStep: 2 });
    await second.write(metricsEvent({ step: 3, loss: 7 }));
    await second.close();
    const lines = readFileSync(path, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { step: number; loss: number; fvu: unknown });
    expect(lines.map((line) => line.step)).toEqual([1, 2, 3]);
    expect(lines[1]?.fvu).toBe('NaN');
    expect(lines[2]?.loss).toBe(7);
  });
});
