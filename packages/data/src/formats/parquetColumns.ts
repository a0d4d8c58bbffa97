/** What a Parquet file's metadata says: which columns are activations, and whether its sizes can be true. */
import type { FileMetaData } from 'hyparquet';
import type { RandomAccess } from '../byteSource.ts';
import type { TokenColumn } from '../rows.ts';

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

export interface Layout {
  data: string[];
  list: boolean;
  tokens: Partial<Record<TokenColumn, string>>;
}

/** Which columns are the activations, and which go beside them. */
export function findColumns({ schema }: FileMetaData, options: ColumnChoice, name: string): Layout {
  const top = topLevel(schema);
  const known = [...top.keys()].join(', ') || 'none';
  const need = (column: string, kinds: readonly string[]): string => {
    const kind = top.get(column);
    if (!kind) throw new Error(`${name}: there is no column ${JSON.stringify(column)}; it has: ${known}`);
    if (!kinds.includes(kind))
      throw new Error(`${name}: column ${column} does not hold ${kinds.join('s or ')}s`);
    return column;
  };
  const tokens: Layout['tokens'] = {};
  for (const [key, column] of Object.entries(defaultTokenColumns) as [TokenColumn, string][]) {
    const asked = options.tokenColumns?.[key];
    if (asked !== undefined) tokens[key] = need(asked, ['number']);
    else if (top.get(column) === 'number') tokens[key] = column;
  }
  if (typeof options.column === 'string') {
    return {
      data: [need(options.column, ['list', 'number'])],
      list: top.get(options.column) === 'list',
      tokens,
    };
  }
  if (options.column)
    return { data: options.column.map((column) => need(column, ['number'])), list: false, tokens };
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

/** Dotted paths of the columns that hold values, in order. */
function leafPaths(schema: FileMetaData['schema']): string[] {
  const paths: string[] = [];
  const walk = (i: number, above: string): number => {
    const { name, num_children: children = 0 } = schema[i] ?? { name: '' };
    const path = above ? `${above}.${name}` : name;
    if (children === 0) paths.push(path);
    let next = i + 1;
    for (let c = 0; c < children && next < schema.length; c++) next = walk(next, path);
    return next;
  };
  for (let i = 1; i < schema.length; ) i = walk(i, '');
  return paths;
}

/** Sizes the metadata claims, against the file's. */
export function checkMetadata(metadata: FileMetaData, source: RandomAccess): void {
  let rows = 0;
  const leaves = leafPaths(metadata.schema).join('|');
  metadata.row_groups.forEach((group, g) => {
    const count = Number(group.num_rows);
    if (!Number.isSafeInteger(count) || count < 0)
      throw new Error(`row group ${g} claims ${group.num_rows} rows`);
    rows += count;
    if (group.columns.map(({ meta_data: meta }) => meta?.path_in_schema.join('.')).join('|') !== leaves) {
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
