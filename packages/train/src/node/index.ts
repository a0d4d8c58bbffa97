/** What of @msae/train needs a file system: import it as `@msae/train/node`. */
export { directoryStorage } from './directoryStorage.ts';
export { jsonlFileSink } from './jsonlFileSink.ts';
export { tensorboardSink } from './tensorboardSink.ts';
