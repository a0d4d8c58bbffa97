/**
 * What the examples, the benchmarks and `msae toy` share and no user installs: the write-up's toy experiment. What needs Node,
 * the Brown corpus among it, is in `@msae/lab/node`.
 *
 * @packageDocumentation
 */
export { evaluateToy, type ToyEvaluation, type ToyPictures, type ToyScores } from './toy/evaluateToy.ts';
export { toySvg } from './toy/heatMaps.ts';
export { TOY_PRESETS, type ToyPreset, toyRecipe } from './toy/toyRecipe.ts';
export {
  isExact,
  summarizeToy,
  type ToyResult,
  type ToySummary,
  toyHeading,
  toyLine,
  toySummaryLine,
} from './toy/toyTable.ts';
export { type ToyRun, trainToy } from './toy/trainToy.ts';
