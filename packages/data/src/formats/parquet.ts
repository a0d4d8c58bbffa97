/**
 * Activations in Parquet, as datasets on the Hugging Face Hub have them: one column of lists, or one numeric column per
 * dimension. Decoded by hyparquet, a row group at a time.
 */
import { gunzipSync } from 'fflate';
import {
  type AsyncBuffer,
  type Compressors,
  type FileMetaData,
  parquetMetadataAsync,
  parquetScan,
} from 'hyparquet';
import { type ByteInput, toRandomAccess } from '../byteSource.ts';
import { type ActivationRows, allocateTarget, checkRows, type RowTarget, type TokenColumn } from '../rows.ts';
import type { NpyOptions } from './npy.ts';
import {
  type ColumnChoice,
  type ColumnMeta,
  checkMetadata,
  chunkRange,
  findColumns,
} from './parquetColumns.ts';
import { checkPages } from './parquetPages.ts';

export interface ParquetOptions extends NpyOptions, ColumnChoice {
  /** Decompressors beyond snappy and gzip, such as those of the package hyparquet-compressors. */
  compressors?: Compressors;
}

/** A larger row group is refused: it is decoded in one piece. */
const maxGroupBytes = 2 ** 31;

/**
 * Opens a Parquet file as rows. A row group is decoded at a time and kept until another is needed: memory is one row
 * group, and a shuffle mixes row groups, so convert files with huge row groups to a store before training on them.
 *
 * @throws one Error naming the file, the column and the row when it is not valid or a row has another width
 */
export async function parquetRows(input: ByteInput, options: ParquetOptions = {}): Promise<ActivationRows> {
  const source = toRandomAccess(input, options.name);
  const { name } = source;
  const file: AsyncBuffer = {
    byteLength: source.size,
    slice: async (start, end = source.size) => ownBuffer(await source.read(start, end - start, options)),
  };
  const metadata = await understood(name, 'the metadata (end of the file)', async () => {
    const found = await parquetMetadataAsync(file, { geoparquet: false });
    checkMetadata(found, source);
    return found;
  });
  const layout = findColumns(metadata, options, name);
  const pieces = metadata.row_groups.map((group) => Number(group.num_rows)).filter((rows) => rows > 0);
  const groupStarts = startsOf(pieces);
  const length = groupStarts.at(-1)!;
  const compressors: Compressors = {
    GZIP: (bytes, size) => gunzipSync(bytes, { out: new Uint8Array(size) }),
    ...options.compressors,
  };
  const checked = checkedFile(file, metadata, name);
  const scan = await understood(name, 'the metadata', () =>
    parquetScan({
      file: checked,
      metadata,
      columns: [...layout.data, ...Object.values(layout.tokens)],
      compressors,
      useOffsetIndex: false,
    }),
  );
  const readColumn = (column: string, rowStart: number, rowEnd: number): Promise<ArrayLike<unknown>> =>
    understood(name, `column ${column}, rows ${rowStart} to ${rowEnd - 1}`, async () => {
      try {
        const values = await scan.readColumn({ column, rowStart, rowEnd });
        const failure = checked.takeFailure();
        if (failure) throw failure;
        return values;
      } catch (error) {
        throw checked.takeFailure() ?? error;
      }
    });

  let width = layout.data.length;
  if (layout.list && length > 0) {
    const first = (await readColumn(layout.data[0]!, 0, pieces[0]!))[0];
    width = isList(first) ? first.length : 0;
    if (width < 1) throw new Error(`${name}: column ${layout.data[0]}: row 0 is not a list of numbers`);
  }
  const columns = Object.keys(layout.tokens) as TokenColumn[];

  /** Decodes row group `group`. */
  const decodeGroup = async (group: number): Promise<RowTarget> => {
    const begin = groupStarts[group]!;
    const count = pieces[group]!;
    if (count * width * 8 > maxGroupBytes) {
      throw new Error(
        `${name}: row group ${group} has ${count} rows of ${width} values; write it with smaller row groups`,
      );
    }
    const target = allocateTarget({ width, columns }, count);
    for (const [d, column] of layout.data.entries()) {
      const values = await readColumn(column, begin, begin + count);
      if (values.length !== count) {
        throw new Error(
          `${name}: column ${column}: row group ${group} has ${values.length} values for ${count} rows`,
        );
      }
      const stride = layout.list ? 1 : width;
      for (let i = 0; i < count; i++) {
        const row = layout.list ? values[i] : [values[i]];
        const at = layout.list ? i * width : i * width + d;
        copyRow(row, target.data, at, {
          stride,
          width: layout.list ? width : 1,
          where: `${name}: column ${column}: row ${begin + i}`,
        });
      }
    }
    for (const column of columns) {
      const values = await readColumn(layout.tokens[column]!, begin, begin + count);
      for (let i = 0; i < count; i++) target[column]![i] = Number(values[i]);
    }
    return target;
  };

  let held: { group: number; target: RowTarget } | undefined;
  let queue: Promise<unknown> = Promise.resolve(); // one group in memory: reads take turns
  const rows: ActivationRows = {
    name,
    width,
    length,
    columns,
    blockRows: Math.max(1, ...pieces),
    pieces,
    readInto(target, at, begin, end, readOptions) {
      checkRows(rows, begin, end);
      const turn = queue.then(async () => {
        for (let row = begin; row < end; ) {
          readOptions?.signal?.throwIfAborted();
          let group = pieces.length - 1;
          while (groupStarts[group]! > row) group--;
          if (held?.group !== group) {
            held = undefined;
            held = { group, target: await decodeGroup(group) };
          }
          const first = groupStarts[group]!;
          const stop = Math.min(end, first + pieces[group]!);
          const from = held.target;
          target.data.set(
            from.data.subarray((row - first) * width, (stop - first) * width),
            (at + row - begin) * width,
          );
          for (const column of columns)
            target[column]?.set(from[column]!.subarray(row - first, stop - first), at + row - begin);
          row = stop;
        }
      });
      queue = turn.catch(() => undefined);
      return turn;
    },
    close: async () => source.close?.(),
  };
  return rows;
}

