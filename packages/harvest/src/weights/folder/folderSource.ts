/** Weights of a Hugging Face folder: config.json, model.safetensors or its shards, tokenizer.json. */
import { type RandomAccess, readSafetensors, type Safetensors } from '@msae/data';
import { msaeError } from '@msae/schema';
import { createTokenizer } from '../../tokenizer.ts';
import { fingerprintOf } from '../fingerprint.ts';
import type { StoredTensor } from '../storedTensor.ts';
import type { WeightSource } from '../weightSource.ts';
import { hfArchitecture } from './hfArchitecture.ts';
import { hfWeights } from './hfNames.ts';

/** Files by name: a folder on disk, behind a URL, in memory, or a repository of the hub (`hubRepository`). */
export interface WeightFolder {
  /** What error messages call it. */
  readonly name: string;
  /** A file; undefined where there is none. */
  open(path: string): Promise<RandomAccess | undefined>;
}

const single = 'model.safetensors';
const index = 'model.safetensors.index.json';
/** A JSON file beyond this is none of a model's (tokenizers take up to 40 MB). */
const maxJsonBytes = 2 ** 27;

/** @throws MsaeError `file`, `missing` or `unsupported`, naming the file, field or tensor */
export async function openFolder(folder: WeightFolder): Promise<WeightSource> {
  const config = await readJson(folder, 'config.json');
  if (config === undefined) {
    throw msaeError(
      'missing',
      `${folder.name}: there is no config.json; expected a Hugging Face folder with config.json and ${single}`,
      {
        file: folder.name,
      },
    );
  }
  const { architecture, tied } = hfArchitecture(config, `${folder.name}/config.json`);
  const shards = await openShards(folder);
  const tensors = new Map<string, StoredTensor>();
  for (const shard of shards) {
    for (const { name, dtype, shape, offset, byteLength, size } of shard.tensors.values()) {
      const type = { name: dtype as string, block: 1, bytes: size === 0 ? 0 : byteLength / size };
      tensors.set(name, { name, type, shape, source: shard.source, offset, byteLength });
    }
  }
  const find = prefixed(tensors);
  const weights = hfWeights(architecture, find);
  return {
    name: folder.name,
    architecture,
    tied,
    find: (name) => (tied && name.startsWith('output.') ? undefined : weights(name)),
    fingerprint: () =>
      fingerprintOf(
        shards.map(({ source, tensors }) => ({ source, headerBytes: dataStart(tensors, source) })),
        JSON.stringify(config),
      ),
    async tokenizer() {
      const json = await readJson(folder, 'tokenizer.json');
      if (json === undefined) return undefined;
      const settings = (await readJson(folder, 'tokenizer_config.json')) ?? {};
      return createTokenizer(json, settings, `${folder.name}/tokenizer.json`);
    },
    async close() {
      await Promise.all(shards.map((shard) => shard.close()));
    },
  };
}

const dataStart = (tensors: Safetensors['tensors'], source: RandomAccess): number =>
  [...tensors.values()].reduce((least, { offset }) => Math.min(least, offset), source.size);

/** Checkpoints of base models and of multimodal ones put their own prefix before the names. */
const prefixes = ['', 'transformer.', 'language_model.', 'model.language_model.', 'model.'];

function prefixed(tensors: ReadonlyMap<string, StoredTensor>): (name: string) => StoredTensor | undefined {
  return (name) => {
    for (const prefix of prefixes) {
      const found = tensors.get(prefix + name);
      if (found) return found;
    }
    // a base model saved without its head has no "model." or "gpt_neox."; a multimodal one has it elsewhere
    const bare = name.replace(/^(model|gpt_neox)\./, '');
    return tensors.get(bare) ?? tensors.get(`model.language_model.${bare}`);
  };
}

async function openShards(folder: WeightFolder): Promise<Safetensors[]> {
  const listed = await readJson(folder, index);
  const names = listed === undefined ? [single] : shardNames(listed, `${folder.name}/${index}`);
  const shards: Safetensors[] = [];
  for (const name of names) {
    const source = await folder.open(name);
    if (source === undefined) {
      throw msaeError(
        'missing',
        `${folder.name}: there is no ${name}${listed ? `, which ${index} names` : ` and no ${index}`}; save the model as safetensors`,
        {
          file: name,
        },
      );
    }
    shards.push(await readSafetensors(source));
  }
  return shards;
}

function shardNames(json: Record<string, unknown>, name: string): string[] {
  const map = json.weight_map;
  const values = typeof map === 'object' && map !== null ? [...new Set(Object.values(map))] : [];
  const plain = (value: unknown): value is string => typeof value === 'string' && /^[\w.-]+$/.test(value);
  if (values.length === 0 || !values.every(plain)) {
    throw msaeError('file', `${name}: weight_map: expected names of files beside it`, {
      file: name,
      field: 'weight_map',
    });
  }
  return values.sort();
}

async function readJson(folder: WeightFolder, path: string): Promise<Record<string, unknown> | undefined> {
  const source = await folder.open(path);
  if (source === undefined) return undefined;
  const name = `${folder.name}/${path}`;
  try {
    if (source.size > maxJsonBytes) throw new Error(`${source.size} bytes are too many`);
    const json: unknown = JSON.parse(new TextDecoder().decode(await source.read(0, source.size)));
    if (typeof json !== 'object' || json === null || Array.isArray(json))
      throw new Error('expected an object');
    return json as Record<string, unknown>;
  } catch (cause) {
    throw msaeError('file', `${name}: not JSON of a model: ${(cause as Error).message}`, {
      cause,
      file: name,
    });
  } finally {
    await source.close?.();
  }
}
