/** `msae eval SAE --data STORE`: measures an SAE on stored activations, and on the model itself where one is given. */
import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Sae } from '@msae/core';
import { type ActivationRows, readRows, streamRows } from '@msae/data';
import { checkWritable, openRows } from '@msae/data/node';
import {
  evaluate,
  logitEffects,
  type Metric,
  type SaeEvaluation,
  saeLatents,
  standardMetrics,
} from '@msae/eval';
import { loadSae } from '@msae/formats';
import { unembedding } from '@msae/harvest';
import { type OpenedModel, openModelFile } from '@msae/harvest/node';
import { BACKENDS, releaseNode, useNode } from '@msae/node';
import { msaeError } from '@msae/schema';
import type { CommandDef } from 'citty';
import { command } from '../command.ts';
import { configArgument } from '../configFile.ts';
import { oneOf, wholeNumber } from '../flagValues.ts';
import { forceArgument, refuseExisting } from '../outputs.ts';
import { type EvalFigures, printEvaluation } from './evalFigures.ts';
import { measureRecovered } from './evalRecovered.ts';
import { writeEvaluation } from './evaluationFile.ts';

const args = {
  sae: {
    type: 'positional',
    required: true,
    description: 'the SAE: a folder or file of any known format, or the directory of a run of msae train',
    valueHint: 'path',
  },
  data: {
    type: 'string',
    required: true,
    description:
      'activations to measure on, held out: a store of msae harvest, .npy, .npz, .safetensors, .parquet',
    valueHint: 'path',
  },
  key: {
    type: 'string',
    description: 'array, tensor or column of the data, where there are several',
    valueHint: 'name',
  },
  rows: { type: 'string', description: 'measure on the first n rows only', valueHint: 'n' },
  prefixes: {
    type: 'string',
    description:
      "prefix lengths, ascending, separated by commas (default: the SAE's own, else five halvings)",
    valueHint: 'n,…',
  },
  metric: {
    type: 'string',
    description:
      'modules whose default export is a metric of your own (a Metric of @msae/eval), separated by commas',
    valueHint: 'file.mjs,…',
  },
  out: { type: 'string', description: 'file for msae report', default: 'evaluation.json', valueHint: 'file' },
  name: { type: 'string', description: 'what a report calls it (default: the path)', valueHint: 'text' },
  model: {
    type: 'string',
    description:
      'the ONNX model the activations are of: adds token texts, logit effects and, with text, cross-entropy recovered',
    valueHint: 'path|owner/name',
  },
  'model-file': {
    type: 'string',
    description: 'which file of --model, where its folder or repo has several',
    valueHint: 'file',
  },
  tap: {
    type: 'string',
    description: 'where in the model (default: what the store says)',
    valueHint: 'name',
  },
  text: {
    type: 'string',
    description: 'text to measure cross-entropy on: a file or a folder of *.txt',
    valueHint: 'path',
  },
  brown: { type: 'boolean', description: 'measure it on the held-out tenth of the Brown corpus instead' },
  'ce-tokens': {
    type: 'string',
    description: 'predictions to measure it on',
    default: '8000',
    valueHint: 'n',
  },
  backend: {
    type: 'string',
    description: 'auto, cuda, tensorflow, webgpu, wasm or cpu',
    default: 'auto',
    valueHint: 'name',
  },
  threads: { type: 'string', description: 'CPU threads', valueHint: 'n' },
  force: forceArgument,
  config: configArgument,
  json: { type: 'boolean', description: 'print the main figures as JSON' },
} as const;

const definition: CommandDef = command({
  meta: {
    name: 'eval',
    description: 'Measure an SAE on activations: L0, FVU by prefix, dead latents, the forest, CE recovered',
  },
  args,
  async run({ args: given }) {
    try {
      await run(given as Record<string, string | boolean | undefined>);
    } finally {
      releaseNode();
    }
  },
});

export default definition;

/** Rows of a batch. */
const BATCH = 2048;

