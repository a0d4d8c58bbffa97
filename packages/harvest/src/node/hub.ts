/** Models of the Hugging Face hub, downloaded once into a folder of their own. */
import { stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { downloadFile, listFiles } from '@huggingface/hub';
import { makeDirectory, writeFileAtomic } from '@msae/data/node';

export interface HubOptions {
  /** Branch, tag or commit. Default "main". A revision that was downloaded is not asked for again. */
  revision?: string;
  /** File of the repository. Default: onnx/model.onnx, else model.onnx. */
  modelFile?: string;
  accessToken?: string;
  /** Where downloads are kept. Default: $XDG_CACHE_HOME/msae/models, or ~/.cache/msae/models. */
  cacheDir?: string;
  fetch?: typeof fetch;
}

const usual = ['onnx/model.onnx', 'model.onnx'];

/**
 * Downloads a model, its external data and its tokenizer.
 *
 * @returns the path of the ONNX file
 * @throws when the hub cannot be reached, or the repository or an ONNX file in it is not there
 */
export async function downloadModel(repo: string, options: HubOptions = {}): Promise<string> {
  const { revision = 'main', modelFile, accessToken, cacheDir = defaultCache() } = options;
  const folder = join(cacheDir, repo.replace('/', '--'), encodeURIComponent(revision));
  for (const file of modelFile ? [modelFile] : usual) {
    // the model itself is written last: where it is, the rest is too
    if (await exists(join(folder, inside(file)))) return join(folder, file);
  }
  const shared = {
    repo,
    revision,
    ...(accessToken !== undefined && { accessToken }),
    ...(options.fetch && { fetch: options.fetch }),
  };
  const files = await listed(repo, shared);
  const wanted = modelFile ?? usual.find((file) => files.includes(file));
  if (!wanted || !files.includes(wanted)) {
    const models = files.filter((file) => file.endsWith('.onnx'));
    const there = models.length > 0 ? `it has ${models.join(', ')}: name one` : 'it has no ONNX file';
    throw new Error(`${repo}: no ${wanted ?? usual.join(' or ')} in this repository; ${there}`);
  }
  const external = files.filter((file) => file.startsWith(`${wanted}_data`) || file === `${wanted}.data`);
  const tokenizer = ['tokenizer.json', 'tokenizer_config.json'].filter((file) => files.includes(file));
  for (const path of [...external, ...tokenizer, wanted]) {
    const blob = await downloadFile({ ...shared, path }).catch((cause: Error) => {
      throw new Error(`${repo}: ${path} does not download: ${cause.message}`, { cause });
    });
    if (!blob) throw new Error(`${repo}: ${path} is listed, but the hub does not give it`);
    const target = join(folder, inside(path));
    await makeDirectory(dirname(target));
    await writeFileAtomic(target, async (sink) => {
      for await (const chunk of blob.stream()) await sink.write(chunk);
    });
  }
  return join(folder, wanted);
}

function defaultCache(): string {
  const { XDG_CACHE_HOME } = process.env;
  return join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'msae', 'models');
}

/** A path of the repository that stays within the folder it is written to. */
function inside(path: string): string {
  if (path.startsWith('/') || path.split(/[/\\]/).includes('..')) {
    throw new Error(`${path}: expected a path within the repository`);
  }
  return path;
}

async function listed(repo: string, shared: Parameters<typeof listFiles>[0]): Promise<string[]> {
  const files: string[] = [];
  try {
    for await (const file of listFiles({ ...shared, recursive: true })) {
      if (file.type === 'file') files.push(file.path);
    }
  } catch (cause) {
    throw new Error(
      `${repo}: there is no such file here, and the Hugging Face hub does not give it: ${(cause as Error).message}`,
      { cause },
    );
  }
  return files;
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
