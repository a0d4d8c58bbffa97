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
import { type ByteInput, type RandomAccess, toRandomAccess } from '../byteSource.ts';
import { type ActivationRows, allocateTarget, checkRows, type RowTarget, type TokenColumn } from '../rows.ts';
import type { NpyOptions } from './npy.ts';
import { checkPages } from './parquetPages.ts';

export interface ParquetOptions extends NpyOptions {
  /**
   * The column of lists that holds the activations, or the numeric columns that are its dimensions. Default: the only
   * list column, else all numeric columns that are not token columns.
   */
  column?: string | readonly string[];
  /** Columns with token ids, positions, document ids. Default: token_ids, positions, doc_ids where they exist. */
  tokenColumns?: Partial<Record<TokenColumn, string>>;
  /** Decompressors beyond snappy and gzip, such as those of the package hyparquet-compressors. */
  compressors?: Compressors;
}

const defaultTokenColumns: Record<TokenColumn, string> = {
  tokenIds: 'token_ids',
  positions: 'positions',
  docIds: 'doc_ids',
};

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
  const scan = await parquetScan({
    file: checkedFile(file, metadata, name),
    metadata,
    columns: [...layout.data, ...Object.values(layout.tokens)],
    compressors,
    useOffsetIndex: false,
  });
  const readColumn = (column: string, rowStart: number, rowEnd: number): Promise<ArrayLike<unknown>> =>
    understood(name, `column ${column}, rows ${rowStart} to ${rowEnd - 1}`, () =>
      scan.readColumn({ column, rowStart, rowEnd }),
    );

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

interface Layout {
  data: string[];
  list: boolean;
  tokens: Partial<Record<TokenColumn, string>>;
}

/** Which columns are the activations, and which go beside them. */
function findColumns({ schema }: FileMetaData, options: ParquetOptions, name: string): Layout {
  const top = topLevel(schema);
  const known = [...top.keys()].join(', ') || 'none';
  const need = (column: string): string => {
    if (!top.has(column))
      throw new Error(`${name}: there is no column ${JSON.stringify(column)}; it has: ${known}`);
    return column;
  };
  const tokens: Layout['tokens'] = {};
  for (const [key, column] of Object.entries(defaultTokenColumns) as [TokenColumn, string][]) {
    const asked = options.tokenColumns?.[key];
    if (asked !== undefined) tokens[key] = need(asked);
    else if (top.get(column) === 'number') tokens[key] = column;
  }
  if (typeof options.column === 'string') {
    return { data: [need(options.column)], list: top.get(options.column) === 'list', tokens };
  }
  if (options.column) return { data: options.column.map(need), list: false, tokens };
  const taken = new Set(Object.values(tokens));
  const lists = [...top].filter(([, kind]) => kind === 'list').map(([column]) => column);
  if (lists.length === 1) return { data: lists, list: true, tokens };
  const numbers = [...top]
    .filter(([column, kind]) => kind === 'number' && !taken.has(column))
    .map(([column]) => column);
  if (lists.length > 1 || numbers.length === 0) {
    throw new Error(`${name}: name the column that holds the activations; it has: ${known}`);
  }
  return { data: numbers, list: false, tokens };
}

/** Kind of each top-level column. */
function topLevel(schema: FileMetaData['schema']): Map<string, 'number' | 'list' | 'other'> {
  const columns = new Map<string, 'number' | 'list' | 'other'>();
  const numeric = new Set(['FLOAT', 'DOUBLE', 'INT32', 'INT64']);
  const isNumber = (element: FileMetaData['schema'][number] | undefined): boolean =>
    element !== undefined && (numeric.has(element.type ?? '') || element.logical_type?.type === 'FLOAT16');
  for (let i = 1; i < schema.length; ) {
    const element = schema[i]!;
    const size = subtree(schema, i);
    const repeated = schema.slice(i, i + size).filter((part) => part.repetition_type === 'REPEATED').length;
    const leaf = schema[i + size - 1];
    if (size === 1 && repeated === 0 && isNumber(element)) columns.set(element.name, 'number');
    else if (repeated === 1 && size <= 3 && isNumber(leaf)) columns.set(element.name, 'list');
    else columns.set(element.name, 'other');
    i += size;
  }
  return columns;
}

/** Elements of a schema's depth-first list that belong to element `i`. */
function subtree(schema: FileMetaData['schema'], i: number): number {
  let open = 1;
  let at = i;
  while (open > 0 && at < schema.length) open += (schema[at++]!.num_children ?? 0) - 1;
  return at - i;
}

/** Sizes the metadata claims, against the file's. */
function checkMetadata(metadata: FileMetaData, source: RandomAccess): void {
  let rows = 0;
  metadata.row_groups.forEach((group, g) => {
    const count = Number(group.num_rows);
    if (!Number.isSafeInteger(count) || count < 0)
      throw new Error(`row group ${g} claims ${group.num_rows} rows`);
    rows += count;
    for (const { meta_data: meta } of group.columns) {
      if (!meta) continue;
      const { begin, end } = chunkRange(meta);
      if (!(begin >= 0 && end >= begin && end <= source.size) || !(Number(meta.num_values) >= 0)) {
        throw new Error(
          `row group ${g}, column ${meta.path_in_schema.join('.')} claims bytes ${begin} to ${end} of ${source.size}`,
        );
      }
    }
  });
  if (rows !== Number(metadata.num_rows))
    throw new Error(`num_rows is ${metadata.num_rows}, the row groups have ${rows}`);
}

type ColumnMeta = NonNullable<FileMetaData['row_groups'][number]['columns'][number]['meta_data']>;

function chunkRange(meta: ColumnMeta): { begin: number; end: number } {
  const begin = Number(meta.dictionary_page_offset || meta.data_page_offset);
  return { begin, end: begin + Number(meta.total_compressed_size) };
}

/** The file, with every column chunk's pages looked through when it is read. */
function checkedFile(file: AsyncBuffer, metadata: FileMetaData, name: string): AsyncBuffer {
  const chunks = new Map<number, ColumnMeta>();
  for (const group of metadata.row_groups) {
    for (const { meta_data: meta } of group.columns) if (meta) chunks.set(chunkRange(meta).begin, meta);
  }
  return {
    byteLength: file.byteLength,
    async slice(start, end) {
      const buffer = await file.slice(start, end);
      const meta = chunks.get(start);
      const claim = meta && { codec: meta.codec, values: Number(meta.num_values) };
      if (claim) checkPages(new Uint8Array(buffer), claim, start, name);
      return buffer;
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

const ownBuffer = (bytes: Uint8Array): ArrayBuffer => bytes.slice().buffer as ArrayBuffer;

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
