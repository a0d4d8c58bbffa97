/**
 * Self-contained HTML reports of sparse autoencoders. `renderReport` returns the page; `writeReport` of `@msae/report/node` puts it
 * on disk.
 */
export { renderReport } from './renderReport.ts';
export type {
  ContextInput,
  CurvePoint,
  EvaluationInput,
  Fact,
  ForestInput,
  LatentInput,
  ProbesInput,
  RecoveredInput,
  ReportInput,
  ReportRun,
  ReportTable,
} from './reportInput.ts';
