/**
 * PyTorch's `torch.save` files, read without PyTorch and without executing anything: the zip format (torch ≥ 1.6)
 * and the older one. Of a pickle's globals only tensors, storages, dtypes and OrderedDict are known; every other is
 * refused by name. Tensors are not loaded but described: see storedTensor.ts.
 */
import { type Dtype, dtypeBytes, openZipEntry, type RandomAccess, readZipDirectory } from '@msae/data';
import { formatError, show, tagError } from '../formatError.ts';
import { readPickle } from './pickle.ts';
import { isToken, type PickleGlobal } from './pickleMachine.ts';
import { checkTensor, type StoredTensor } from './storedTensor.ts';

/** What a file holds: plain values, arrays (lists and tuples), Maps (dicts) and tensors. */
export type TorchValue = unknown;

export interface TorchFile {
  readonly value: TorchValue;
}

/** A tensor inside a TorchValue, before it has a name. */
export interface TorchTensor {
  readonly torch: 'tensor';
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  /** In elements. */
  readonly storageOffset: number;
  readonly storage: TorchStorage;
}

interface TorchStorage {
  readonly torch: 'storage';
  readonly dtype: Dtype;
  readonly key: string;
  readonly length: number;
  /** Filled in when the bytes are found. */
  source?: RandomAccess;
  offset?: number;
}

const storageDtypes: Readonly<Record<string, Dtype>> = {
  DoubleStorage: 'F64',
  FloatStorage: 'F32',
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  LongStorage: 'I64',
  IntStorage: 'I32',
  ShortStorage: 'I16',
  CharStorage: 'I8',
  ByteStorage: 'U8',
  BoolStorage: 'BOOL',
};

/** Names that stand for themselves in training configurations saved beside the weights. */
const plainTokens = ['float64', 'float32', 'float16', 'bfloat16', 'int64', 'int32', 'bool'];

/** Pickles larger than this hold something other than weights' descriptions. */
const maxPickleBytes = 64 << 20;

export function isTorchTensor(value: unknown): value is TorchTensor {
  return typeof value === 'object' && value !== null && (value as Partial<TorchTensor>).torch === 'tensor';
}

/** Opens a file of `torch.save`. */
export async function readTorchFile(source: RandomAccess): Promise<TorchFile> {
  const magic = await source.read(0, Math.min(4, source.size));
  if (magic[0] === 0x50 && magic[1] === 0x4b) {
    try {
      return await readZipped(source);
    } catch (error) {
      throw tagError(error, source.name, 'zip archive');
    }
  }
  if (magic[0] === 0x80) return readLegacy(source);
  throw formatError({
    file: source.name,
    field: 'first bytes',
    found: Array.from(magic, (byte) => byte.toString(16).padStart(2, '0')).join(' ') || 'an empty file',
    expected: 'a zip archive or a pickle, as torch.save writes them',
  });
}

/** The tensors of a state dict by name; values that are no tensors are passed over. */
export function torchTensors(dict: ReadonlyMap<unknown, unknown>): Map<string, StoredTensor> {
  const tensors = new Map<string, StoredTensor>();
  for (const [key, value] of dict) {
    if (typeof key === 'string' && isTorchTensor(value)) tensors.set(key, storedTensor(key, value));
  }
  return tensors;
}

/** A tensor as the readers want it. */
export function storedTensor(name: string, tensor: TorchTensor): StoredTensor {
  const { storage, dtype, shape, strides, storageOffset } = tensor;
  const offset = storage.offset! + storageOffset * dtypeBytes[dtype];
  const stored: StoredTensor = { name, dtype, shape, strides, source: storage.source!, offset };
  checkTensor(stored);
  return stored;
}

