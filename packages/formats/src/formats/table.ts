/** Every format. To add one: write its folder beside this one and put its reader, and its writer if it has one, here. */
import { dictionaryLearning } from '../dictionaryLearning/read.ts';
import { writeDictionaryLearning } from '../dictionaryLearning/write.ts';
import { gemmaScope } from '../gemmaScope/read.ts';
import { llamaScope } from '../llamaScope/read.ts';
import { msae } from '../msae/read.ts';
import { writeMsae } from '../msae/write.ts';
import { openai } from '../openai/read.ts';
import { saelens } from '../saelens/read.ts';
import { writeSaelens } from '../saelens/write.ts';
import { sparsify } from '../sparsify/read.ts';
import { writeSparsify } from '../sparsify/write.ts';
import { trainingCheckpoint } from '../trainingCheckpoint/read.ts';
import { writeUp } from '../writeUp/read.ts';
import type { Format, Writer } from './definition.ts';

export type FormatName =
  | 'msae'
  | 'msae_checkpoint'
  | 'saelens'
  | 'sparsify'
  | 'dictionary_learning'
  | 'gemma_scope'
  | 'llama_scope'
  | 'openai'
  | 'write_up';

/** In the order in which they are asked about a file. */
export const formats: Readonly<Record<FormatName, Format>> = {
  msae,
  msae_checkpoint: trainingCheckpoint,
  llama_scope: llamaScope,
  sparsify,
  saelens,
  gemma_scope: gemmaScope,
  openai,
  write_up: writeUp,
  dictionary_learning: dictionaryLearning,
};

export type WritableFormat = 'msae' | 'saelens' | 'sparsify' | 'dictionary_learning';

export const writers: Readonly<Record<WritableFormat, Writer>> = {
  msae: writeMsae,
  saelens: writeSaelens,
  sparsify: writeSparsify,
  dictionary_learning: writeDictionaryLearning,
};

/** The formats that can be written. */
export const writableFormats: readonly WritableFormat[] = Object.keys(writers) as WritableFormat[];
