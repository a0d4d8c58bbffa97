/**
 * Checks golden files of the Matryoshka loss on one backend, through the public API.
 *
 *     pnpm golden --backend cpu|wasm|webgpu|tensorflow [--browser] [--path dense|sparse] FILE…
 *
 * For every case a line with the worst error of each part, relative to that part's largest magnitude; exit code 1 above
 * 1e-4 (2e-4 on webgpu), 2 for bad usage. `--browser` runs in Chromium (webgpu, wasm or cpu).
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { type GoldenCase, goldenTolerance, parseGolden } from '@msae/core/testing';
import { releaseNode, useNode } from '@msae/node';
import { runInBrowser } from './goldenBrowser.ts';
import { type GoldenJob, runOnCurrentBackend } from './goldenCases.ts';

const backends = ['cpu', 'wasm', 'webgpu', 'tensorflow'] as const;

function usage(message: string): never {
  console.error(
    `golden: ${message}\nusage: pnpm golden --backend ${backends.join('|')} [--browser] [--path dense|sparse] FILE…`,
  );
  process.exit(2);
}

function read(file: string): GoldenCase[] {
  try {
    return parseGolden(JSON.parse(readFileSync(file, 'utf8')), file);
  } catch (error) {
    return usage(`${file}: ${error instanceof Error ? error.message : error}`);
  }
}

async function main(): Promise<void> {
  const { values, positionals: files } = parseArgs({
    allowPositionals: true,
    args: process.argv.slice(2).filter((arg) => arg !== '--'),
    options: {
      backend: { type: 'string', default: 'wasm' },
      browser: { type: 'boolean', default: false },
      path: { type: 'string', default: 'dense' },
    },
  });
  const backend = backends.find((name) => name === values.backend);
  if (!backend) usage(`no backend is called ${values.backend}`);
  if (values.path !== 'dense' && values.path !== 'sparse')
    usage(`--path is dense or sparse, not ${values.path}`);
  if (files.length === 0) usage('no golden file was named');
  let [failed, count, tolerance] = [0, 0, 0];
  for (const file of files) {
    const job: GoldenJob = { backend, path: values.path, cases: read(file) };
    if (!values.browser) await useNode({ backend });
    tolerance = goldenTolerance(backend); // known once the backend has described itself
    const results = await (values.browser ? runInBrowser(job) : runOnCurrentBackend(job));
    for (const { name, errors, worst, leaked } of results) {
      const ok = worst <= tolerance && leaked === 0;
      count++;
      if (!ok) failed++;
      const parts = Object.entries(errors).map(([part, error]) => `${part} ${error.toExponential(1)}`);
      const leak = leaked === 0 ? '' : `  ${leaked} tensors leaked`;
      console.log(`${ok ? 'ok    ' : 'FAILED'} ${name.padEnd(34)} ${parts.join('  ')}${leak}`);
    }
  }
  const where = values.browser ? `${backend} in Chromium` : backend;
  console.log(`${count - failed} of ${count} cases within ${tolerance} on ${where}, ${values.path} path`);
  process.exitCode = failed === 0 && count > 0 ? 0 : 1;
}

try {
  await main();
} catch (error) {
  console.error(`golden: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
releaseNode();
process.exit();
