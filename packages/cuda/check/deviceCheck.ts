/**
 * The check of @msae/cuda on a real card, one bundled file (scripts/packCheck.ts): correctness, then times, in at most `--seconds`
 * (90; raise it to 300 for all of torch.compile). Compares with PyTorch where python3 has torch. `--small` runs it at toy sizes, for the emulated device. Prints as it goes; writes check.json into $OUT or here.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { currentDevice, useCuda } from '../src/useCuda.ts';
import { measureCeilings } from './ceilings.ts';
import { checkCorrectness } from './correctness.ts';
import { type PeerTime, pythonWithTorch, runPeer } from './peer.ts';
import { checkSelection, differingLists } from './selection.ts';
import { prefixesOf, type Shape, type StepTime, startTraining, timeSteps } from './stepTime.ts';

const { values: flags } = parseArgs({
  options: { seconds: { type: 'string', default: '90' }, small: { type: 'boolean', default: false } },
});
const started = performance.now();
const seconds = (): number => (performance.now() - started) / 1000;
const report: Record<string, unknown> = {};
const say = (line: string): void => void process.stdout.write(`[${seconds().toFixed(1)} s] ${line}\n`);

/** Runs a part; what it throws is reported and the next part runs. */
async function part(name: string, run: () => Promise<unknown>): Promise<void> {
  if (seconds() > Number(flags.seconds)) return say(`${name}: left out, the time is over`);
  try {
    report[name] = await run();
  } catch (error) {
    report[name] = { error: String(error) };
    say(`${name}: FAILED: ${(error as Error).stack}`);
  }
}

const shapes: Shape[] = flags.small
  ? [{ d: 32, n: 256, batch: 16, k: 4 }]
  : [
      { d: 512, n: 4096, batch: 1024, k: 32 },
      { d: 768, n: 12_288, batch: 1024, k: 32 },
      { d: 768, n: 24_576, batch: 1024, k: 32 },
      { d: 768, n: 24_576, batch: 4096, k: 32 },
    ];

const label = ({ d, n, batch }: Shape): string => `d ${d}, N ${n}, B ${batch}`;
const table = (kernels: Readonly<Record<string, number>>, least: number): string =>
  Object.entries(kernels)
    .filter(([, ms]) => ms >= least)
    .map(([name, ms]) => `    ${name.padEnd(24)} ${ms.toFixed(4)}`)
    .join('\n');
const line = (t: StepTime): string =>
  `${label(t)}, ${t.prefixes} prefixes: ${t.milliseconds.toFixed(3)} ms a step (host ${t.hostMilliseconds.toFixed(3)}), ` +
  `${t.tokensPerSecond} tokens/s, peak ${t.peakMiB} MiB, loss ${t.firstLoss.toFixed(4)} → ${t.lastLoss.toFixed(4)}`;

