/** What of @msae/lab needs Node: the Brown corpus, and the toy's pictures as files. */
export {
  type BrownDocument,
  type BrownTokens,
  baseTag,
  brownLabels,
  brownTokens,
  readBrown,
  universalTag,
} from './node/brown.ts';
export { type PageRun, toyPage } from './toy/toyPage.ts';
export { toyPng } from './toy/toyPng.ts';
