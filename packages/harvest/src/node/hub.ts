/** Models of the Hugging Face hub, downloaded once into a folder of their own. */
import { stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { type HubLocation, hubLocationSchema, hubRepository } from '@msae/data';
import { makeDirectory, writeFileAtomic } from '@msae/data/node';
import { check, msaeError } from '@msae/schema';

export interface DownloadOptions {
  /** Branch, tag or commit. Default "main". A revision that was downloaded is not asked for again. */
  revision?: string;
  /** File of the repository. Default: onnx/model.onnx, else model.onnx. */
  modelFile?: string;
  accessToken?: string;
  /** Default https://huggingface.co; for a mirror. */
  hubUrl?: string;
  /** Where downloads are kept. Default: $XDG_CACHE_HOME/msae/models, or ~/.cache/msae/models. */
  cacheDir?: string;
  fetch?: typeof fetch;
}

const usual = ['onnx/model.onnx', 'model.onnx'];

/**
 * Downloads a model, its external data, its tokenizer and its config.json.
 *
 * @param place its repository; a path in it names the ONNX file
 * @returns the path of the ONNX file
 * @throws MsaeError `file` when the hub cannot be reached, or the repository or an ONNX file in it is not there
 */
export async function downloadModel(place: HubLocation, cacheDir: string = defaultCache()): Promise<string> {
  const { repo, path: modelFile, revision = 'main', ...access } = check(hubLocationSchema, place, 'hub');
  const folder = join(cacheDir, repo.replace('/', '--'), encodeURIComponent(revision));
  for (const file of modelFile ? [modelFile] : usual) {
    // the model itself is written last: where it is, the rest is too
    if (await exists(join(folder, inside(file)))) return join(folder, file);
  }
  const repository = hubRepository({ repo, revision, ...access });
  const files = await repository.list();
  const models = files.filter((file) => file.endsWith('.onnx'));
  const only = models.length === 1 ? models[0] : undefined;
  const wanted = modelFile ?? usual.find((file) => files.includes(file)) ?? only;
  if (!wanted || !files.includes(wanted)) {
    const there = models.length > 0 ? `it has ${models.join(', ')}: name one` : 'it has no ONNX file';
    throw msaeError('file', `${repo}: no ${wanted ?? usual.join(' or ')} in this repository; ${there}`);
  }
  const external = files.filter((file) => file.startsWith(`${wanted}_data`) || file === `${wanted}.data`);
  const beside = ['tokenizer.json', 'tokenizer_config.json', 'config.json'].filter((file) =>
    files.includes(file),
  );
  for (const path of [...external, ...beside, wanted]) {
    const blob = await repository.download(path);
    if (!blob) throw msaeError('file', `${repo}: ${path} is listed, but the hub does not give it`);
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
    throw msaeError('option', `${path}: expected a path within the repository`);
  }
  return path;
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