await part('device', async () => {
  const description = await useCuda();
  say(`${description.device}, ${(description.limits.maxMemoryBytes! / 2 ** 30).toFixed(1)} GiB`);
  return description;
});
if ('error' in (report.device as object)) process.exit(1);
for (const matmul of ['float32', 'tf32'] as const) {
  await part(`correctness, encoder in ${matmul}`, async () => {
    await useCuda({ matmul });
    const verdict = await checkCorrectness();
    say(
      `${matmul}: ${verdict.passed} checks passed, ${verdict.failed.length} failed, worst golden error ${verdict.worstError.toExponential(1)}`,
    );
    for (const failure of verdict.failed) say(`  ${failure.slice(0, 400)}`);
    return verdict;
  });
}
await part('selection', async () => {
  const { d, n, k } = shapes.at(-1)!;
  const verdict = await checkSelection(d, n, flags.small ? 16 : 512, k);
  say(
    `selection in TF32: ${verdict.wrong} entries of ${verdict.rows} rows wrong, worst value error ${verdict.worstValue.toExponential(1)}`,
  );
  return verdict;
});
await part('lists', async () => {
  const { d, n, batch, k } = shapes.at(-1)!;
  const differing = await differingLists(d, n, batch, k);
  say(
    `lists in TF32 and in float32 name other latents in ${differing} of ${batch} rows (ties by rounding: about 1)`,
  );
  return { differing, rows: batch };
});
await part('ceilings', async () => {
  const c = measureCeilings();
  say(
    `ceilings: copy ${c.copy.toFixed(2)} TB/s, TF32 ${c.tf32.toFixed(0)} TFLOP/s, float32 ${c.float32.toFixed(0)} TFLOP/s, ` +
      `a launch ${c.launch.toFixed(2)} µs of the host`,
  );
  return c;
});
/** Milliseconds of a step with ten prefixes, by shape. */
const own = new Map<string, number>();
for (const shape of shapes) {
  await part(label(shape), async () => {
    const times = await timeSteps(shape, ['ten', 'every'], flags.small ? 3 : 50);
    for (const t of times) say(`${line(t)}\n${table(t.kernels, 0.004)}`);
    own.set(label(shape), times[0]!.milliseconds);
    return times;
  });
}
const python = pythonWithTorch();
const sayPeer = (time: PeerTime): void => {
  const ms = own.get(label({ ...time, k: 0 }));
  const head = `PyTorch ${time.torch}, ${time.mode}, ${label({ ...time, k: 0 })}`;
  const ratio = time.ms && ms ? `: ${(time.ms / ms).toFixed(2)} × msae's ${ms.toFixed(3)}` : '';
  const took = `${time.ms?.toFixed(3)} ms a step, peak ${time.peakMiB?.toFixed(0)} MiB${ratio}`;
  say(`${head}: ${time.error ?? took}`);
};
await part('dense latents', async () => {
  const [time] = await timeSteps(
    { ...shapes.at(-1)!, dense: flags.small ? 4 : 64 },
    ['ten'],
    flags.small ? 2 : 10,
  );
  say(`64 latents are active in half of the rows: ${line(time!)}\n${table(time!.kernels, 0.02)}`);
  return time;
});
await part('rows a product', async () => {
  // fewer rows at a time: the pre-activations may stay in the cache between the product and the selection
  const shape = shapes.at(-1)!;
  const training = startTraining(shape);
  const prefixes = prefixesOf('ten', shape.n);
  const device = currentDevice();
  const whole = device.scratchBytes;
  const out: Record<string, Record<string, number>> = {};
  for (const rows of flags.small ? [8] : [256, 512, 1024, 2048, 4096]) {
    (device as { scratchBytes: number }).scratchBytes = 4 * rows * shape.n;
    training.step(prefixes);
    const stop = device.profile();
    for (let i = 0; i < 3; i++) training.step(prefixes);
    const kernels = Object.fromEntries(Object.entries(stop()).map(([name, k]) => [name, k.milliseconds / 3]));
    out[rows] = kernels;
    say(`${rows} rows a product:\n${table(kernels, 0.02)}`);
  }
  (device as { scratchBytes: number }).scratchBytes = whole;
  training.dispose();
  return out;
});
await part('float32 encoder', async () => {
  await useCuda({ matmul: 'float32' });
  const [time] = await timeSteps(shapes.at(-1)!, ['ten'], flags.small ? 2 : 8);
  say(`float32 encoder, ${line(time!)}\n${table(time!.kernels, 0.02)}`);
  return time;
});
const left = (): number => 1000 * (Number(flags.seconds) - seconds());
await part('PyTorch, eager', async () => {
  if (python === undefined) {
    say('PyTorch: left out, no python3 here has torch');
    return undefined;
  }
  const modes = ['float32', 'tf32', 'bf16'];
  return runPeer(python, { shapes, modes, limit: Math.min(60_000, left()) }, sayPeer);
});
await part('PyTorch, compiled', async () => {
  if (python === undefined) return undefined;
  const largestFirst = [...shapes].reverse();
  const modes = ['compile-tf32', 'compile-bf16'];
  return runPeer(python, { shapes: largestFirst, modes, limit: left() }, sayPeer);
});
writeFileSync(`${process.env.OUT ?? '.'}/cuda-check.json`, JSON.stringify(report, undefined, 1));
say('done');
