/** What of @msae/data needs a file system: import it as `@msae/data/node`. */
export { replaceDirectory, writeFileAtomic } from './atomicFile.ts';
export { checkWritable } from './checkWritable.ts';
export { fileDirectory } from './fileDirectory.ts';
export { openFile } from './fileSource.ts';
export { makeDirectory } from './makeDirectory.ts';
export { openRows } from './openRows.ts';
export { openSafetensorsFile, writeSafetensorsFile } from './safetensorsFile.ts';