async function run(given: Record<string, string | boolean | undefined>): Promise<void> {
  const text = (name: string): string | undefined => given[name] as string | undefined;
  const whole = (name: string): number | undefined =>
    text(name) === undefined ? undefined : wholeNumber(name, text(name)!);
  const threads = whole('threads');
  const firstOnly = whole('rows');
  const maxTokens = whole('ce-tokens') ?? 8000;
  const wanted = text('prefixes')
    ?.split(',')
    .map((part) => wholeNumber('prefixes', part.trim()));
  const backend = oneOf('backend', text('backend') ?? 'auto', ['auto', ...BACKENDS]);
  if (text('text') !== undefined && given.brown)
    throw msaeError('option', '--text and --brown: give one of them');
  if (text('model') === undefined && (text('text') !== undefined || given.brown)) {
    throw msaeError('option', '--model is missing: cross-entropy on a text needs the model');
  }
  const own = await ownMetrics(text('metric'));
  const out = resolve(text('out') ?? 'evaluation.json');
  await refuseExisting(out, '--out', given.force === true);
  await checkWritable(out);
  const path = await saePath(text('sae')!);
  const key = text('key');
  const rows = await openRows(text('data')!, key === undefined ? {} : { key });
  const opened =
    text('model') === undefined
      ? undefined
      : await openModelFile(text('model')!, {
          ...(threads && { threads }),
          ...(text('model-file') !== undefined && { modelFile: text('model-file')! }),
        });
  const made = (rows as { index?: { metadata?: Record<string, string> } }).index?.metadata ?? {};
  if (opened && made.modelSha256 !== undefined && made.modelSha256 !== opened.model.fingerprint) {
    throw msaeError(
      'option',
      `--model: ${opened.path} is not the model that ${text('data')} was harvested from (its SHA-256 differs); give that one`,
    );
  }
  await useNode({ backend, ...(threads && { threads }) });
  const sae = await loadSae(path);
  for (const warning of sae.record.warnings) process.stderr.write(`warning: ${path}: ${warning}\n`);
  checkFits(sae, path, rows.width);
  const prefixes = wanted ?? prefixLengths(sae);
  const limit = Math.min(rows.length, firstOnly ?? rows.length);
  const progress =
    given.json || !process.stderr.isTTY
      ? undefined
      : (done: number) => process.stderr.write(`\r${done} of ${limit} rows `);
  const evaluation: SaeEvaluation = await evaluate(sae, firstRows(rows, limit), {
    metrics: [...standardMetrics(), ...own] as ReturnType<typeof standardMetrics>,
    prefixes,
    totalRows: limit,
    ...(progress && { onProgress: progress }),
  });
  if (progress) process.stderr.write('\n');
  const recovered =
    opened && (text('text') || given.brown)
      ? await measureRecovered({
          opened,
          tap: text('tap') ?? made.tap,
          sae,
          prefixes: evaluation.prefixes.map((p) => p.length),
          text: text('text'),
          maxTokens,
        })
      : undefined;
  const effects = opened && (await effectsOf(opened, sae));
  const { tokenizer } = opened ?? {};
  const { source } = sae.record;
  const figures: EvalFigures = { evaluation, recovered, out };
  await writeEvaluation(out, {
    name: text('name') ?? text('sae')!,
    facts: [
      { label: 'SAE', value: source ? `${path}, ${source.format}, ${source.architecture}` : path },
      { label: 'Activations', value: `${text('data')}, ${limit} rows` },
    ],
    evaluation,
    ...(recovered && { recovered }),
    ...(effects && { logitEffects: effects }),
    ...(tokenizer && { vocabulary: Array.from({ length: tokenizer.size }, (_, id) => tokenizer.textOf(id)) }),
  });
  printEvaluation(figures, given.json === true);
  sae.dispose();
}

/** The SAE of a run's directory, or the path itself. */
async function saePath(path: string): Promise<string> {
  const isThere = async (name: string): Promise<boolean> =>
    stat(join(path, name)).then(
      () => true,
      () => false,
    );
  if (!(await isThere('run.json'))) return path;
  if (await isThere('sae')) return join(path, 'sae');
  throw msaeError(
    'missing',
    `${path}: the run has not ended, so there is no SAE in it yet; resume it (msae train --out ${path} --resume), or name one of ${join(path, 'checkpoints')}`,
  );
}

/** Metrics out of modules of the user's own. */
async function ownMetrics(files: string | undefined): Promise<Metric[]> {
  const metrics: Metric[] = [];
  for (const file of files?.split(',') ?? []) {
    const module = (await import(pathToFileURL(resolve(file)).href).catch((cause: Error) => {
      throw msaeError('option', `--metric: ${file}: ${cause.message}`, { cause });
    })) as { default?: Metric | readonly Metric[] };
    const found = module.default === undefined ? [] : [module.default].flat();
    const isMetric = ({ name, start, add, result }: Partial<Metric>): boolean =>
      typeof name === 'string' && [start, add, result].every((part) => typeof part === 'function');
    if (found.length === 0 || !found.every((metric) => isMetric(metric ?? {}))) {
      throw msaeError(
        'option',
        `--metric: ${file}: expected a default export { name, start, add, result, table? }, or a list of such`,
      );
    }
    metrics.push(...found);
  }
  return metrics;
}

function checkFits({ config }: Sae, path: string, width: number): void {
  if (config.input.width !== width) {
    throw msaeError(
      'shape',
      `${path}: the SAE was made for activations ${config.input.width} wide, but the data is ${width} wide; give it the layer it was trained on`,
    );
  }
  if (config.output !== undefined) {
    throw msaeError(
      'unsupported',
      `${path}: the SAE is a transcoder: what it writes belongs to another site than ${width}-wide data of one site can say`,
    );
  }
}

function prefixLengths({ config: { nLatents }, prefixes }: Sae): number[] {
  if (prefixes && prefixes.lengths.length <= 16) return [...prefixes.lengths];
  return [16, 8, 4, 2, 1].map((share) => Math.floor(nLatents / share)).filter((length) => length > 0);
}

async function* firstRows(rows: ActivationRows, limit: number) {
  if (limit === rows.length) {
    yield* streamRows(rows).batches({ batchSize: BATCH });
    return;
  }
  for (let at = 0; at < limit; at += BATCH) yield readRows(rows, at, Math.min(limit, at + BATCH));
}

async function effectsOf({ model }: OpenedModel, sae: Sae) {
  const matrix = await unembedding(model);
  if (!matrix || matrix.width !== sae.config.input.width) return undefined;
  const { decoder } = await saeLatents(sae);
  return logitEffects({
    decoder,
    unembedding: { data: matrix.data, rows: matrix.vocabulary, columns: matrix.width },
  });
}
