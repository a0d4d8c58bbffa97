/**
 * `npm test`: everything that says whether this checkout is sound, from a fresh clone with Node and npm only. Lint, types,
 * build, tests in Node, tests in a real Chromium with WebGPU, package checks, and an installation of the packed packages.
 *
 *     npm test                 all of it
 *     npm test -- --native     also builds tfjs-node against the libtensorflow of a pip wheel and tests on it
 */
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { bin, checkNode, fail, findChromium, installPackages, root, run } from './setup.mjs';

const known = ['--native'];
const flags = process.argv.slice(2);
const unknown = flags.find((flag) => !known.includes(flag));
if (unknown) fail(`unknown option ${unknown}; npm test knows ${known.join(', ')}`);

checkNode();
installPackages();
const chromium = findChromium();
if (!chromium) {
  fail(
    'no Chromium could be found or installed; install one and set CHROMIUM_PATH to its program, then run npm test again',
  );
}

const totals = { passed: 0, failed: 0, skipped: 0 };
const results = join(root, '.cache', 'test-results');
rmSync(results, { recursive: true, force: true });
mkdirSync(results, { recursive: true });
const env = { CHROMIUM_PATH: chromium, CI: process.env.CI ?? 'true' };

if (flags.includes('--native')) {
  const start = Date.now();
  const { setUpNative } = await import('./native.mjs');
  const native = await setUpNative();
  if (native.ok) Object.assign(env, native.env);
  const outcome = native.ok ? 'ok' : `skipped: ${native.reason}`;
  console.log(`native tensorflow: ${outcome} (${seconds(start)} s)`);
  if (!native.ok) totals.skipped++;
}

const packages = readdirSync(join(root, 'packages'));
const steps = [
  ['lint', () => run(bin('biome'), ['check', '.', '--diagnostic-level=error'])],
  ['types', () => run(bin('tsc'), ['--noEmit'])],
  ['build', () => run(bin('turbo'), ['run', 'build', '--output-logs=errors-only'])],
  ['unused code (knip)', () => run(bin('knip'), ['--no-config-hints'])],
  ['sizes', () => run(bin('size-limit'), [])],
  ['packages (publint)', () => all(packages, (name) => run(bin('publint'), [join('packages', name)]))],
  ['tests in Node', () => vitest('node')],
  ['tests in Chromium', () => vitest('browser')],
  ['packed packages in an empty project', () => run(process.execPath, ['tools/smoke.mjs'])],
];

const failures = [];
for (const [name, step] of steps) {
  const start = Date.now();
  const { ok, output, counted } = step();
  console.log(`${ok ? 'ok    ' : 'FAILED'} ${name} (${seconds(start)} s)`);
  if (!ok) {
    failures.push(name);
    console.log(output.split('\n').slice(-200).join('\n'));
  }
  if (!counted) totals[ok ? 'passed' : 'failed']++;
}

if (failures.length > 0) console.log(`failed: ${failures.join(', ')}`);
console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
process.exitCode = failures.length === 0 ? 0 : 1;

function seconds(start) {
  return ((Date.now() - start) / 1000).toFixed(0);
}

function all(names, check) {
  const outcomes = names.map(check);
  return { ok: outcomes.every((o) => o.ok), output: outcomes.map((o) => o.output).join('') };
}

/** Runs one vitest project, adds its counts up and prints every skipped test with its name. */
function vitest(project) {
  const file = join(results, `${project}.json`);
  const args = [
    'run',
    '--project',
    project,
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${file}`,
  ];
  const outcome = run(bin('vitest'), args, { env });
  let report;
  try {
    report = JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return { ...outcome, ok: false };
  }
  totals.passed += report.numPassedTests;
  totals.failed += report.numFailedTests;
  const skipped = report.testResults
    .flatMap((f) => f.assertionResults)
    .filter((t) => t.status === 'pending' || t.status === 'skipped');
  totals.skipped += skipped.length;
  for (const test of skipped) console.log(`       skipped: ${test.fullName}`);
  return { ...outcome, counted: report.numTotalTests > 0, ok: outcome.ok && report.numPassedTests > 0 };
}
