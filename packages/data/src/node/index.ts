/** What of @msae/data needs a file system: import it as `@msae/data/node`. */
export {
  describeDiskError,
  recoverDirectory,
  removePartials,
  replaceDirectory,
  writeFileAtomic,
} from './atomicFile.ts';
export { fileDirectory } from './fileDirectory.ts';
export { openFile } from './fileSource.ts';
export { makeDirectory } from './makeDirectory.ts';
export { type OpenRowsOptions, openRows } from './openRows.ts';
export { openSafetensorsFile, writeSafetensorsFile } from './safetensorsFile.ts';
