/** `msae report EVALUATION…`: one HTML page of one or several evaluated SAEs. */

import { readFile } from 'node:fs/promises';
import type { CurvePoint, ReportRun } from '@msae/report';
import { writeReport } from '@msae/report/node';
import { msaeError } from '@msae/schema';
import type { CommandDef } from 'citty';
import { command } from '../command.ts';
import { forceArgument, refuseExisting } from '../outputs.ts';
import { readEvaluation } from './evaluationFile.ts';

const definition: CommandDef = command({
  meta: {
    name: 'report',
    description: 'Make one self-contained HTML page of evaluations, the first shown first',
  },
  args: {
    evaluation: {
      type: 'positional',
      required: true,
      description: 'files of msae eval; several are set side by side',
      valueHint: 'file…',
    },
    out: { type: 'string', description: 'the page', default: 'report.html', valueHint: 'file' },
    title: { type: 'string', description: 'its title', default: 'Sparse autoencoders', valueHint: 'text' },
    metrics: {
      type: 'string',
      description: 'metrics.jsonl of the trainings, in the order of the evaluations, separated by commas',
      valueHint: 'file,…',
    },
    force: forceArgument,
    json: { type: 'boolean', description: 'print path and size as JSON' },
  },
  async run({ args }) {
    await refuseExisting(args.out, '--out', args.force);
    const files = await Promise.all(args._.map(readEvaluation));
    const metrics = args.metrics === undefined ? [] : args.metrics.split(',');
    if (metrics.length > files.length) {
      throw msaeError(
        'option',
        `--metrics: ${metrics.length} files for ${files.length} evaluations; give at most one each`,
      );
    }
    const runs = await Promise.all(
      files.map(
        async (
          { vocabulary: _vocabulary, kind: _kind, version: _version, ...run },
          at,
        ): Promise<ReportRun> => {
          const path = metrics[at];
          return path === undefined ? run : { ...run, curves: await readCurves(path) };
        },
      ),
    );
    const vocabulary = files.find((file) => file.vocabulary)?.vocabulary;
    const { path, bytes } = await writeReport(args.out, {
      title: args.title,
      runs,
      ...(vocabulary && { vocabulary }),
    });
    process.stdout.write(
      args.json ? `${JSON.stringify({ path, bytes })}\n` : `${path} (${(bytes / 1e6).toFixed(1)} MB)\n`,
    );
  },
});

export default definition;

async function readCurves(path: string): Promise<CurvePoint[]> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new Error(`${path}: ${cause.code === 'ENOENT' ? 'there is no such file' : cause.message}`, {
      cause,
    });
  });
  return text
    .split('\n')
    .filter(Boolean)
    .flatMap((line, at) => {
      try {
        const event = JSON.parse(line) as CurvePoint & { type?: string };
        return event.type === undefined || event.type === 'metrics' ? [event] : [];
      } catch (cause) {
        throw new Error(`${path}: line ${at + 1} is not JSON; expected the metrics.jsonl of msae train`, {
          cause,
        });
      }
    });
}