async function readZipped(source: RandomAccess): Promise<TorchFile> {
  const members = await readZipDirectory(source);
  const pickleName = [...members.keys()].find((name) => name === 'data.pkl' || name.endsWith('/data.pkl'));
  if (!pickleName) {
    throw formatError({
      file: source.name,
      field: 'zip directory',
      found: `${members.size} members, none of them data.pkl`,
      expected: 'an archive of torch.save',
    });
  }
  const folder = pickleName.slice(0, -'data.pkl'.length);
  const byteorder = members.get(`${folder}byteorder`);
  if (byteorder) {
    const member = await openZipEntry(source, byteorder);
    const order = new TextDecoder().decode(await member.read(0, Math.min(16, member.size)));
    if (order.trim() !== 'little') {
      throw formatError({
        file: source.name,
        field: 'byteorder',
        found: show(order),
        expected: '"little"',
        hint: 'save it again on a little-endian machine',
      });
    }
  }
  const pickle = await openZipEntry(source, members.get(pickleName)!);
  const { globals, persistentLoad, storages } = torchGlobals(source.name);
  const { value } = readPickle(await readAll(pickle), { name: source.name, globals, persistentLoad });
  for (const storage of storages.values()) {
    const member = members.get(`${folder}data/${storage.key}`);
    if (!member) {
      throw formatError({
        file: source.name,
        field: `storage ${storage.key}`,
        found: 'nothing',
        expected: `a member ${folder}data/${storage.key}`,
      });
    }
    storage.source = await openZipEntry(source, member);
    storage.offset = 0;
  }
  return { value };
}

const legacyMagic = 0x1950a86a20f9469cfc6cn;

/** Before torch 1.6: pickles of magic, protocol, system, the object and the storages' keys, then the raw storages. */
async function readLegacy(source: RandomAccess): Promise<TorchFile> {
  const bytes = await source.read(0, Math.min(source.size, maxPickleBytes));
  const { globals, persistentLoad, storages } = torchGlobals(source.name);
  const options = { name: source.name, globals, persistentLoad };
  const magic = readPickle(bytes, options);
  if (magic.value !== legacyMagic) {
    // a plain pickle: the whole of it is the value
    if (storages.size === 0) return { value: magic.value };
    throw formatError({
      file: source.name,
      field: 'magic number',
      found: show(magic.value),
      expected: `${legacyMagic} (torch.save)`,
    });
  }
  const protocol = readPickle(bytes, options, magic.end);
  const system = readPickle(bytes, options, protocol.end);
  if (system.value instanceof Map && system.value.get('little_endian') === false) {
    throw formatError({ file: source.name, field: 'little_endian', found: 'false', expected: 'true' });
  }
  const object = readPickle(bytes, options, system.end);
  const keys = readPickle(bytes, options, object.end);
  let offset = keys.end;
  for (const key of Array.isArray(keys.value) ? keys.value : []) {
    const storage = storages.get(String(key));
    if (!storage || offset + 8 > source.size) {
      throw formatError({
        file: source.name,
        field: `storage ${show(key)}`,
        found: storage ? 'the end of the file' : 'no tensor that uses it',
        expected: 'its data',
        hint: 'the file is truncated or damaged; torch.save it again with a current torch',
      });
    }
    const head = await source.read(offset, 8);
    const length = Number(new DataView(head.buffer, head.byteOffset, 8).getBigInt64(0, true));
    if (length !== storage.length) {
      throw formatError({
        file: source.name,
        field: `storage ${show(key)}`,
        found: `${length} elements`,
        expected: `${storage.length}`,
      });
    }
    storage.source = source;
    storage.offset = offset + 8;
    offset += 8 + length * dtypeBytes[storage.dtype];
  }
  for (const storage of storages.values()) {
    if (!storage.source) {
      throw formatError({
        file: source.name,
        field: `storage ${storage.key}`,
        found: 'nothing',
        expected: 'its data',
      });
    }
  }
  return { value: object.value };
}

async function readAll(source: RandomAccess): Promise<Uint8Array> {
  if (source.size > maxPickleBytes) {
    throw formatError({
      file: source.name,
      field: 'size',
      found: `${source.size} bytes`,
      expected: `at most ${maxPickleBytes}`,
    });
  }
  return source.read(0, source.size);
}

