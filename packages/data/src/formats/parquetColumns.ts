/** What a Parquet file's metadata says: which columns are activations, and whether its sizes can be true. */
import { msaeError } from '@msae/schema';
import type { FileMetaData } from 'hyparquet';
import type { RandomAccess } from '../byteSource.ts';
import type { TokenColumn } from '../rows.ts';
import type { NumberColumn } from './parquetDecode.ts';

export interface ColumnChoice {
  /**
   * The column of lists that holds the activations, or the numeric columns that are its dimensions. Default: the only
   * list column, else all numeric columns that are not token columns.
   */
  column?: string | readonly string[];
  /** Columns with token ids, positions, document ids. Default: token_ids, positions, doc_ids where they exist. */
  tokenColumns?: Partial<Record<TokenColumn, string>>;
}

const defaultTokenColumns: Record<TokenColumn, string> = {
  tokenIds: 'token_ids',
  positions: 'positions',
  docIds: 'doc_ids',
};

/** A column of the file that holds numbers. */
export interface FileColumn extends NumberColumn {
  /** Top-level name. */
  name: string;
  /** Its place among the columns of a row group. */
  index: number;
}

export interface Layout {
  /** One column of lists, or one column per dimension. */
  data: FileColumn[];
  tokens: Partial<Record<TokenColumn, FileColumn>>;
}

/** Which columns are the activations, and which go beside them. */
export function findColumns({ schema }: FileMetaData, options: ColumnChoice, name: string): Layout {
  const columns = numberColumns(schema);
  const known = topLevelNames(schema).join(', ') || 'none';
  const need = (column: string, lists: boolean): FileColumn => {
    const found = columns.find((candidate) => candidate.name === column);
    if (found && (lists || !found.list)) return found;
    if (!topLevelNames(schema).includes(column)) {
      throw msaeError('option', `${name}: there is no column ${JSON.stringify(column)}; it has: ${known}`);
    }
    throw msaeError(
      'option',
      `${name}: column ${column} does not hold ${lists ? 'lists or numbers' : 'numbers'}`,
    );
  };
  const tokens: Layout['tokens'] = {};
  for (const [key, column] of Object.entries(defaultTokenColumns) as [TokenColumn, string][]) {
    const asked = options.tokenColumns?.[key];
    const usual = columns.find((candidate) => candidate.name === column && !candidate.list);
    if (asked !== undefined) tokens[key] = need(asked, false);
    else if (usual) tokens[key] = usual;
  }
  if (typeof options.column === 'string') return { data: [need(options.column, true)], tokens };
  if (options.column) return { data: options.column.map((column) => need(column, false)), tokens };
  const lists = columns.filter((column) => column.list);
  if (lists.length === 1) return { data: lists, tokens };
  const taken = new Set(Object.values(tokens));
  const numbers = columns.filter((column) => !column.list && !taken.has(column));
  if (lists.length > 1 || numbers.length === 0) {
    throw msaeError('option', `${name}: name the column that holds the activations; it has: ${known}`);
  }
  return { data: numbers, tokens };
}

type Schema = FileMetaData['schema'];

const dtypes: Readonly<Record<string, NumberColumn['dtype']>> = {
  FLOAT: 'F32',
  DOUBLE: 'F64',
  INT32: 'I32',
  INT64: 'I64',
};

/** The columns of numbers and of lists of numbers. */
function numberColumns(schema: Schema): FileColumn[] {
  const columns: FileColumn[] = [];
  leaves(schema).forEach((path, index) => {
    const [top, leaf] = [path[0]!, path.at(-1)!];
    const half = leaf.logical_type?.type === 'FLOAT16' && leaf.type_length === 2;
    const dtype = half ? 'F16' : dtypes[leaf.type ?? ''];
    const repeated = path.findIndex((part) => part.repetition_type === 'REPEATED');
    const lists = path.filter((part) => part.repetition_type === 'REPEATED').length;
    const groups = path.slice(0, -1);
    const single = groups.every((part) => part.num_children === 1); // a list, not a struct of several
    if (!dtype || lists > 1 || !single || (lists === 0 && path.length > 1)) return;
    const levels = (parts: Schema): number =>
      parts.filter((part) => part.repetition_type !== 'REQUIRED').length;
    columns.push({
      name: top.name,
      path: path.map((part) => part.name).join('.'),
      index,
      dtype,
      list: lists === 1,
      maxDefinition: levels(path),
      listDefinition: levels(path.slice(0, repeated + 1)),
    });
  });
  return columns;
}

const topLevelNames = (schema: Schema): string[] => [...new Set(leaves(schema).map((path) => path[0]!.name))];

/** The schema's elements from the top to each column that holds values, in order. */
function leaves(schema: Schema): Schema[] {
  const paths: Schema[] = [];
  const walk = (i: number, above: Schema): number => {
    const path = [...above, schema[i]!];
    if (path.length > 32) throw new Error('the schema is nested deeper than 32 levels');
    const children = schema[i]!.num_children ?? 0;
    if (children === 0) paths.push(path);
    let next = i + 1;
    for (let c = 0; c < children && next < schema.length; c++) next = walk(next, path);
    return next;
  };
  for (let i = 1; i < schema.length; ) i = walk(i, []);
  return paths;
}

/** Sizes the metadata claims, against the file's. */
export function checkMetadata(metadata: FileMetaData, source: RandomAccess): void {
  let rows = 0;
  const paths = leaves(metadata.schema).map((path) => path.map((part) => part.name).join('.'));
  metadata.row_groups.forEach((group, g) => {
    const count = Number(group.num_rows);
    if (!Number.isSafeInteger(count) || count < 0)
      throw new Error(`row group ${g} claims ${group.num_rows} rows`);
    rows += count;
    if (
      group.columns.map(({ meta_data: meta }) => meta?.path_in_schema.join('.')).join('|') !== paths.join('|')
    ) {
      throw new Error(`row group ${g} has other columns than the schema`);
    }
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

export type ColumnMeta = NonNullable<FileMetaData['row_groups'][number]['columns'][number]['meta_data']>;

export function chunkRange(meta: ColumnMeta): { begin: number; end: number } {
  const begin = Number(meta.dictionary_page_offset || meta.data_page_offset);
  return { begin, end: begin + Number(meta.total_compressed_size) };
}
