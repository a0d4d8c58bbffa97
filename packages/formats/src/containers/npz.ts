/**
 * The arrays of an .npz as tensors that stay in the file: `np.savez` stores its members uncompressed, so they are read
 * in place. Layout: numpy.lib.format.
 */
import {
  type Dtype,
  type NpyHeader,
  openZipEntry,
  type RandomAccess,
  readNpyHeader,
  readZipDirectory,
} from '@msae/data';
import { formatError } from '../formatError.ts';
import { checkTensor, type StoredTensor } from './storedTensor.ts';

const dtypes: Partial<Record<NpyHeader['type'], Dtype>> = {
  f8: 'F64',
  f4: 'F32',
  f2: 'F16',
  i8: 'I64',
  i4: 'I32',
  i2: 'I16',
  i1: 'I8',
  u1: 'U8',
  b1: 'BOOL',
};

/** Every array of the archive by its name. */
export async function readNpzTensors(archive: RandomAccess): Promise<Map<string, StoredTensor>> {
  const tensors = new Map<string, StoredTensor>();
  for (const entry of (await readZipDirectory(archive)).values()) {
    if (!entry.name.endsWith('.npy')) continue;
    const name = entry.name.slice(0, -'.npy'.length);
    const source = await openZipEntry(archive, entry);
    const { type, bigEndian, fortranOrder, shape, dataOffset } = await readNpyHeader(source);
    const dtype = bigEndian ? undefined : dtypes[type];
    if (!dtype) {
      throw formatError({
        file: source.name,
        field: 'descr',
        found: `${bigEndian ? '>' : '<'}${type}`,
        expected: `little-endian ${Object.keys(dtypes).join(' ')}`,
      });
    }
    const strides = fortranOrder ? { strides: fortranStrides(shape) } : {};
    const tensor: StoredTensor = { name, dtype, shape, source, offset: dataOffset, ...strides };
    checkTensor(tensor);
    tensors.set(name, tensor);
  }
  return tensors;
}

function fortranStrides(shape: readonly number[]): number[] {
  let stride = 1;
  return shape.map((n) => {
    const own = stride;
    stride *= n;
    return own;
  });
}
