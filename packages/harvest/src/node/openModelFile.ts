/** Opens a model of this machine or of a Hugging Face repository, in onnxruntime-node. */

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { parseHubAddress } from '@msae/data';
import { check, givenBy, msaeError, object, optional, type Schema, text, whole } from '@msae/schema';
import { type ExternalFile, fingerprintOf } from '../fingerprint.ts';
import { type OpenModelOptions, openGraph, openModelEntries, type TransformerModel } from '../model.ts';
import { parseGraph } from '../onnx/graph.ts';
import { createTokenizer, type TextTokenizer } from '../tokenizer.ts';
import { type DownloadOptions, downloadModel } from './hub.ts';
import { loadOnnxRuntime } from './onnxRuntime.ts';
import { openWeightsFile, weightsAt } from './openWeightsFile.ts';
import { proofFolder } from './proofFolder.ts';

export interface OpenModelFileOptions
  extends Partial<Omit<OpenModelOptions, 'externalDataFolder' | 'externalFiles'>>,
    DownloadOptions {
  /** Threads of onnxruntime; default: its own choice. */
  threads?: number;
}

const schema: Schema<OpenModelFileOptions> = object<OpenModelFileOptions>({
  ...openModelEntries,
  runtime: optional(openModelEntries.runtime),
  threads: optional(whole({ min: 1, help: 'threads of onnxruntime' })),
  revision: optional(text({ help: 'branch, tag or commit on the hub' }), 'main'),
  modelFile: optional(text({ help: 'ONNX file of the folder or repository' })),
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
 * Opens `source`: the path of an ONNX or GGUF file, a folder that holds one or a model's safetensors, or a Hugging Face repository (`owner/name` or
 * `hf://owner/name[@revision][/file.onnx]`), which is downloaded once. `modelFile` names the file where a folder has several.
 *
 * @throws MsaeError `option`; `file` when there is no such file or repository or it is no ONNX model; `missing` when external data is
 */
export async function openModelFile(
  source: string,
  options: OpenModelFileOptions = {},
): Promise<OpenedModel> {
  const {
    threads,
    runtime,
    sessionOptions = {},
    name,
    config,
    probe,
    proofs,
    ...rest
  } = check(schema, options, 'openModelFile');
  const path = (await weightsAt(source, rest.modelFile)) ?? (await locate(source, rest));
  const weights = await weightsAt(path);
  if (weights !== undefined) {
    const model = await openWeightsFile(weights, {
      runtime: runtime ?? (await loadOnnxRuntime()),
      sessionOptions: { ...(threads !== undefined && { intraOpNumThreads: threads }), ...sessionOptions },
      ...(name !== undefined && { name }),
    });
    return { model, path: weights, ...(model.tokenizer && { tokenizer: model.tokenizer }) };
  }
  const bytes = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    throw msaeError('file', `${path}: cannot be read: ${cause.message}`, { cause });
  });
  const graph = parseGraph(bytes, name ?? path);
  const external = await Promise.all(graph.externalFiles.map((file) => externalFile(path, file)));
  const known = config ?? (await configBeside(path));
  const model = await openGraph(graph, {
    runtime: runtime ?? (await loadOnnxRuntime()),
    sessionOptions: { ...(threads !== undefined && { intraOpNumThreads: threads }), ...sessionOptions },
    externalDataFolder: dirname(resolve(path)),
    fingerprint: await fingerprintOf(bytes, external),
    proofs: proofs ?? proofFolder(),
    ...(probe !== undefined && { probe }),
    ...(known && { config: known }),
  });
  const tokenizer = await tokenizerBeside(path);
  return { model, path, ...(tokenizer && { tokenizer }) };
}

async function externalFile(model: string, name: string): Promise<ExternalFile> {
  const path = join(dirname(model), name);
  const found = await stat(path).catch(() => undefined);
  if (!found) {
    throw msaeError(
      'missing',
      `${model}: its external data ${name} is missing; put it beside the model, under that very name`,
    );
  }
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return { name, size: found.size, sha256: hash.digest('hex') };
}

async function locate(source: string, options: DownloadOptions): Promise<string> {
  const found = await stat(source).catch(() => undefined);
  if (found?.isFile()) return source;
  if (found?.isDirectory()) return fileOf(source, options.modelFile);
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

/** The named ONNX file of a folder, model.onnx, or the only one there is. */
async function fileOf(folder: string, modelFile: string | undefined): Promise<string> {
  const usual = modelFile ? [modelFile, join('onnx', modelFile)] : ['model.onnx', join('onnx', 'model.onnx')];
  for (const file of usual) if (await exists(join(folder, file))) return join(folder, file);
  const inFolder = async (place: string): Promise<string[]> =>
    (await readdir(place).catch(() => []))
      .filter((file) => file.endsWith('.onnx'))
      .map((file) => join(place, file));
  const files = [...(await inFolder(folder)), ...(await inFolder(join(folder, 'onnx')))];
  const [only, ...more] = files;
  const list = files
    .map((file) => relative(folder, file))
    .sort()
    .join(', ');
  if (modelFile !== undefined) {
    throw msaeError(
      'file',
      `${folder}: there is no ${modelFile} in this folder${only ? `; it has ${list}` : ''}`,
    );
  }
  if (only !== undefined && more.length === 0) return only;
  throw msaeError(
    'file',
    `${folder}: this folder holds neither model.onnx nor onnx/model.onnx; ${only ? `it has ${list}: name one (modelFile, or --model-file)` : 'name the file'}`,
  );
}

/** The config.json beside the model, or one folder up. */
async function configBeside(path: string): Promise<Record<string, unknown> | undefined> {
  for (const folder of [dirname(path), join(dirname(path), '..')]) {
    const file = join(folder, 'config.json');
    if (!(await exists(file))) continue;
    const config = (await readJson(file)) as Record<string, unknown>;
    if (typeof config.model_type === 'string') return config;
  }
  return undefined;
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
