/** `msae eval SAE --data STORE`: measures an SAE on stored activations, and on the model itself where one is given. */

import { resolve } from 'node:path';
import { readRows, streamRows } from '@msae/data';
import { openRows } from '@msae/data/node';
import { evaluateSae, logitEffects, type SaeEvaluation, saeLatents } from '@msae/eval';
import { type LoadedSae, loadSae } from '@msae/formats';
import { unembedding } from '@msae/harvest';
import { type OpenedModel, openModelFile } from '@msae/harvest/node';
import { BACKENDS, releaseNode, useNode } from '@msae/node';
import { msaeError } from '@msae/schema';
import { type CommandDef, defineCommand } from 'citty';
import { configArgument } from '../configFile.ts';
import { oneOf, wholeNumber } from '../flagValues.ts';
import { measureRecovered } from './evalRecovered.ts';
import { writeEvaluation } from './evaluationFile.ts';

const args = {
  sae: {
    type: 'positional',
    required: true,
    description: 'the SAE: a folder or file of any known format',
    valueHint: 'path',
  },
  data: {
    type: 'string',
    required: true,
    description:
      'activations to measure on, held out: a store of msae harvest, .npy, .npz, .safetensors, .parquet',
    valueHint: 'path',
  },
  rows: { type: 'string', description: 'measure on the first n rows only', valueHint: 'n' },
  prefixes: {
    type: 'string',
    description:
      "prefix lengths, ascending, separated by commas (default: the SAE's own, else five halvings)",
    valueHint: 'n,…',
  },
  out: { type: 'string', description: 'file for msae report', default: 'evaluation.json', valueHint: 'file' },
  name: { type: 'string', description: 'what a report calls it (default: the path)', valueHint: 'text' },
  model: {
    type: 'string',
    description:
      'the ONNX model the activations are of: adds token texts, logit effects and, with text, cross-entropy recovered',
    valueHint: 'path|owner/name',
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
  config: configArgument,
  json: { type: 'boolean', description: 'print the main figures as JSON' },
} as const;

const command = defineCommand({
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

export default command as unknown as CommandDef;

async function run(given: Record<string, string | boolean | undefined>): Promise<void> {
  const text = (name: string): string | undefined => given[name] as string | undefined;
  const whole = (name: string): number | undefined =>
    text(name) === undefined ? undefined : wholeNumber(name, text(name)!);
  const threads = whole('threads');
  const firstOnly = whole('rows');
  const maxTokens = whole('ce-tokens') ?? 8000;
  const asked = text('prefixes')?.split(',');
  const wanted = asked?.map((part) => wholeNumber('prefixes', part.trim()));
  const backend = oneOf('backend', text('backend') ?? 'auto', ['auto', ...BACKENDS]);
  if (text('text') !== undefined && given.brown)
    throw msaeError('option', '--text and --brown: give one of them');
  if (text('model') === undefined && (text('text') !== undefined || given.brown)) {
    throw msaeError('option', '--model is missing: cross-entropy on a text needs the model');
  }
  const rows = await openRows(text('data')!);
  const opened =
    text('model') === undefined
      ? undefined
      : await openModelFile(text('model')!, { ...(threads && { threads }) });
  const made = (rows as { index?: { metadata?: Record<string, string> } }).index?.metadata ?? {};
  if (opened && made.modelSha256 !== undefined && made.modelSha256 !== opened.model.fingerprint) {
    throw new Error(
      `--model: ${opened.path} is not the model that ${text('data')} was harvested from (its SHA-256 differs); give that one`,
    );
  }
  await useNode({ backend, ...(threads && { threads }) });
  const loaded = await loadSae(text('sae')!);
  const sae = plainSae(loaded, text('sae')!, rows.width);
  const prefixes = wanted ?? prefixLengths(loaded, sae.config.nLatents);
  const limit = Math.min(rows.length, firstOnly ?? rows.length);
  const progress =
    given.json || !process.stderr.isTTY
      ? undefined
      : (done: number) => process.stderr.write(`\r${done} of ${limit} rows `);
  const evaluation = await evaluateSae(sae, firstRows(rows, limit), {
    prefixes,
    totalRows: limit,
    ...(progress && { onProgress: progress }),
  });
  if (progress) process.stderr.write('\n');
  const tap = text('tap') ?? made.tap;
  const recovered =
    opened && (text('text') || given.brown)
      ? await measureRecovered({
          opened,
          tap,
          source: await saeLatents(sae),
          prefixes: evaluation.prefixes.map((p) => p.length),
          text: text('text'),
          maxTokens,
        })
      : undefined;
  const effects = opened && (await effectsOf(opened, sae));
  const out = resolve(text('out') ?? 'evaluation.json');
  const { tokenizer } = opened ?? {};
  await writeEvaluation(out, {
    name: text('name') ?? text('sae')!,
    facts: [
      { label: 'SAE', value: `${text('sae')}, ${loaded.format}, ${loaded.architecture}` },
      { label: 'Activations', value: `${text('data')}, ${limit} rows` },
    ],
    evaluation,
    ...(recovered && { recovered }),
    ...(effects && { logitEffects: effects }),
    ...(tokenizer && { vocabulary: Array.from({ length: tokenizer.size }, (_, id) => tokenizer.textOf(id)) }),
  });
  print(evaluation, recovered?.ceRecovered ?? null, out, given.json === true);
  loaded.dispose();
}

/** The core SAE, where it applies to raw activations of this width. */
function plainSae(loaded: LoadedSae, path: string, width: number): LoadedSae['sae'] {
  const { sae, preprocessing, skip } = loaded;
  if (sae.config.dModel !== width) {
    throw new Error(
      `${path}: the SAE was made for activations ${sae.config.dModel} wide, but the data is ${width} wide; give it the layer it was trained on`,
    );
  }
  if (preprocessing.normalize !== 'none' || preprocessing.reshape !== 'none' || skip) {
    throw new Error(
      `${path}: msae eval measures SAEs that apply to raw activations; this one needs ${skip ? 'a linear path beside the latents' : `the normalisation ${preprocessing.normalize}, reshape ${preprocessing.reshape}`}`,
    );
  }
  return sae;
}

function prefixLengths(loaded: LoadedSae, nLatents: number): number[] {
  const own = loaded.prefixes?.lengths;
  if (own && own.length <= 16) return Array.from(own);
  return [16, 8, 4, 2, 1].map((share) => Math.floor(nLatents / share)).filter((length) => length > 0);
}

async function* firstRows(rows: Parameters<typeof readRows>[0], limit: number) {
  if (limit === rows.length) {
    yield* streamRows(rows).batches({ batchSize: 2048 });
    return;
  }
  for (let at = 0; at < limit; at += 2048) yield readRows(rows, at, Math.min(limit, at + 2048));
}

async function effectsOf({ model }: OpenedModel, sae: LoadedSae['sae']) {
  const matrix = unembedding(model);
  if (!matrix || matrix.width !== sae.config.dModel) return undefined;
  const { decoder } = await saeLatents(sae);
  return logitEffects({
    decoder,
    unembedding: { data: matrix.data, rows: matrix.vocabulary, columns: matrix.width },
  });
}

function print(evaluation: SaeEvaluation, ceRecovered: number | null, out: string, json: boolean): void {
  const { reconstruction, sparsity, prefixes, forest, tokens } = evaluation;
  const figures = {
    tokens,
    fvu: reconstruction.fvu,
    l0: sparsity.l0,
    deadFraction: sparsity.deadFraction,
    ceRecovered,
    treeEdges: forest.edges,
    prefixes: prefixes.map(({ length, fvu, l0 }) => ({ length, fvu, l0 })),
    out,
  };
  if (json) {
    process.stdout.write(`${JSON.stringify(figures)}\n`);
    return;
  }
  const lines = [
    `FVU ${figures.fvu.toFixed(4)}, L0 ${figures.l0.toFixed(2)}, dead ${(100 * figures.deadFraction).toFixed(1)} %${ceRecovered === null ? '' : `, CE recovered ${ceRecovered.toFixed(4)}`}, ${forest.edges} edges in the forest`,
    ...prefixes.map(
      (p) =>
        `  first ${String(p.length).padStart(6)} latents: FVU ${p.fvu.toFixed(4)}, L0 ${p.l0.toFixed(2)}`,
    ),
    `${out} (msae report ${out} shows it)`,
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}
