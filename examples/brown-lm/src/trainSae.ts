/** Trains one SAE on the harvested activations, resumable, and hands it back ready for raw activations. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { batchTopK, createSae, log, none, relu, type Sae, saeFromWeights, topK } from '@msae/core';
import { type ActivationStore, readRows, streamRows } from '@msae/data';
import { writeFileAtomic } from '@msae/data/node';
import { saveSae } from '@msae/formats';
import { fixedWidths, fullPrefix, type PrefixScheme, truncatedPareto } from '@msae/sampler';
import { linearSchedule, type MetricsEvent, Trainer, type TrainerOptions } from '@msae/train';
import { directoryStorage, jsonlFileSink } from '@msae/train/node';
import type { JobOptions } from './options.ts';

export const N_LATENTS = 2048;
export const ACTIVE = 24;
/** Tokens a step. */
export const BATCH = 512;
export const PREFIXES: readonly number[] = [128, 256, 512, 1024, 2048];

export type Variant = 'matryoshka' | 'vanilla';

export interface TrainedSae {
  readonly variant: Variant;
  readonly seed: number;
  readonly sae: Sae;
  readonly curves: MetricsEvent[];
  /** Whether it was found finished on disk. */
  readonly found: boolean;
  /** Of training, runs before an interruption included. */
  readonly seconds: number;
  readonly tokensPerSecond: number;
  readonly folder: string;
}

export interface TrainSaeOptions {
  readonly variant: Variant;
  readonly seed: number;
  readonly store: ActivationStore;
  readonly job: JobOptions;
  readonly signal: AbortSignal;
  readonly onMetrics: (event: MetricsEvent) => void;
  readonly onWarning: (message: string) => void;
}

/** Trains, or goes on from the last checkpoint, or finds the run finished. Throws the signal's reason when aborted. */
export async function trainSae(options: TrainSaeOptions): Promise<TrainedSae> {
  const { variant, seed, store, job, signal } = options;
  const settings = trainerSettings(variant, seed, job);
  const key = createHash('sha256')
    .update(JSON.stringify([variant, seed, job.activation, job.prefixes, store.length, settings]))
    .digest('hex');
  const folder = join(job.out, `${variant}-seed${seed}-${key.slice(0, 8)}`);
  const storage = directoryStorage(join(folder, 'checkpoints'));
  const trainerOptions: TrainerOptions = { ...settings, checkpoints: { storage, everySteps: 500, keep: 1 } };
  const resumed = (await storage.list()).length > 0;
  const trainer = resumed
    ? await Trainer.resume(storage, { options: trainerOptions })
    : new Trainer(await initialSae(store, seed, job), trainerOptions);
  const metricsPath = join(folder, 'metrics.jsonl');
  const sink = jsonlFileSink({ path: metricsPath, ...(resumed && { resumeStep: trainer.step }) });
  const source = streamRows(store, { shuffle: seed, epochs: Number.POSITIVE_INFINITY, bufferBytes: 2 ** 29 });
  const [started, startTokens] = [performance.now(), trainer.tokens];
  try {
    for await (const event of trainer.run(source, { signal })) {
      await sink.write(event);
      if (event.type === 'metrics') options.onMetrics(event);
      if (event.type === 'warning') options.onWarning(event.message);
    }
  } finally {
    await sink.close();
    await source.close();
  }
  signal.throwIfAborted();
  const trained = trainer.tokens - startTokens;
  const time = await addTime(join(folder, 'time.json'), trained, (performance.now() - started) / 1000);
  const { sae } = trainer;
  trainer.dispose();
  await saveSae(sae, join(folder, 'sae'), {
    metadata: { model: 'brown-lm', tap: 'blocks.2.resid_post', seed },
  });
  return {
    variant,
    seed,
    sae,
    curves: await readCurves(metricsPath),
    found: trained === 0,
    seconds: time.seconds,
    tokensPerSecond: time.tokens / time.seconds,
    folder,
  };
}

