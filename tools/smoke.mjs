/**
 * Packs every package as it would be published, installs the tarballs with npm into an empty project and uses them there:
 * what a user gets, not what the workspace resolves.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root, run } from './setup.mjs';

const folder = mkdtempSync(join(tmpdir(), 'msae-smoke-'));
try {
  const tarballs = join(folder, 'tarballs');
  const project = join(folder, 'project');
  mkdirSync(tarballs);
  mkdirSync(project);
  const manifest = (name) => JSON.parse(readFileSync(join(root, 'packages', name, 'package.json'), 'utf8'));
  const packages = readdirSync(join(root, 'packages')).filter((name) => !manifest(name).private);
  for (const name of packages) {
    check(
      run('pnpm', ['pack', '--pack-destination', tarballs], {
        cwd: join(root, 'packages', name),
      }),
      `pack ${name}`,
    );
  }
  const files = readdirSync(tarballs).map((file) => `file:${join(tarballs, file)}`);
  const overrides = {};
  const dependencies = { '@tensorflow/tfjs-core': '4.22.0' };
  for (const name of packages) {
    const { name: id, version } = manifest(name);
    const file = files.find((path) =>
      path.endsWith(`/${id.replace('@', '').replace('/', '-')}-${version}.tgz`),
    );
    if (!file) throw new Error(`no tarball for ${id}`);
    overrides[id] = file;
    dependencies[id] = file;
  }
  writeFileSync(
    join(project, 'package.json'),
    JSON.stringify({ type: 'module', private: true, dependencies, overrides: {} }, null, 2),
  );
  check(
    run('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts'], { cwd: project }),
    'npm install',
  );
  writeFileSync(join(project, 'use.mjs'), readFileSync(join(root, 'tools', 'smoke', 'use.mjs')));
  check(run(process.execPath, ['use.mjs'], { cwd: project }), 'use.mjs');
  check(run(join(project, 'node_modules', '.bin', 'msae'), ['--help'], { cwd: project }), 'msae --help');
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function check({ ok, output }, what) {
  if (ok) return;
  console.error(`${what} failed:\n${output.split('\n').slice(-60).join('\n')}`);
  rmSync(folder, { recursive: true, force: true });
  process.exit(1);
}
