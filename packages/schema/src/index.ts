/**
 * What the msae packages share below everything else: option schemas, from which checks, command-line flags and the tables
 * of the documentation derive, and one family of errors.
 *
 * @example
 * ```ts
 * import { check, object, optional, whole } from '@msae/schema';
 *
 * interface Options { rows: number; keep?: number }
 * const options = object<Options>({
 *   rows: whole({ min: 1, help: 'rows of a batch' }),
 *   keep: optional(whole({ min: 1, help: 'how many to keep' }), 3),
 * });
 * check(options, { rows: 8, kepe: 2 }, 'store'); // throws: store: there is no option kepe (did you mean keep?)
 * ```
 *
 * @module
 */

export {
  check,
  type LeafValue,
  type OptionRow,
  optionRows,
  optionTable,
  problems,
  type Schema,
  type SchemaNode,
  schemaNode,
} from './check.ts';
export { didYouMean, nearestNames } from './didYouMean.ts';
export { type ErrorCode, type ErrorDetails, isMsaeError, type MsaeError, msaeError } from './errors.ts';
export {
  choice,
  type FieldNotes,
  flag,
  givenBy,
  list,
  literal,
  nullable,
  number,
  object,
  optional,
  switchable,
  text,
  variant,
  whole,
} from './schemas.ts';
