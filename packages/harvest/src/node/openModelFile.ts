/** Opens a model of this machine or of a Hugging Face repository, in onnxruntime-node. */

import { readFile, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { parseHubAddress } from '@msae/data';
import { check, givenBy, msaeError, object, optional, type Schema, text, whole } from '@msae/schema';
import { type OpenModelOptions, openModel, openModelEntries, type TransformerModel } from '../model.ts';
import { createTokenizer, type TextTokenizer } from '../tokenizer.ts';
import { type DownloadOptions, downloadModel } from './hub.ts';
import { loadOnnxRuntime } from './onnxRuntime.ts';

export interface OpenModelFileOptions
  extends Partial<Omit<OpenModelOptions, 'externalDataFolder'>>,
    DownloadOptions {
  /** Threads of onnxruntime; default: its own choice. */
  threads?: number;
}

const schema: Schema<OpenModelFileOptions> = object<OpenModelFileOptions>({
  runtime: optional(openModelEntries.runtime),
  name: openModelEntries.name,
  sessionOptions: openModelEntries.sessionOptions,
  threads: optional(whole({ min: 1, help: 'threads of onnxruntime' })),
  revision: optional(text({ help: 'branch, tag or commit on the hub' }), 'main'),
  modelFile: optional(text({ help: 'ONNX file of the repository' })),
  accessToken: optional(text({ help: 'for private and gated repositories' })),
  hubUrl: optional(text({ help: 'of a mirror' })),
  cacheDir: optional(text({ help: 'where downloads are kept' })),
  fetch: optional(givenBy<typeof fetch>('a function like fetch', (value) => typeof value === 'function')),
});

export interface OpenedModel {
  model: TransformerModel;
  /** Where the model file is. */
  path: string;
  /** The tokenizer.json beside the model, or one folder up. */
  tokenizer?: TextTokenizer;
}

/**
 * Opens `source`: the path of an ONNX file, a folder that holds one, or a Hugging Face repository (`owner/name` or
 * `hf://owner/name[@revision][/file.onnx]`), which is downloaded once.
 *
 * @throws MsaeError `option`; `file` when there is no such file or repository or it is no ONNX model; `missing` when external data is
 */
export async function openModelFile(
  source: string,
  options: OpenModelFileOptions = {},
): Promise<OpenedModel> {
  const { threads, runtime, sessionOptions = {}, name, ...rest } = check(schema, options, 'openModelFile');
  const path = await locate(source, rest);
  const bytes = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    throw msaeError('file', `${path}: cannot be read: ${cause.message}`, { cause });
  });
  const model = await openModel(bytes, {
    name: name ?? path,
    runtime: runtime ?? (await loadOnnxRuntime()),
    sessionOptions: { ...(threads !== undefined && { intraOpNumThreads: threads }), ...sessionOptions },
    externalDataFolder: dirname(resolve(path)),
  });
  for (const file of model.graph.externalFiles) {
    if (!(await exists(join(dirname(path), file)))) {
      throw msaeError(
        'missing',
        `${path}: its external data ${file} is missing; put it beside the model, under that very name`,
      );
    }
  }
  const tokenizer = await tokenizerBeside(path);
  return { model, path, ...(tokenizer && { tokenizer }) };
}

async function locate(source: string, options: DownloadOptions): Promise<string> {
  const found = await stat(source).catch(() => undefined);
  if (found?.isFile()) return source;
  if (found?.isDirectory()) {
    for (const file of ['model.onnx', join('onnx', 'model.onnx')]) {
      if (await exists(join(source, file))) return join(source, file);
    }
    throw msaeError(
      'file',
      `${source}: this folder holds neither model.onnx nor onnx/model.onnx; name the file`,
    );
  }
  const place = parseHubAddress(source, { bare: !source.endsWith('.onnx') });
  if (place !== undefined) {
    const { cacheDir, modelFile, ...access } = options;
    const located = { ...access, ...(modelFile && { path: modelFile }), ...place };
    return downloadModel(located, cacheDir).catch((cause: Error) => {
      if (source.startsWith('hf:')) throw cause;
      throw msaeError('file', `${source}: there is no such file here, and ${cause.message}`, { cause });
    });
  }
  throw msaeError(
    'file',
    `${source}: there is no such file; expected an ONNX file, a folder, or a Hugging Face repository: owner/name or hf://owner/name/file.onnx`,
  );
}

async function tokenizerBeside(path: string): Promise<TextTokenizer | undefined> {
  for (const folder of [dirname(path), join(dirname(path), '..')]) {
    const file = join(folder, 'tokenizer.json');
    if (!(await exists(file))) continue;
    const config = join(folder, 'tokenizer_config.json');
    return createTokenizer(await readJson(file), (await exists(config)) ? await readJson(config) : {}, file);
  }
  return undefined;
}

async function readJson(path: string): Promise<object> {
  const text = await readFile(path, 'utf8');
  try {
    return JSON.parse(text) as object;
  } catch (cause) {
    throw msaeError('file', `${path}: not JSON: ${(cause as Error).message}`, { cause });
  }
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
