/**
 * `pnpm interop`: checks both ways, against the peers themselves, that SAEs mean the same there and here.
 *
 *   theirs → ours   they write, they and we compute from it, to 1e-5
 *   ours → theirs   we write, their loaders read it, to 1e-5
 *   trained there   SAELens trains for 400 steps; L0 and FVU there and here, at a checkpoint and at the end
 *
 * Makes a virtual environment with the current sae-lens, dictionary-learning and eai-sparsify from PyPI in
 * .cache/interop (needs python3 ≥ 3.10, a network, about 2 GB), or uses the Python named by MSAE_INTEROP_PYTHON.
 * `--all` prints every case instead of one line a kind. Exits with 1 if any check fails.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const repository = join(here, '..', '..');
const environment = {
  ...process.env,
  OMP_NUM_THREADS: '2',
  TQDM_DISABLE: '1',
  TRANSFORMERS_VERBOSITY: 'error',
};

/** Runs a program and returns its standard output; its standard error is shown only when it fails. */
function run(program, args, { show = false } = {}) {
  const result = spawnSync(program, args, {
    cwd: repository,
    env: environment,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', show ? 'inherit' : 'pipe', show ? 'inherit' : 'pipe'],
  });
  if (result.error || result.status !== 0) {
    console.error(result.stderr ?? '');
    console.error(
      `interop: ${program} ${args.join(' ')} failed: ${result.error?.message ?? `status ${result.status}`}`,
    );
    process.exit(1);
  }
  return result.stdout ?? '';
}

function findPython() {
  if (process.env.MSAE_INTEROP_PYTHON) return process.env.MSAE_INTEROP_PYTHON;
  const folder = join(repository, '.cache', 'interop');
  const python = join(folder, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python');
  if (!existsSync(python)) {
    console.log('interop: making a virtual environment (once)');
    mkdirSync(folder, { recursive: true });
    run('python3', ['-m', 'venv', folder], { show: true });
  }
  const packages = ['sae-lens', 'dictionary-learning', 'eai-sparsify'];
  run(python, ['-m', 'pip', 'install', '--quiet', '--upgrade', ...packages], { show: true });
  return python;
}

const python = findPython();
const work = mkdtempSync(join(tmpdir(), 'msae-interop-'));
const rows = [];
const script = (name) => join(here, name);
const inPython = (name) => run(python, [script(name), work]);
const inNode = (name) => run(process.execPath, ['--import', 'tsx', script(name), work]);
const collect = (output) => {
  for (const line of output.split('\n')) if (line.startsWith('{"case"')) rows.push(JSON.parse(line));
};
try {
  inPython('peer_cases.py');
  collect(inNode('check_reading.ts'));
  inNode('write_ours.ts');
  collect(inPython('check_ours.py'));
  inPython('train_saelens.py');
  collect(inNode('check_trained.ts'));
} finally {
  rmSync(work, { recursive: true, force: true });
}

const kinds = new Map();
for (const row of rows) {
  const key = process.argv.includes('--all')
    ? `${row.way}${row.case}`
    : `${row.way}${row.format}${row.architecture}`;
  const kind = kinds.get(key) ?? { ...row, cases: 0, failed: 0, modes: new Set(), worst: 0 };
  kind.cases++;
  if (row.problems.length) kind.failed++;
  kind.worst = Math.max(kind.worst, row.worst ?? Number.NaN);
  kind.modes.add(row.normalize);
  kinds.set(key, kind);
}
const cells = [['', 'format', 'release', 'architecture', 'normalisation', 'cases', 'largest difference', '']];
for (const kind of kinds.values()) {
  const { way, format, version, architecture, modes, cases, worst, failed } = kind;
  const modeText = [...modes].join(', ');
  const verdict = failed ? `FAILED ${failed}` : 'ok';
  cells.push([way, format, version, architecture, modeText, `${cases}`, worst.toExponential(1), verdict]);
}
const widths = cells[0].map((_, column) => Math.max(...cells.map((row) => row[column].length)));
for (const row of cells)
  console.log(
    row
      .map((cell, column) => cell.padEnd(widths[column]))
      .join('  ')
      .trimEnd(),
  );

const failures = rows.filter((row) => row.problems.length);
for (const row of failures) console.log(`FAILED ${row.way} ${row.case}: ${row.problems.join('; ')}`);
const ways = ['theirs → ours', 'ours → theirs', 'trained there'];
const missing = ways.filter((way) => !rows.some((row) => row.way === way));
for (const way of missing) console.log(`FAILED ${way}: no case was run`);
console.log(`${rows.length - failures.length} of ${rows.length} checks agree to 1e-5 (L0 to 1e-3)`);
process.exit(failures.length || missing.length ? 1 : 0);
