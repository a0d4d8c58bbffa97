/** What `msae train` does with a configuration: data, SAE, trainer, sinks, and the trained SAE at the end. */
import { join } from 'node:path';
import { createSae } from '@msae/core';
import { streamRows } from '@msae/data';
import { makeDirectory, openRows, writeFileAtomic } from '@msae/data/node';
import { saveSae } from '@msae/formats';
import { releaseNode, useNode } from '@msae/node';
import { msaeError } from '@msae/schema';
import { type DoneEvent, type EventSink, type MetricsEvent, Trainer, type TrainerOptions } from '@msae/train';
import { directoryStorage, jsonlFileSink, tensorboardSink } from '@msae/train/node';
import { readJson } from '../configFile.ts';
import { isObject, type Json } from '../options/fromFlags.ts';
import { fingerprintOf } from './dataFingerprint.ts';
import { type TrainConfig, trainerOptionsOf } from './trainConfig.ts';
import { consoleSink, jsonSink } from './trainSinks.ts';

/** The settings of a run, and what its data was, kept in its directory. */
export const runFile = 'run.json';

export interface TrainRunOptions {
  readonly out: string;
  readonly resume: boolean;
  /** What flags and --config say; on resuming it is compared with the run's own. */
  readonly given: Json;
  readonly json: boolean;
  readonly tensorboard: boolean;
}

/** Trains to the end or until Ctrl-C; `finished` is false after an interrupt. */
export async function runTraining(
  config: TrainConfig,
  options: TrainRunOptions,
): Promise<{ finished: boolean }> {
  const { data } = config;
  const rows = await openRows(data.path, data.key === undefined ? {} : { key: data.key });
  const fingerprint = await fingerprintOf(rows);
  if (options.resume) await checkSameRun(config, options, fingerprint);
  const source = streamRows(rows, {
    shuffle: data.shuffle,
    epochs: epochsOf(config, rows.length),
    bufferBytes: data.bufferMiB * 2 ** 20,
  });
  const abort = new AbortController();
  const interrupt = (): void => abort.abort(new Error('interrupted'));
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  try {
    const { backend: name, matmul, threads } = config;
    const backend = await useNode({
      backend: name,
      ...(matmul !== undefined && { matmul }),
      ...(threads !== undefined && { threads }),
    });
    const storage = directoryStorage(join(options.out, 'checkpoints'));
    const trainerOptions: TrainerOptions = {
      ...trainerOptionsOf(config),
      totalSteps: totalStepsOf(config, rows.length),
      checkpoints: { storage, ...config.checkpoints },
    };
    const trainer = options.resume
      ? await Trainer.resume(storage, { options: trainerOptions })
      : new Trainer(createSae({ ...config.sae, dModel: rows.width }), trainerOptions);
    const sinks = sinksOf(options, trainer.step);
    await makeDirectory(options.out);
    const text = JSON.stringify({ ...config, fingerprint }, null, 2);
    await writeFileAtomic(join(options.out, runFile), `${text}\n`);
    if (!options.json) {
      const { nLatents, activation } = trainer.sae.config;
      process.stderr.write(
        `${data.path}: ${rows.length} rows of ${rows.width}; ${nLatents} latents, ${activation.kind}; ${backend.name}, ${backend.device}\n`,
      );
    }
    let last: MetricsEvent | null = null;
    let done: DoneEvent | null = null;
    try {
      for await (const event of trainer.run(source, { signal: abort.signal })) {
        for (const sink of sinks) await sink.write(event);
        if (event.type === 'metrics') last = event;
        if (event.type === 'done') done = event;
      }
    } finally {
      for (const sink of sinks) await sink.close();
    }
    const finished = done?.reason !== 'aborted';
    if (finished) {
      await saveSae(trainer.sae, join(options.out, 'sae'), {
        metadata: { dataset_path: data.path, dataset_fingerprint: fingerprint, settings: config },
      });
    }
    report(options, trainer, last, finished);
    trainer.dispose();
    return { finished };
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
    await source.close();
    releaseNode();
  }
}

/** @throws MsaeError for another SAE, or other data, than the run had. */
async function checkSameRun(
  config: TrainConfig,
  { out, given }: TrainRunOptions,
  fingerprint: string,
): Promise<void> {
  const file = join(out, runFile);
  const before = await readJson(file);
  if (!isObject(before)) throw msaeError('file', `${file}: expected the settings of a run`);
  const [was, now] = [isObject(before.sae) ? before.sae : {}, { ...config.sae } as Json];
  for (const name of isObject(given.sae) ? Object.keys(given.sae) : []) {
    if (JSON.stringify(was[name]) === JSON.stringify(now[name]) || name === 'seed') continue;
    throw msaeError(
      'option',
      `--resume: the run's SAE has ${name} ${JSON.stringify(was[name])}, not ${JSON.stringify(now[name])}; leave it out, or start a new run in another directory`,
    );
  }
  if (typeof before.fingerprint === 'string' && before.fingerprint !== fingerprint) {
    throw msaeError(
      'option',
      `--resume: ${config.data.path} is not the data that the run was trained on (${fingerprint} instead of ${before.fingerprint}); give the same data, or start a new run in another directory`,
    );
  }
}

/** Passes over the data: as said, else as many as the steps need. */
function epochsOf({ data, training }: TrainConfig, rows: number): number {
  if (data.epochs !== undefined) return data.epochs;
  const { totalSteps = 1, batchSize = 1024 } = training;
  return Math.max(1, Math.ceil((totalSteps * batchSize) / Math.max(1, rows)));
}

function totalStepsOf(config: TrainConfig, rows: number): number {
  const { batchSize = 1024, totalSteps } = config.training;
  const steps = totalSteps ?? Math.floor((rows * epochsOf(config, rows)) / batchSize);
  if (steps >= 1) return steps;
  throw new Error(
    `--batch: the data's ${rows} rows do not fill one batch of ${batchSize}; lower --batch or raise --epochs`,
  );
}

function sinksOf(options: TrainRunOptions, step: number): EventSink[] {
  const path = join(options.out, 'metrics.jsonl');
  const sinks: EventSink[] = [
    options.json ? jsonSink() : consoleSink(step),
    jsonlFileSink({ path, ...(options.resume && { resumeStep: step }) }),
  ];
  if (options.tensorboard) sinks.push(tensorboardSink({ directory: join(options.out, 'tensorboard') }));
  return sinks;
}

function report(
  options: TrainRunOptions,
  trainer: Trainer,
  last: MetricsEvent | null,
  finished: boolean,
): void {
  if (options.json) return;
  const figures = last === null ? '' : `, FVU ${last.fvu.toFixed(4)}, L0 ${last.l0.toFixed(1)}`;
  process.stderr.write(
    finished
      ? `${trainer.step} steps, ${trainer.tokens} rows${figures}; the SAE is in ${join(options.out, 'sae')}\n`
      : `interrupted after ${trainer.step} steps; run the same command with --resume to go on\n`,
  );
}
