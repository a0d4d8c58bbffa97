/**
 * Self-contained HTML reports of sparse autoencoders. `renderReport` returns the page; `writeReport` of `@msae/report/node` puts it
 * on disk.
 */
export { renderReport } from './renderReport.ts';
export type {
  CurvePoint,
  EvaluationInput,
  Fact,
  RecoveredInput,
  ReportInput,
  ReportRun,
  ReportTable,
} from './reportInput.ts';
