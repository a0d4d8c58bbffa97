/** Reports on disk (Node only). */
export { writeReport } from './writeReport.ts';
