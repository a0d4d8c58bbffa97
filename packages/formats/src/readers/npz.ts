/**
 * The arrays of an .npz as tensors that stay in the file: `np.savez` stores its members uncompressed, so they are read
 * in place. Format: numpy.lib.format, versions 1 to 3.
 */
import type { Dtype, RandomAccess } from '@msae/data';
import { formatError, show } from '../formatError.ts';
import { checkTensor, type StoredTensor } from '../storedTensor.ts';
import { openZipMember, readZipDirectory } from '../zipArchive.ts';

const dtypes: Readonly<Record<string, Dtype>> = {
  '<f8': 'F64',
  '<f4': 'F32',
  '<f2': 'F16',
  '<i8': 'I64',
  '<i4': 'I32',
  '<i2': 'I16',
  '|i1': 'I8',
  '|u1': 'U8',
  '|b1': 'BOOL',
};

/** Every array of the archive by its name. */
export async function readNpzTensors(archive: RandomAccess): Promise<Map<string, StoredTensor>> {
  const tensors = new Map<string, StoredTensor>();
  for (const member of (await readZipDirectory(archive)).values()) {
    if (!member.name.endsWith('.npy')) continue;
    const name = member.name.slice(0, -'.npy'.length);
    const tensor = await readNpyHeader(await openZipMember(archive, member), name);
    checkTensor(tensor);
    tensors.set(name, tensor);
  }
  return tensors;
}

async function readNpyHeader(source: RandomAccess, name: string): Promise<StoredTensor> {
  const bad = (field: string, found: string, expected: string) =>
    formatError({ file: source.name, field, found, expected });
  const head = await source.read(0, Math.min(12, source.size));
  if (head.byteLength < 12 || new TextDecoder('latin1').decode(head.subarray(0, 6)) !== '\x93NUMPY') {
    throw bad('npy header', 'other bytes', 'the magic \\x93NUMPY');
  }
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const wide = head[6]! >= 2;
  const begin = wide ? 12 : 10;
  const length = wide ? view.getUint32(8, true) : view.getUint16(8, true);
  if (length > 1 << 16 || begin + length > source.size) {
    throw bad('npy header', `a length of ${length}`, `at most ${Math.min(1 << 16, source.size - begin)}`);
  }
  const text = new TextDecoder().decode(await source.read(begin, length));
  const descr = /'descr':\s*'([^']*)'/.exec(text)?.[1];
  const order = /'fortran_order':\s*(True|False)/.exec(text)?.[1];
  const dims = /'shape':\s*\(([\d,\s]*)\)/.exec(text)?.[1];
  const dtype = descr === undefined ? undefined : dtypes[descr];
  if (!dtype) throw bad('descr', show(descr ?? text), `one of ${Object.keys(dtypes).join(' ')}`);
  if (order === undefined || dims === undefined)
    throw bad('npy header', show(text), 'fortran_order and shape');
  const shape = dims
    .split(',')
    .filter((part) => part.trim() !== '')
    .map(Number);
  const strides = order === 'True' ? fortranStrides(shape) : undefined;
  return { name, dtype, shape, source, offset: begin + length, ...(strides ? { strides } : {}) };
}

function fortranStrides(shape: readonly number[]): number[] {
  let stride = 1;
  return shape.map((n) => {
    const own = stride;
    stride *= n;
    return own;
  });
}
