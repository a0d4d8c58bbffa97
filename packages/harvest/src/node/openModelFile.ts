/** Opens a model of this machine or of a Hugging Face repository, in onnxruntime-node. */
import { readFile, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { type OpenModelOptions, openModel, type TransformerModel } from '../model.ts';
import { createTokenizer, type TextTokenizer } from '../tokenizer.ts';
import { downloadModel, type HubOptions } from './hub.ts';
import { loadOnnxRuntime } from './onnxRuntime.ts';

export interface OpenModelFileOptions
  extends Partial<Omit<OpenModelOptions, 'externalDataFolder'>>,
    HubOptions {
  /** Threads of onnxruntime; default: its own choice. */
  threads?: number;
}

export interface OpenedModel {
  model: TransformerModel;
  /** Where the model file is. */
  path: string;
  /** The tokenizer.json beside the model, or one folder up. */
  tokenizer?: TextTokenizer;
}

/**
 * Opens `source`: the path of an ONNX file, a folder that holds one, or the name of a Hugging Face repository
 * ("owner/name"), which is downloaded once.
 *
 * @throws when there is no such file or repository, when it is no ONNX model, or when external data is missing
 */
export async function openModelFile(
  source: string,
  options: OpenModelFileOptions = {},
): Promise<OpenedModel> {
  const { threads, runtime, sessionOptions = {}, ...rest } = options;
  const path = await locate(source, rest);
  const bytes = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    throw new Error(`${path}: cannot be read: ${cause.message}`, { cause });
  });
  const model = await openModel(bytes, {
    ...rest,
    name: rest.name ?? path,
    runtime: runtime ?? (await loadOnnxRuntime()),
    sessionOptions: { ...(threads !== undefined && { intraOpNumThreads: threads }), ...sessionOptions },
    externalDataFolder: dirname(resolve(path)),
  });
  for (const file of model.graph.externalFiles) {
    if (!(await exists(join(dirname(path), file)))) {
      throw new Error(
        `${path}: its external data ${file} is missing; put it beside the model, under that very name`,
      );
    }
  }
  const tokenizer = await tokenizerBeside(path);
  return { model, path, ...(tokenizer && { tokenizer }) };
}

async function locate(source: string, options: HubOptions): Promise<string> {
  const found = await stat(source).catch(() => undefined);
  if (found?.isFile()) return source;
  if (found?.isDirectory()) {
    for (const file of ['model.onnx', join('onnx', 'model.onnx')]) {
      if (await exists(join(source, file))) return join(source, file);
    }
    throw new Error(`${source}: this folder holds neither model.onnx nor onnx/model.onnx; name the file`);
  }
  if (/^[\w.-]+\/[\w.-]+$/.test(source) && !source.endsWith('.onnx')) return downloadModel(source, options);
  throw new Error(
    `${source}: there is no such file; expected an ONNX file or a Hugging Face repo "owner/name"`,
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
    throw new Error(`${path}: not JSON: ${(cause as Error).message}`, { cause });
  }
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
