/** Models of the Hugging Face hub: downloaded into the hub's own cache, once. */
import { dirname, join } from 'node:path';
import { downloadFileToCacheDir, listFiles } from '@huggingface/hub';

export interface HubOptions {
  /** Branch, tag or commit. Default "main". */
  revision?: string;
  /** File of the repository. Default: onnx/model.onnx, else model.onnx. */
  modelFile?: string;
  accessToken?: string;
  /** Where downloads are kept. Default: the hub's cache (HF_HOME). */
  cacheDir?: string;
  fetch?: typeof fetch;
}

/**
 * Downloads a model, its external data and its tokenizer.
 *
 * @returns the path of the ONNX file
 * @throws when the hub cannot be reached, or the repository or an ONNX file in it is not there
 */
export async function downloadModel(repo: string, options: HubOptions = {}): Promise<string> {
  const { revision = 'main', modelFile, accessToken, cacheDir } = options;
  const shared = {
    repo,
    revision,
    ...(accessToken !== undefined && { accessToken }),
    ...(options.fetch && { fetch: options.fetch }),
  };
  const files = await listed(repo, shared);
  const wanted = modelFile ?? ['onnx/model.onnx', 'model.onnx'].find((file) => files.includes(file));
  if (!wanted || !files.includes(wanted)) {
    const models = files.filter((file) => file.endsWith('.onnx'));
    const there = models.length > 0 ? `it has ${models.join(', ')}: name one` : 'it has no ONNX file';
    throw new Error(`${repo}: no ${wanted ?? 'onnx/model.onnx or model.onnx'} in this repository; ${there}`);
  }
  const beside = files.filter(
    (file) => dirname(file) === dirname(wanted) && file.startsWith(`${wanted}_data`),
  );
  const tokenizer = ['tokenizer.json', 'tokenizer_config.json'].filter((file) => files.includes(file));
  let path = '';
  for (const file of [...beside, ...tokenizer, wanted]) {
    path = await downloadFileToCacheDir({
      ...shared,
      path: file,
      ...(cacheDir !== undefined && { cacheDir }),
    });
  }
  return path;
}

async function listed(repo: string, shared: Parameters<typeof listFiles>[0]): Promise<string[]> {
  const files: string[] = [];
  try {
    for await (const file of listFiles({ ...shared, recursive: true })) {
      if (file.type === 'file') files.push(join(file.path));
    }
  } catch (cause) {
    throw new Error(
      `${repo}: there is no such file here, and the Hugging Face hub does not give it: ${(cause as Error).message}`,
      { cause },
    );
  }
  return files;
}
