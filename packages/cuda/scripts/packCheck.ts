/**
 * Packs check/deviceCheck.ts for a machine without network: one bundled file, koffi's binary for linux-x64, nothing else (the
 * kernels are inside). `npx tsx packages/cuda/scripts/packCheck.ts [archive.tar.xz]`; there: `node deviceCheck.mjs`.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'tsdown';

const archive = process.argv[2] ?? 'cuda-check.tar.xz';
const root = fileURLToPath(new URL('..', import.meta.url));
const folder = join(mkdtempSync(join(tmpdir(), 'msae-cuda-')), 'cuda-check');
await build({
  config: false,
  entry: { deviceCheck: join(root, 'check/deviceCheck.ts') },
  outDir: folder,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  dts: false,
  sourcemap: false,
  fixedExtension: true,
  deps: { alwaysBundle: /^(?!koffi$)/, neverBundle: ['koffi'] },
  logLevel: 'warn',
});
cpSync(join(root, 'check/peer.py'), join(folder, 'peer.py'));
const koffi = realpathSync(join(root, 'node_modules/koffi'));
const binary = realpathSync(join(dirname(koffi), '@koromix/koffi-linux-x64'));
const modules = join(folder, 'node_modules');
for (const name of ['package.json', 'index.js', 'index.cjs', 'indirect.js', 'indirect.cjs', 'LICENSE.txt'])
  cpSync(join(koffi, name), join(modules, 'koffi', name));
for (const name of [
  'index.js',
  'index.cjs',
  'indirect.js',
  'indirect.cjs',
  'src/static.js',
  'src/static.cjs',
])
  cpSync(join(koffi, 'src/koffi', name), join(modules, 'koffi/src/koffi', name));
for (const name of ['package.json', 'index.js', 'linux_x64'])
  cpSync(join(binary, name), join(modules, '@koromix/koffi-linux-x64', name), { recursive: true });
mkdirSync(dirname(join(process.cwd(), archive)), { recursive: true });
execFileSync('tar', ['-C', dirname(folder), '-cJf', archive, 'cuda-check']);
rmSync(dirname(folder), { recursive: true });
process.stdout.write(`${archive}: ${(statSync(archive).size / 1024).toFixed(0)} KiB\n`);
