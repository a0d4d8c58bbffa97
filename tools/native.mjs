/**
 * Sets up the `tensorflow` backend for tests and benchmarks of this checkout: `msae setup-native --pip` into .cache/native.
 * A second call only tests the build that is there.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const directory = fileURLToPath(new URL('../.cache/native', import.meta.url));

/**
 * @returns {Promise<{ ok: true, env: Record<string, string> } | { ok: false, reason: string }>} `env` is what a process needs
 *   to find the build.
 */
export async function setUpNative() {
  const args = [
    '--import',
    'tsx',
    'packages/cli/src/main.ts',
    'setup-native',
    '--pip',
    '--dir',
    directory,
    '--json',
  ];
  const { code, stdout, stderr } = await run(process.execPath, args);
  try {
    const result = JSON.parse(stdout);
    if (code === 0) return { ok: true, env: { MSAE_NATIVE_DIR: directory } };
    return { ok: false, reason: result.error };
  } catch {
    return { ok: false, reason: `setup-native ended with code ${code}: ${stderr.trim().slice(-500)}` };
  }
}

function run(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data) => {
      stdout += data;
    });
    child.stderr.on('data', (data) => {
      stderr += data;
    });
    child.on('error', (error) => resolve({ code: -1, stdout, stderr: error.message }));
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}
