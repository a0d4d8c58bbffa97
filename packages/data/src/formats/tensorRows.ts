import { msaeError } from '@msae/schema';
import { bytesToFloat32, dtypeBytes } from '../dtype.ts';
import { type ActivationRows, blockRowsFor, checkRows } from '../rows.ts';
import type { Safetensors } from '../safetensors.ts';

/**
 * A tensor of a safetensors file as rows: the last dimension is the width, the others are flattened. Only the rows
 * asked for are read.
 *
 * @param tensor its name; may be left out when the file has one tensor of two or more dimensions
 */
export function tensorRows(file: Safetensors, tensor?: string): ActivationRows {
  const info = file.info(tensor ?? onlyMatrix(file));
  const { shape, dtype, size, offset } = info;
  const name = `${file.name}:${info.name}`;
  const width = shape.at(-1) ?? 0;
  if (shape.length < 2 || width < 1) {
    throw msaeError(
      'file',
      `${name}: shape [${shape.join(', ')}] does not make rows; expected two dimensions, [rows, width]`,
    );
  }
  const rowBytes = width * dtypeBytes[dtype];
  const rows: ActivationRows = {
    name,
    width,
    length: size / width,
    columns: [],
    blockRows: blockRowsFor(rowBytes),
    async readInto(target, at, begin, end, options) {
      checkRows(rows, begin, end);
      const bytes = await file.source.read(offset + begin * rowBytes, (end - begin) * rowBytes, options);
      target.data.set(bytesToFloat32(bytes, dtype), at * width);
    },
    close: () => file.close(),
  };
  return rows;
}

function onlyMatrix(file: Safetensors): string {
  const matrices = [...file.tensors.values()].filter(({ shape }) => shape.length >= 2);
  if (matrices.length !== 1) {
    const names = [...file.tensors.keys()].join(', ') || 'none';
    throw msaeError('option', `${file.name}: name the tensor that holds the activations; it has: ${names}`);
  }
  return matrices[0]!.name;
}