/** The same for both variants but for the prefixes: what differs afterwards is their doing. */
function trainerSettings(variant: Variant, seed: number, job: JobOptions): TrainerOptions {
  const steered = job.activation === 'log';
  return {
    totalSteps: job.steps,
    batchSize: BATCH,
    prefixes: variant === 'vanilla' ? fullPrefix() : matryoshkaPrefixes(job),
    learningRate: 2e-3,
    schedule: linearSchedule({ warmupSteps: 100, endFactor: 0.02 }),
    unitNormDecoder: !steered,
    decoderBiasInit: { rows: BATCH },
    deadLatents: { afterTokens: 60_000, refreshEvery: 25 },
    auxiliaryLoss: { k: 64, coefficient: 1 },
    ...(steered && {
      sparsityController: {
        kind: 'pi',
        targetL0: ACTIVE,
        start: 0.1,
        warmupSteps: Math.floor(job.steps / 20),
      },
    }),
    reportEvery: 25,
    seed,
  };
}

function matryoshkaPrefixes(job: JobOptions): PrefixScheme {
  return job.prefixes === 'pareto' ? truncatedPareto({ count: 10 }) : fixedWidths(PREFIXES);
}

/**
 * Latents that start as directions of the data: each decoder row is a token's activation less the mean. Started at random, a
 * large part of the latents of so small a model would never fire.
 */
async function initialSae(store: ActivationStore, seed: number, job: JobOptions): Promise<Sae> {
  const config = {
    dModel: store.width,
    nLatents: N_LATENTS,
    activation:
      job.activation === 'log' ? relu() : job.activation === 'topk' ? topK(ACTIVE) : batchTopK(ACTIVE),
    penalty: job.activation === 'log' ? log({ epsilon: 0.1 }) : none(),
    applyBDecToInput: true,
    seed,
  };
  if (job.activation === 'log') return createSae({ ...config, init: 'tied' });
  const width = store.width;
  const { data, rows } = await readRows(store, 0, Math.min(store.length, 100_000));
  const mean = new Float64Array(width);
  for (let at = 0; at < data.length; at++) mean[at % width]! += data[at]! / rows;
  const W_dec = new Float32Array(N_LATENTS * width);
  const W_enc = new Float32Array(N_LATENTS * width);
  for (let i = 0; i < N_LATENTS; i++) {
    // Evenly spaced rows, other ones for every seed.
    const row = Math.floor((((i + 0.5) / N_LATENTS + 0.618034 * seed) % 1) * rows);
    let norm = 0;
    for (let k = 0; k < width; k++) norm += (data[row * width + k]! - mean[k]!) ** 2;
    for (let k = 0; k < width; k++) {
      const value = (data[row * width + k]! - mean[k]!) / Math.sqrt(norm);
      W_dec[i * width + k] = value;
      W_enc[k * N_LATENTS + i] = value;
    }
  }
  const { seed: _seed, ...saeConfig } = config;
  return saeFromWeights(saeConfig, {
    W_enc,
    W_dec,
    b_enc: new Float32Array(N_LATENTS),
    b_dec: new Float32Array(width),
  });
}

async function readCurves(path: string): Promise<MetricsEvent[]> {
  const lines = (await readFile(path, 'utf8')).split('\n').filter(Boolean);
  return lines.map((line) => JSON.parse(line) as MetricsEvent).filter((event) => event.type === 'metrics');
}

/** Adds a run's tokens and seconds to those of the runs before; a run that found nothing to do adds nothing. */
async function addTime(
  path: string,
  tokens: number,
  seconds: number,
): Promise<{ tokens: number; seconds: number }> {
  const text = await readFile(path, 'utf8').catch(() => '{"tokens":0,"seconds":0}');
  const before = JSON.parse(text) as { tokens: number; seconds: number };
  if (tokens === 0) return before;
  const sum = { tokens: before.tokens + tokens, seconds: before.seconds + seconds };
  await writeFileAtomic(path, `${JSON.stringify(sum)}\n`);
  return sum;
}