interface CheckedFile extends AsyncBuffer {
  /** What went wrong since it was last asked. The decoder leaves promises behind, so reading must not reject. */
  takeFailure(): unknown;
}

/** The file, with every column chunk's pages looked through when it is read. */
function checkedFile(file: AsyncBuffer, metadata: FileMetaData, name: string): CheckedFile {
  const chunks = new Map<number, ColumnMeta>();
  for (const group of metadata.row_groups) {
    for (const { meta_data: meta } of group.columns) if (meta) chunks.set(chunkRange(meta).begin, meta);
  }
  let failure: unknown;
  return {
    byteLength: file.byteLength,
    async slice(start, end) {
      try {
        const buffer = await file.slice(start, end);
        const meta = chunks.get(start);
        const claim = meta && { codec: meta.codec, values: Number(meta.num_values) };
        if (claim) checkPages(new Uint8Array(buffer), claim, start, name);
        return buffer;
      } catch (error) {
        failure ??= error;
        return new ArrayBuffer(0);
      }
    },
    takeFailure() {
      const taken = failure;
      failure = undefined;
      return taken;
    },
  };
}

const isList = (value: unknown): value is ArrayLike<unknown> =>
  Array.isArray(value) || ArrayBuffer.isView(value);

function copyRow(
  row: unknown,
  out: Float32Array,
  at: number,
  { stride, width, where }: { stride: number; width: number; where: string },
): void {
  if (!isList(row) || row.length !== width) {
    throw new Error(
      `${where} has ${isList(row) ? `${row.length} values` : String(row)}, the rows before have ${width}`,
    );
  }
  for (let d = 0; d < width; d++) {
    const value = row[d];
    if (typeof value !== 'number' && typeof value !== 'bigint')
      throw new Error(`${where}, value ${d} is ${String(value)}, not a number`);
    out[at + d * stride] = Number(value);
  }
}

function startsOf(pieces: readonly number[]): number[] {
  const starts = [0];
  for (const rows of pieces) starts.push(starts.at(-1)! + rows);
  return starts;
}

const ownBuffer = (bytes: Uint8Array): ArrayBuffer => new Uint8Array(bytes).buffer;

/** Runs a step of the decoder; what it throws becomes one message that names the file and the place. */
async function understood<T>(name: string, place: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    if (why.startsWith(`${name}: `)) throw cause;
    throw new Error(`${name}: not a valid Parquet file: ${place}: ${why}`, { cause });
  }
}
