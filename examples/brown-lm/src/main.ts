/**
 * The main job, what `npm start` runs: a real language model and real text → layer 2's residual stream → a Matryoshka and a vanilla
 * sparse autoencoder → measurements on held-out documents → a report.
 */
import { join } from 'node:path';
import { releaseNode, useNode } from '@msae/node';
import { writeReport } from '@msae/report/node';
import { isMsaeError } from '@msae/schema';
import { Presets, SingleBar } from 'cli-progress';
import { brownActivations } from './activations.ts';
import { measure, reportRun } from './measure.ts';
import { HELP, type JobOptions, parseOptions } from './options.ts';
import { summaryTable, tableText, verdict } from './summary.ts';
import { ACTIVE, BATCH, N_LATENTS, PREFIXES, type TrainedSae, trainSae, type Variant } from './trainSae.ts';

const say = (text: string): void => void process.stderr.write(`${text}\n`);

function bar(format: string, total: number): SingleBar {
  const made = new SingleBar(
    { format, stream: process.stderr, clearOnComplete: false },
    Presets.shades_classic,
  );
  made.start(total, 0, { rate: '?', fvu: '?', l0: '?' });
  return made;
}

async function run(job: JobOptions & { readonly threads: number }, signal: AbortSignal): Promise<void> {
  const backend = await useNode({ backend: job.backend, threads: job.threads });
  say(`backend: ${backend.name}, ${backend.device}`);

  const harvesting = bar(
    'harvest     {bar} {percentage}% | {value}/{total} tokens | {rate} tokens/s',
    job.tokens,
  );
  const activations = await brownActivations({
    folder: join(job.out, 'activations'),
    tokens: job.tokens,
    heldOut: job.heldOut ?? Number.POSITIVE_INFINITY,
    threads: job.threads,
    signal,
    onProgress: (rows, total, rate) => {
      harvesting.setTotal(total);
      harvesting.update(rows, { rate: Math.round(rate) });
    },
  }).finally(() => harvesting.stop());
  const { train, heldOut, newRows } = activations;
  if (newRows === 0) say('harvest     already on disk');

  const trained: TrainedSae[] = [];
  for (let seed = 0; seed < job.seeds; seed++) {
    for (const variant of ['matryoshka', 'vanilla'] satisfies Variant[]) {
      const training = bar(
        `${variant.padEnd(11)} {bar} {percentage}% | {value}/{total} steps | FVU {fvu} | L0 {l0} | {rate} tokens/s`,
        job.steps,
      );
      const result = await trainSae({
        variant,
        seed,
        store: train.store,
        job,
        signal,
        onMetrics: ({ step, fvu, l0, tokensPerSecond }) =>
          training.update(step, {
            fvu: fvu.toFixed(4),
            l0: l0.toFixed(1),
            rate: Math.round(tokensPerSecond),
          }),
        onWarning: (message) => say(`\n${variant}: ${message}`),
      }).finally(() => training.stop());
      if (result.found) say(`${variant}, seed ${seed}: already trained, in ${result.folder}`);
      trained.push(result);
    }
  }

  const measured = await measure(trained, activations, {
    signal,
    onProgress: (what) => say(`measure     ${what}`),
  });
  const table = summaryTable(measured);
  const shown = measured.filter((m) => m.trained.seed === 0);
  const { tokenizer } = activations;
  const report = await writeReport(join(job.out, 'report.html'), {
    title: 'A Matryoshka SAE on layer 2 of brown-lm',
    subtitle: `${N_LATENTS.toLocaleString('en')} latents, about ${ACTIVE} active a token, beside a vanilla SAE with the same training; measured on held-out documents.`,
    facts: [
      {
        label: 'Language model',
        value: 'examples/brown-lm/model: 4 layers, width 128, trained on the Brown corpus',
      },
      { label: 'Activations', value: 'residual stream after layer 2 (blocks.2.resid_post)' },
      {
        label: 'Training tokens',
        value: `${train.store.length.toLocaleString('en')}, ${job.steps.toLocaleString('en')} steps of ${BATCH}`,
      },
      {
        label: 'Held-out tokens',
        value: `${heldOut.store.length.toLocaleString('en')}, every tenth document`,
      },
      {
        label: 'Activation',
        value: job.activation === 'log' ? 'ReLU with a log penalty' : `${job.activation} ${ACTIVE}`,
      },
      {
        label: 'Prefixes',
        value: job.prefixes === 'fixed' ? PREFIXES.join(', ') : 'ten a step from a truncated Pareto',
      },
      { label: 'Backend', value: `${backend.name}, ${backend.device}` },
    ],
    tables: [table],
    vocabulary: Array.from({ length: tokenizer.size }, (_, id) => tokenizer.textOf(id)),
    runs: await Promise.all(shown.map((m) => reportRun(m, activations))),
  });
  if (job.json) process.stdout.write(`${JSON.stringify({ report: report.path, table })}\n`);
  else process.stdout.write(`\n${tableText(table)}\n\n${verdict(measured)}\n\nreport: ${report.path}\n`);
  for (const { sae } of trained) sae.dispose();
}

const abort = new AbortController();
process.once('SIGINT', () => abort.abort(new Error('interrupted')));
try {
  const job = parseOptions(process.argv.slice(2));
  if (job === 'help') process.stdout.write(HELP);
  else await run(job, abort.signal);
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  say(abort.signal.aborted ? '\ninterrupted; the same command goes on from here' : `npm start: ${message}`);
  process.exitCode = abort.signal.aborted ? 130 : isMsaeError(error, 'option') ? 2 : 1;
} finally {
  releaseNode();
}
// Worker threads of the backend would keep the process alive.
process.exit();
