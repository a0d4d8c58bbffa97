import { BACKENDS, type BackendName, useNode } from '@msae/node';
import { profileWasm, resetWasmPeak, wasmMemory } from '@msae/wasm';
import type { CommandDef } from 'citty';
import { command } from '../command.ts';
import { numberAbove, oneOf, wholeNumber } from '../flagValues.ts';
import { type BenchOptions, benchSteps } from './benchStep.ts';

const step: CommandDef = command({
  meta: { name: 'step', description: 'Time whole training steps (gradients, clipping, Adam) on random data' },
  args: {
    d: { type: 'string', description: 'width of the activations', default: '512' },
    n: { type: 'string', description: 'latents', default: '4096' },
    batch: { type: 'string', description: 'rows a step', default: '1024' },
    k: { type: 'string', description: 'active latents a row (topk, batchtopk)', default: '32' },
    prefixes: { type: 'string', description: "prefixes a step: a count, or 'every'", default: '10' },
    activation: { type: 'string', description: 'topk, batchtopk or relu', default: 'topk' },
    l0: { type: 'string', description: 'relu: expected active latents a row', default: '40' },
    path: { type: 'string', description: 'sparse or dense', default: 'sparse' },
    backend: { type: 'string', description: `auto, ${BACKENDS.join(', ')}`, default: 'wasm' },
    matmul: {
      type: 'string',
      description: 'wasm backend: its large products on wasm or tensorflow',
      default: 'wasm',
    },
    threads: { type: 'string', description: 'CPU threads' },
    steps: { type: 'string', description: 'steps to measure, after two to warm up', default: '7' },
    json: { type: 'boolean', description: 'write one JSON object to stdout' },
  },
  async run({ args }) {
    const options: BenchOptions = {
      d: wholeNumber('d', args.d),
      n: wholeNumber('n', args.n),
      batch: wholeNumber('batch', args.batch),
      k: wholeNumber('k', args.k),
      steps: wholeNumber('steps', args.steps),
      prefixes: args.prefixes,
      l0: numberAbove('l0', args.l0, 0),
      activation: oneOf('activation', args.activation, ['topk', 'batchtopk', 'relu'] as const),
      path: oneOf('path', args.path, ['sparse', 'dense'] as const),
    };
    const name = oneOf('backend', args.backend, ['auto', ...BACKENDS] as const);
    const threads = args.threads === undefined ? undefined : wholeNumber('threads', args.threads);
    const matmul = oneOf('matmul', args.matmul, ['wasm', 'tensorflow'] as const);
    const backend = await useNode({
      backend: name as 'auto' | BackendName,
      matmul,
      ...(threads && { threads }),
    });
    const onWasm = backend.name === 'wasm';
    let stop: (() => Record<string, number>) | undefined;
    const times = await benchSteps(options, () => {
      if (!onWasm) return;
      resetWasmPeak();
      stop = profileWasm();
    });
    const parts = partsOf(stop?.(), options.steps, times);
    const peakResidentMiB = process.resourceUsage().maxRSS / 1024;
    const result = {
      ...options,
      backend,
      ...times,
      parts,
      peakResidentMiB,
      ...(onWasm && { wasm: wasmMemory() }),
    };
    if (args.json) return void process.stdout.write(`${JSON.stringify(result)}\n`);
    const lines = [
      `${backend.name}, ${backend.device}; d=${options.d} N=${options.n} B=${options.batch} ${options.activation}, L0 ${times.l0.toFixed(1)}, prefixes ${options.prefixes}, ${options.path}`,
      `${times.ms.toFixed(1)} ms/step   ${Math.round(times.tokensPerSecond).toLocaleString('en')} tokens/s   peak ${Math.round(peakResidentMiB)} MiB resident`,
      ...Object.entries(parts).map(([part, ms]) => `  ${part.padEnd(10)} ${ms.toFixed(2)} ms`),
    ];
    process.stdout.write(`${lines.join('\n')}\n`);
  },
});

const bench: CommandDef = command({
  meta: { name: 'bench', description: 'Measure training steps on this machine' },
  subCommands: { step: step },
});

export default bench;

/** The jobs of @msae/wasm by part of a step. */
const JOBS: Record<string, readonly string[]> = {
  encode: ['packX', 'packB', 'encodeGroup', 'quantiseX', 'packQuantised', 'encodeQuantised'],
  select: ['finishLists', 'batchCut', 'pruneLists', 'refine'],
  decode: ['zero', 'decodeSlice', 'finishValues', 'latentNorms', 'penaltyRows'],
  gradients: ['transposeLists', 'latentGrads'],
  adam: ['sumOfSquares', 'adam'],
};

function partsOf(
  jobs: Record<string, number> | undefined,
  steps: number,
  times: { gradients: number; optimizer: number },
): Record<string, number> {
  if (jobs === undefined) return { gradients: times.gradients, adam: times.optimizer };
  const parts: Record<string, number> = {};
  for (const [part, names] of Object.entries(JOBS)) {
    parts[part] = names.reduce((sum, name) => sum + (jobs[name] ?? 0), 0) / steps;
  }
  const known = Object.values(parts).reduce((sum, ms) => sum + ms, 0);
  parts.other = Math.max(0, times.gradients + times.optimizer - known);
  return parts;
}