/** The whole list of what a torch pickle may name. */
function torchGlobals(file: string): {
  globals: Record<string, PickleGlobal>;
  persistentLoad: (id: unknown) => TorchStorage;
  storages: Map<string, TorchStorage>;
} {
  const storages = new Map<string, TorchStorage>();
  const bad = (field: string, found: unknown, expected: string) =>
    formatError({ file, field, found: show(found), expected });
  const globals: Record<string, PickleGlobal> = {
    'collections.OrderedDict': { reduce: orderedDict },
    'torch._utils._rebuild_tensor_v2': { reduce: rebuildTensor },
    'torch._utils._rebuild_parameter': {
      reduce: ([data]) => {
        if (!isTorchTensor(data)) throw bad('_rebuild_parameter', data, 'a tensor');
        return data;
      },
    },
    'torch.Size': { reduce: ([items]) => (Array.isArray(items) ? items : []) },
  };
  for (const name of Object.keys(storageDtypes)) globals[`torch.${name}`] = {};
  for (const name of plainTokens) globals[`torch.${name}`] = {};

  function orderedDict(args: readonly unknown[]): Map<unknown, unknown> {
    const [pairs] = args;
    if (pairs === undefined) return new Map();
    if (!Array.isArray(pairs) || !pairs.every((pair) => Array.isArray(pair) && pair.length === 2)) {
      throw bad('OrderedDict', pairs, 'pairs');
    }
    return new Map(pairs as [unknown, unknown][]);
  }

  function rebuildTensor(args: readonly unknown[]): TorchTensor {
    const [storage, storageOffset, shape, strides] = args;
    if (!isStorage(storage)) throw bad('_rebuild_tensor_v2', storage, 'a storage');
    if (!isCount(storageOffset)) throw bad('storage offset', storageOffset, 'a whole number >= 0');
    if (!isCounts(shape)) throw bad('tensor shape', shape, 'whole numbers >= 0');
    if (!isCounts(strides) || strides.length !== shape.length) {
      throw bad('tensor strides', strides, `${shape.length} whole numbers >= 0`);
    }
    const last = shape.reduce((sum, n, axis) => sum + Math.max(0, n - 1) * strides[axis]!, storageOffset);
    if (!shape.includes(0) && last >= storage.length) {
      throw bad(
        'tensor',
        { shape, strides, storageOffset },
        `to lie in a storage of ${storage.length} elements`,
      );
    }
    return { torch: 'tensor', dtype: storage.dtype, shape, strides, storageOffset, storage };
  }

  function persistentLoad(id: unknown): TorchStorage {
    const [kind, type, key, , length] = Array.isArray(id) ? id : [];
    const dtype = isToken(type) ? storageDtypes[type.name.slice('torch.'.length)] : undefined;
    if (kind !== 'storage' || !dtype || !isCount(length) || (typeof key !== 'string' && !isCount(key))) {
      throw bad(
        'persistent id',
        isToken(type) ? [kind, type.name, key, length] : id,
        "('storage', type, key, …)",
      );
    }
    const name = String(key);
    const known = storages.get(name);
    if (known && (known.dtype !== dtype || known.length !== length)) {
      throw bad(`storage ${name}`, `${dtype} × ${length}`, `${known.dtype} × ${known.length}, as before`);
    }
    const storage: TorchStorage = known ?? { torch: 'storage', dtype, key: name, length };
    storages.set(name, storage);
    return storage;
  }

  return { globals, persistentLoad, storages };
}

function isStorage(value: unknown): value is TorchStorage {
  return typeof value === 'object' && value !== null && (value as Partial<TorchStorage>).torch === 'storage';
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

const isCounts = (value: unknown): value is number[] =>
  Array.isArray(value) && value.length <= 16 && value.every(isCount);
