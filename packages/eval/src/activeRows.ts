/** Activations as lists: for every row (token) the latents that fired and how strongly. Compressed sparse rows. */
import { msaeError } from '@msae/schema';
import { checkMatrix, type Matrix } from './matrix.ts';

export interface ActiveRows {
  readonly rows: number;
  readonly nLatents: number;
  /** Row r owns entries `offsets[r]` to `offsets[r + 1]`; length rows + 1. */
  readonly offsets: Int32Array;
  /** The latent of every entry, ascending within a row. */
  readonly indices: Int32Array;
  /** Its activation. */
  readonly values: Float32Array;
}

/** Lists the entries of dense activations [B, N] that are not zero. Throws an MsaeError for a number that is not finite. */
export function activeRows(dense: Matrix): ActiveRows {
  checkMatrix('activeRows: activations', dense);
  const { data, rows, columns } = dense;
  let count = 0;
  for (let at = 0; at < data.length; at++) if (data[at] !== 0) count += 1;
  const offsets = new Int32Array(rows + 1);
  const indices = new Int32Array(count);
  const values = new Float32Array(count);
  let next = 0;
  for (let r = 0; r < rows; r++) {
    for (let i = 0, at = r * columns; i < columns; i++, at++) {
      const value = data[at]!;
      if (value === 0) continue;
      if (!Number.isFinite(value)) throw notFinite(r, i, value);
      indices[next] = i;
      values[next++] = value;
    }
    offsets[r + 1] = next;
  }
  return { rows, nLatents: columns, offsets, indices, values };
}

/** Throws an MsaeError unless the lists belong to `nLatents` latents and are sorted, complete and finite. */
export function checkActiveRows(name: string, active: ActiveRows, nLatents: number): void {
  if (active.nLatents !== nLatents) {
    throw msaeError('shape', `${name}: activations of ${active.nLatents} latents, expected ${nLatents}`);
  }
  const { rows, offsets, indices, values } = active;
  const end = offsets[rows];
  if (offsets.length !== rows + 1 || end === undefined || end > indices.length || end > values.length) {
    throw msaeError('shape', `${name}: offsets do not fit ${rows} rows and ${indices.length} entries`);
  }
  for (let r = 0; r < rows; r++) {
    for (let at = offsets[r]!; at < offsets[r + 1]!; at++) {
      const latent = indices[at]!;
      if (!(latent >= 0 && latent < nLatents) || (at > offsets[r]! && latent <= indices[at - 1]!)) {
        throw msaeError(
          'value',
          `${name}: row ${r} lists latent ${latent} out of order or range (${nLatents} latents)`,
        );
      }
      if (!Number.isFinite(values[at]!)) throw notFinite(r, latent, values[at]!);
    }
  }
}

/** The activation of `latent` in row `row`, 0 when it is not listed. */
export function activationAt(active: ActiveRows, row: number, latent: number): number {
  let low = active.offsets[row]!;
  let high = active.offsets[row + 1]!;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (active.indices[middle]! < latent) low = middle + 1;
    else high = middle;
  }
  return low < active.offsets[row + 1]! && active.indices[low] === latent ? active.values[low]! : 0;
}

function notFinite(row: number, latent: number, value: number): Error {
  return msaeError(
    'value',
    `activations: row ${row}, latent ${latent} is ${value}; the SAE or its input holds numbers that are not finite`,
  );
}

/** One list after the other; all have the same latents. */
export function concatActiveRows(parts: readonly ActiveRows[], nLatents: number): ActiveRows {
  const rows = parts.reduce((sum, part) => sum + part.rows, 0);
  const count = parts.reduce((sum, part) => sum + part.indices.length, 0);
  const offsets = new Int32Array(rows + 1);
  const indices = new Int32Array(count);
  const values = new Float32Array(count);
  let [row, entry] = [0, 0];
  for (const part of parts) {
    checkActiveRows('concatActiveRows', part, nLatents);
    indices.set(part.indices, entry);
    values.set(part.values, entry);
    for (let r = 1; r <= part.rows; r++) offsets[row + r] = entry + part.offsets[r]!;
    row += part.rows;
    entry += part.indices.length;
  }
  return { rows, nLatents, offsets, indices, values };
}
