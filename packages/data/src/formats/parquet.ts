/**
 * Activations in Parquet, as datasets on the Hugging Face Hub have them: one column of lists, or one numeric column per
 * dimension. The metadata is read by hyparquet; pages are decoded here, into flat arrays, because hyparquet trusts the run
 * lengths of a damaged file.
 */
import { check, givenBy, msaeError, object, optional, type Schema, text } from '@msae/schema';
import { type AsyncBuffer, type Compressors, parquetMetadataAsync } from 'hyparquet';
import { type ByteInput, toRandomAccess } from '../byteSource.ts';
import { type OpenOptions, signalSchema } from '../options.ts';
import { type ActivationRows, allocateTarget, checkRows, type RowTarget, type TokenColumn } from '../rows.ts';
import {
  type ColumnChoice,
  checkMetadata,
  chunkRange,
  type FileColumn,
  findColumns,
} from './parquetColumns.ts';
import { decodeColumn } from './parquetDecode.ts';

export interface ParquetOptions extends OpenOptions, ColumnChoice {
  /** Decompressors beyond snappy and gzip, such as those of the package hyparquet-compressors. */
  compressors?: Compressors;
}

const schema: Schema<ParquetOptions> = object<ParquetOptions>({
  name: optional(text({ help: 'what messages call it' })),
  signal: optional(signalSchema),
  column: optional(
    givenBy<string | readonly string[]>(
      'the name of a column, or a list of names',
      (value) =>
        typeof value === 'string' || (Array.isArray(value) && value.every((v) => typeof v === 'string')),
      { help: 'what holds the activations' },
    ),
  ),
  tokenColumns: optional(
    object<NonNullable<ParquetOptions['tokenColumns']>>({
      tokenIds: optional(text({ help: 'column of token ids' })),
      positions: optional(text({ help: 'column of positions' })),
      docIds: optional(text({ help: 'column of document ids' })),
    }),
  ),
  compressors: optional(
    givenBy<Compressors>('decompressors by codec', (value) => typeof value === 'object' && value !== null, {
      help: 'beyond snappy and gzip',
    }),
  ),
});

/** A larger row group is refused: it is decoded in one piece. */
const maxGroupBytes = 2 ** 31;

/**
 * Opens a Parquet file as rows. A row group is decoded at a time and kept until another is needed: memory is one row
 * group, and a shuffle mixes row groups, so convert files with huge row groups to a store before training on them.
 *
 * @throws one Error naming the file, the column and the row when it is not valid or a row has another width
 */
export async function parquetRows(input: ByteInput, given: ParquetOptions = {}): Promise<ActivationRows> {
  const options = check(schema, given, 'parquetRows');
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
  const { list } = layout.data[0]!;
  const groups = metadata.row_groups.filter((group) => Number(group.num_rows) > 0);

  /** Reads and decodes one column of one row group. */
  const readColumn = async (column: FileColumn, group: number, width?: number): Promise<Decoded> => {
    const meta = groups[group]!.columns[column.index]!.meta_data!;
    const { begin, end } = chunkRange(meta);
    const bytes = await source.read(begin, end - begin, options);
    const fail = (what: string): never => {
      throw msaeError('file', `${name}: column ${column.name}: ${what}`);
    };
    const where = { rows: pieces[group]!, firstRow: groupStarts[group]!, fileOffset: begin, width };
    const claim = {
      codec: meta.codec,
      values: Number(meta.num_values),
      column,
      compressors: options.compressors ?? {},
    };
    return decodeColumn(bytes, { ...claim, ...where }, fail);
  };

  let width = layout.data.length;
  if (list && length > 0) {
    ({ width } = await readColumn(layout.data[0]!, 0));
    if (width < 1) throw msaeError('file', `${name}: column ${layout.data[0]!.name}: row 0 is an empty list`);
  }
  const columns = Object.keys(layout.tokens) as TokenColumn[];

  const decodeGroup = async (group: number): Promise<RowTarget> => {
    const count = pieces[group]!;
    if (count * width * 8 > maxGroupBytes) {
      throw msaeError(
        'file',
        `${name}: row group ${group} has ${count} rows of ${width} values; write it with smaller row groups`,
      );
    }
    const target = allocateTarget({ width, columns }, count);
    for (const [d, column] of layout.data.entries()) {
      const { values } = await readColumn(column, group, list ? width : 1);
      if (list) target.data.set(values);
      else for (let i = 0; i < count; i++) target.data[i * width + d] = values[i]!;
    }
    for (const column of columns)
      target[column]!.set((await readColumn(layout.tokens[column]!, group)).values);
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

type Decoded = ReturnType<typeof decodeColumn>;

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
    throw msaeError('file', `${name}: not a valid Parquet file: ${place}: ${why}`, { cause });
  }
}
