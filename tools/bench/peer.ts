/**
 * Training steps of msae and of PyTorch in turns on the same machine, and the ratios.
 *
 *     pnpm bench:peer [--threads 2] [--rounds 3] [--backend wasm,hybrid] [--sizes 512x4096,768x12288,768x24576] [--json]
 *
 * `hybrid` keeps all tensors in wasm memory and runs the encoder's product on libtensorflow (`msae setup-native` first).
 * PyTorch comes from MSAE_BENCH_PYTHON (an interpreter that has torch); without it a virtual environment is made in
 * node_modules/.cache/msae-bench and torch is installed there with pip.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('../../', import.meta.url));

const { values: args } = parseArgs({
  options: {
    threads: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '3' },
    steps: { type: 'string', default: '5' },
    backend: { type: 'string', default: 'wasm' },
    sizes: { type: 'string', default: '512x4096,768x12288,768x24576' },
    batch: { type: 'string', default: '1024' },
    k: { type: 'string', default: '32' },
    prefixes: { type: 'string', default: '10' },
    json: { type: 'boolean', default: false },
  },
});

interface Timing {
  ms: number;
  /** processor time over all threads: steadier than `ms` where other work shares the machine */
  cpuMs: number;
}

function python(): string {
  const given = process.env.MSAE_BENCH_PYTHON;
  if (given !== undefined) return given;
  const folder = `${root}node_modules/.cache/msae-bench`;
  const interpreter = `${folder}/bin/python`;
  if (!existsSync(interpreter)) {
    mkdirSync(folder, { recursive: true });
    process.stderr.write('bench:peer: making a virtual environment with PyTorch (once)\n');
    execFileSync('python3', ['-m', 'venv', folder], { stdio: 'inherit' });
    execFileSync(interpreter, ['-m', 'pip', 'install', '--quiet', 'torch', 'numpy'], { stdio: 'inherit' });
  }
  return interpreter;
}

/** PyTorch must not be held back by variables that choose an older instruction set. */
function peerEnvironment(): NodeJS.ProcessEnv {
  const handicaps = /^(OPENBLAS_|ATEN_CPU_CAPABILITY|DNNL_|ONEDNN_|MKL_|OMP_|TORCH_)/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !handicaps.test(name)));
}

const interpreter = python();
const shared = (d: string, n: string): string[] => {
  const sizes = ['--d', d, '--n', n, '--batch', args.batch, '--k', args.k, '--prefixes', args.prefixes];
  return [...sizes, '--threads', args.threads, '--steps', args.steps, '--json'];
};
const parse = (text: string): Timing => JSON.parse(text.trim().split('\n').at(-1)!) as Timing;

function runPyTorch(d: string, n: string): Timing {
  const command = [`${root}tools/bench/pytorch_step.py`, ...shared(d, n)];
  return parse(execFileSync(interpreter, command, { env: peerEnvironment(), encoding: 'utf8' }));
}

function runMsae(backend: string, d: string, n: string): Timing {
  const onWasm = ['--backend', 'wasm', '--matmul', 'tensorflow'];
  const where = backend === 'hybrid' ? onWasm : ['--backend', backend];
  const command = [
    '--import',
    'tsx',
    `${root}packages/cli/src/main.ts`,
    'bench',
    'step',
    ...where,
    ...shared(d, n),
  ];
  return parse(execFileSync(process.execPath, command, { cwd: root, encoding: 'utf8' }));
}

/** The median over the rounds of both measures. */
function summary(runs: readonly Timing[]): Timing {
  const middle = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1]!;
  return { ms: middle(runs.map((r) => r.ms)), cpuMs: middle(runs.map((r) => r.cpuMs)) };
}

const rows: unknown[] = [];
for (const size of args.sizes.split(',')) {
  const [d, n] = size.split('x') as [string, string];
  for (const backend of args.backend.split(',')) {
    const [peer, own]: [Timing[], Timing[]] = [[], []];
    for (let round = 0; round < Number(args.rounds); round++) {
      peer.push(runPyTorch(d, n));
      own.push(runMsae(backend, d, n));
    }
    const [pytorch, msae] = [summary(peer), summary(own)];
    const row = { d: Number(d), N: Number(n), backend, pytorch, msae, ratio: msae.ms / pytorch.ms };
    rows.push(row);
    if (args.json) continue;
    const times = `PyTorch ${pytorch.ms.toFixed(0)} ms   msae ${msae.ms.toFixed(0)} ms   ratio ${row.ratio.toFixed(3)}`;
    const processor = `processor time ${pytorch.cpuMs.toFixed(0)} and ${msae.cpuMs.toFixed(0)} ms`;
    process.stdout.write(`d=${d} N=${n} ${backend}, ${args.threads} threads: ${times}   (${processor})\n`);
  }
}
if (args.json) process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
