/** Which format a folder or file is: by the names that only one format uses, else by the tensors inside. */
import type { Checkpoint, FormatName } from './checkpoint.ts';
import { type Folder, readJson, subfolder } from './folder.ts';
import { formatError } from './formatError.ts';
import { readMsae } from './msae.ts';
import { readDictionaryLearning } from './readers/dictionaryLearning.ts';
import { readGemmaScope } from './readers/gemmaScope.ts';
import { readLlamaScope } from './readers/llamaScope.ts';
import { openSafetensors, openTorch } from './readers/openTensors.ts';
import { readOpenai, readWriteUp } from './readers/referencePt.ts';
import { readSaelens } from './readers/saelens.ts';
import { readSparsify } from './readers/sparsify.ts';
import { readTrainingCheckpoint } from './readers/trainingCheckpoint.ts';

/** The file each format is known by, in the order in which they are looked for. */
const marks: readonly (readonly [file: string, format: FormatName])[] = [
  ['msae.json', 'msae'],
  ['state.json', 'msae_checkpoint'],
  ['hyperparams.json', 'llama_scope'],
  ['sae_weights.safetensors', 'saelens'],
  ['sae.safetensors', 'sparsify'],
  ['params.npz', 'gemma_scope'],
  ['params.safetensors', 'gemma_scope'],
  ['ae.pt', 'dictionary_learning'],
];

/**
 * Reads the description of the SAE in `folder`, or in its file `path`.
 *
 * @param hint the user's own name for the place (Gemma Scope's folder names carry meaning)
 */
export async function readCheckpoint(folder: Folder, path?: string, hint = ''): Promise<Checkpoint> {
  if (path !== undefined) return readFile(folder, path, hint);
  const paths = await folder.list();
  const has = async (name: string): Promise<boolean> => {
    if (paths) return paths.includes(name);
    return (await folder.open(name)) !== undefined;
  };
  for (const [name] of marks) if (await has(name)) return readFile(folder, name, hint);
  return readUnmarked(folder, paths, hint);
}

async function readFile(folder: Folder, path: string, hint: string): Promise<Checkpoint> {
  const slash = path.lastIndexOf('/');
  const inner = slash < 0 ? folder : subfolder(folder, path.slice(0, slash));
  const name = path.slice(slash + 1);
  switch (name) {
    case 'msae.json':
      return readMsae(inner);
    case 'hyperparams.json':
      return readLlamaScope(inner);
    case 'cfg.json':
      return (await inner.open('sae.safetensors')) ? readSparsify(inner) : readSaelens(inner);
    case 'sae_weights.safetensors':
      return (await isLlamaScope(inner)) ? readLlamaScope(inner) : readSaelens(inner);
    case 'final.safetensors':
      if (slash >= 0 && path.includes('checkpoints/'))
        return readLlamaScope(subfolder(folder, path.slice(0, -'checkpoints/final.safetensors'.length)));
      break;
    case 'sae.safetensors':
      return (await inner.open('msae.json')) ? readMsae(inner) : readSparsify(inner);
  }
  const training = /^(.*)(?:state\.json|weights\.safetensors)$/.exec(name)?.[1];
  if (training !== undefined && (await inner.open(`${training}state.json`))) {
    return readTrainingCheckpoint(inner, training);
  }
  if (/\.npz$/i.test(name)) return readGemmaScope(inner, name, hint);
  if (/\.(pt|pth|bin|pkl)$/i.test(name)) return readTorch(folder, path);
  if (/\.safetensors$/i.test(name)) return readBareSafetensors(inner, name, hint);
  throw unknown(`${folder.name}/${path}`, `a file named ${name}`);
}

/** R1-Distill's layout shares its file name with SAELens, but has a config.json. */
async function isLlamaScope(folder: Folder): Promise<boolean> {
  if (await folder.open('cfg.json')) return false;
  const config = await readJson(folder, 'config.json');
  return config !== undefined && 'd_model' in config;
}

async function readTorch(folder: Folder, path: string): Promise<Checkpoint> {
  const { table } = await openTorch(folder, path);
  if (table.has('latent_bias') && table.has('pre_bias')) return readOpenai(folder, path);
  if (table.has('normalizer.running_avg')) return readWriteUp(folder, path);
  return readDictionaryLearning(folder, path);
}

async function readBareSafetensors(folder: Folder, name: string, hint: string): Promise<Checkpoint> {
  const table = await openSafetensors(folder, name);
  const lower = table.names.map((tensor) => tensor.toLowerCase());
  if (lower.includes('w_enc') && lower.includes('threshold')) return readGemmaScope(folder, name, hint);
  throw unknown(
    table.file,
    `the tensors ${table.names.slice(0, 8).join(', ')} without a configuration`,
    'give the folder, with its cfg.json, instead of the file',
  );
}

async function readUnmarked(
  folder: Folder,
  paths: readonly string[] | undefined,
  hint: string,
): Promise<Checkpoint> {
  if (!paths) {
    throw unknown(
      folder.name,
      'none of the usual files',
      'this place cannot be listed: give the address of the weights file',
    );
  }
  const loose = paths.filter((path) => !path.includes('/') && /\.(pt|pth|npz|safetensors)$/i.test(path));
  if (loose.length === 1) return readFile(folder, loose[0]!, hint);
  const names = new Set(marks.map(([name]) => name));
  const nested = paths.filter(
    (path) => path.includes('/') && names.has(path.slice(path.lastIndexOf('/') + 1)),
  );
  const folders = [...new Set(nested.map((path) => path.slice(0, path.lastIndexOf('/'))))];
  if (folders.length === 1) return readFile(folder, nested[0]!, hint);
  const several = folders.length ? folders : loose;
  if (several.length) {
    const listed = several.slice(0, 8).join(', ') + (several.length > 8 ? `, … (${several.length})` : '');
    throw unknown(folder.name, `several SAEs: ${listed}`, 'name one of them');
  }
  throw unknown(folder.name, paths.length ? `files such as ${paths.slice(0, 5).join(', ')}` : 'no files');
}

function unknown(file: string, found: string, hint?: string): Error {
  return formatError({
    file,
    field: 'format',
    found,
    expected: 'an SAE of SAELens, sparsify, dictionary_learning, Gemma Scope, Llama Scope, OpenAI or msae',
    ...(hint ? { hint } : {}),
  });
}
