/** What `msae train` does with a configuration: data, SAE, trainer, sinks, and the trained SAE at the end. */
import { join } from 'node:path';
import { createSae } from '@msae/core';
import { streamRows } from '@msae/data';
import { makeDirectory, openRows, writeFileAtomic } from '@msae/data/node';
import { saveSae } from '@msae/formats';
import { releaseNode, useNode } from '@msae/node';
import { type DoneEvent, type EventSink, type MetricsEvent, Trainer, type TrainerOptions } from '@msae/train';
import { directoryStorage, jsonlFileSink, tensorboardSink } from '@msae/train/node';
import { prefixScheme, type TrainConfig } from './trainConfig.ts';
import { consoleSink, jsonSink } from './trainSinks.ts';

/** The settings of a run, kept in its directory. */
export const runFile = 'run.json';

export interface TrainRunOptions {
  readonly out: string;
  readonly resume: boolean;
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
  const source = streamRows(rows, {
    shuffle: data.shuffle,
    epochs: epochsOf(config, rows.length),
    bufferBytes: data.bufferMiB * 2 ** 20,
  });
  const abort = new AbortController();
  const interrupt = (): void => abort.abort(new Error('interrupted'));
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  try {
    const backend = await useNode({
      backend: config.backend,
      ...(config.threads !== undefined && { threads: config.threads }),
    });
    const trainerOptions = trainerOptionsOf(config, options.out, rows.length);
    const trainer = options.resume
      ? await Trainer.resume(trainerOptions)
      : new Trainer(createSae({ ...config.sae, dModel: rows.width }), trainerOptions);
    const sinks = sinksOf(options, trainer.step);
    await makeDirectory(options.out);
    await writeFileAtomic(join(options.out, runFile), `${JSON.stringify(config, null, 2)}\n`);
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
    if (finished) await saveResult(trainer, config, options.out);
    report(options, trainer, last, finished);
    trainer.dispose();
    return { finished };
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
    await source.close();
    releaseNode();
  }
}

/** Passes over the data: as said, else as many as the steps need. */
function epochsOf({ data, training }: TrainConfig, rows: number): number {
  if (data.epochs !== undefined) return data.epochs;
  const { totalSteps = 1, batchSize } = training;
  return Math.max(1, Math.ceil((totalSteps * batchSize) / Math.max(1, rows)));
}

function trainerOptionsOf(config: TrainConfig, out: string, rows: number): TrainerOptions {
  const { training } = config;
  const steps = Math.floor((rows * epochsOf(config, rows)) / training.batchSize);
  const totalSteps = training.totalSteps ?? steps;
  if (totalSteps < 1) {
    throw new Error(
      `--batch: the data's ${rows} rows do not fill one batch of ${training.batchSize}; lower --batch or raise --epochs`,
    );
  }
  const { prefixes, phases, ...rest } = training;
  return {
    ...rest,
    totalSteps,
    prefixes: prefixScheme(prefixes),
    ...(phases && {
      phases: phases.map(({ prefixes: ofPhase, ...phase }) => ({
        ...phase,
        ...(ofPhase && { prefixes: prefixScheme(ofPhase) }),
      })),
    }),
    checkpoints: { storage: directoryStorage(join(out, 'checkpoints')), ...config.checkpoints },
  };
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

async function saveResult(trainer: Trainer, config: TrainConfig, out: string): Promise<void> {
  const { prefixes } = config.training;
  await saveSae(trainer.sae, join(out, 'sae'), {
    format: 'msae',
    inputScale: await trainer.inputScale(),
    training: {
      architecture: 'matryoshka',
      details: { steps: trainer.step, tokens: trainer.tokens, prefixes },
    },
    metadata: { dataset_path: config.data.path },
  });
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
