/** `msae toy`: the write-up's experiment on a tree of 20 features, trained and measured against the truth. */

import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { writeFileAtomic } from '@msae/data/node';
import {
  evaluateToy,
  isExact,
  summarizeToy,
  TOY_PRESETS,
  type ToyPreset,
  type ToyResult,
  toyHeading,
  toyLine,
  toySummaryLine,
  toySvg,
  trainToy,
} from '@msae/lab';
import { type PageRun, toyPage, toyPng } from '@msae/lab/node';
import { BACKENDS, releaseNode, useNode } from '@msae/node';
import { msaeError } from '@msae/schema';
import type { CommandDef } from 'citty';
import { command } from '../command.ts';
import { configArgument } from '../configFile.ts';
import { oneOf, wholeNumber } from '../flagValues.ts';

const args = {
  preset: {
    type: 'string',
    description: `${TOY_PRESETS.join(', ')}; several separated by commas, or all`,
    default: 'best',
    valueHint: 'name,…',
  },
  seeds: {
    type: 'string',
    description: 'seeds of data, weights and prefixes: a..b, or a list',
    default: '0',
    valueHint: 'a..b',
  },
  steps: { type: 'string', description: 'steps of 200 samples', default: '15000', valueHint: 'n' },
  backend: {
    type: 'string',
    description: `${BACKENDS.join(', ')}; the plain cpu backend is the fastest at this size`,
    default: 'cpu',
    valueHint: 'name',
  },
  out: {
    type: 'string',
    description: 'folder for heat maps (index.html, a PNG and an SVG a run) and results.json',
    valueHint: 'dir',
  },
  config: configArgument,
  json: { type: 'boolean', description: 'print the results as one JSON object' },
} as const;

const definition: CommandDef = command({
  meta: { name: 'toy', description: "The write-up's experiment: recover a tree of 20 known features" },
  args,
  async run({ args: given }) {
    try {
      await run(given as Given);
    } finally {
      releaseNode();
    }
  },
});

export default definition;

interface Given {
  readonly preset: string;
  readonly seeds: string;
  readonly steps: string;
  readonly backend: string;
  readonly out?: string | undefined;
  readonly json?: boolean | undefined;
}

async function run(given: Given): Promise<void> {
  const presets = presetsOf(given.preset);
  const seeds = seedsOf(given.seeds);
  const steps = wholeNumber('steps', given.steps);
  const name = oneOf('backend', given.backend, ['auto', ...BACKENDS]);
  const out = given.out === undefined ? undefined : resolve(given.out);
  if (out !== undefined) await mkdir(out, { recursive: true });
  const backend = await useNode({ backend: name, threads: 1 });
  const say = (text: string): void => {
    if (!given.json) process.stdout.write(`${text}\n`);
  };
  say(toyHeading());
  const results: ToyResult[] = [];
  const pages: PageRun[] = [];
  const abort = new AbortController();
  const interrupt = (): void => abort.abort();
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  for (const preset of presets) {
    for (const seed of seeds) {
      if (abort.signal.aborted) break;
      const trained = await trainToy({ preset, seed, steps, signal: abort.signal });
      if (trained === null) break;
      const { scores, pictures } = await evaluateToy(trained.sae, trained.source);
      trained.sae.dispose();
      const { seconds, stepsPerSecond } = trained;
      const result = { preset, seed, steps, seconds, stepsPerSecond, scores, exact: isExact(scores) };
      results.push(result);
      say(toyLine(result));
      if (out === undefined) continue;
      const png = toyPng(pictures);
      pages.push({ result, png });
      await writeFileAtomic(join(out, `${preset}-${seed}.png`), png);
      await writeFileAtomic(join(out, `${preset}-${seed}.svg`), toySvg(pictures, `${preset}, seed ${seed}`));
    }
  }
  process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  if (abort.signal.aborted) process.exitCode = 130;
  const summaries = summarizeToy(results);
  const json = JSON.stringify({ backend: backend.name, steps, summaries, results }, null, 1);
  if (out !== undefined) {
    await writeFileAtomic(join(out, 'index.html'), toyPage(pages, backend.name));
    await writeFileAtomic(join(out, 'results.json'), `${json}\n`);
  }
  if (given.json) process.stdout.write(`${json}\n`);
  for (const summary of summaries) say(toySummaryLine(summary));
  if (out !== undefined) say(`heat maps: ${join(out, 'index.html')}`);
}

function presetsOf(text: string): readonly ToyPreset[] {
  if (text === 'all') return TOY_PRESETS;
  return [...new Set(text.split(',').map((part) => oneOf('preset', part.trim(), TOY_PRESETS)))];
}

/** `0..9`, `3` or `0,4,7`. */
function seedsOf(text: string): readonly number[] {
  const range = /^(\d+)\.\.(\d+)$/.exec(text.trim());
  if (range === null) return [...new Set(text.split(',').map((part) => wholeNumber('seeds', part, 0)))];
  const [first, last] = [Number(range[1]), Number(range[2])];
  if (last < first || last - first >= 10_000) {
    throw msaeError(
      'option',
      `--seeds: expected a..b with a at most b and at most 10,000 seeds, got '${text}'`,
    );
  }
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}
