/**
 * What `npm start` and `npm test` need before they can run, with nothing but Node and npm on the machine: the workspace's
 * packages through pnpm, and a Chromium. Every failure is one line that says what to do.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The top folder of the checkout. */
export const root = join(dirname(fileURLToPath(import.meta.url)), '..');

const PNPM = 'pnpm@12.21.0';

/** Ends the process with one line on stderr. */
export function fail(message) {
  console.error(`msae: ${message}`);
  process.exit(1);
}

/** Runs a command in the checkout; resolves to what it printed and its exit code. */
export function run(command, args, { env = {}, inherit = false, cwd = root } = {}) {
  const result = spawnSync(command, args, {
    cwd,
    env: {
      ...process.env,
      // Where pnpm itself is found, by turbo and publint too.
      PATH: [join(root, 'node_modules', '.bin'), process.env.PATH].join(delimiter),
      TURBO_TELEMETRY_DISABLED: '1',
      NO_COLOR: '1',
      ...env,
    },
    stdio: inherit ? 'inherit' : ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  return {
    ok: result.status === 0,
    output: `${result.stdout ?? ''}${result.stderr ?? ''}${result.error ?? ''}`,
  };
}

/** A program of the workspace's node_modules/.bin. */
export function bin(name) {
  return join(root, 'node_modules', '.bin', name);
}

/** Fails unless this Node is 20.19 or newer. */
export function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    fail(`Node ${process.versions.node} is too old; install Node 20.19 or newer (https://nodejs.org)`);
  }
}

/** Installs the workspace's packages if the lock file changed since the last time. */
export function installPackages() {
  const lock = join(root, 'pnpm-lock.yaml');
  const stamp = join(root, 'node_modules', '.msae-installed');
  if (existsSync(stamp) && statSync(stamp).mtimeMs >= statSync(lock).mtimeMs) return;
  console.log('installing packages (once) …');
  const result = run('npx', ['-y', PNPM, 'install', '--frozen-lockfile']);
  if (!result.ok) {
    const said = result.output.split('\n').filter((line) => /ERR|error/i.test(line));
    fail(
      `packages could not be installed: ${said[0] ?? result.output.trim().split('\n').at(-1)}; check that npm reaches its registry, then run again`,
    );
  }
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, `${new Date().toISOString()}\n`);
}

const USUAL_PLACES = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome-stable',
  '/usr/bin/google-chrome',
  '/snap/bin/chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
];

/**
 * The path of a Chromium: CHROMIUM_PATH, the usual places, Debian's package where we are root, playwright's own download.
 * undefined with a line printed where none of these works.
 */
export function findChromium() {
  const given = process.env.CHROMIUM_PATH;
  if (given) {
    if (existsSync(given)) return given;
    fail(`CHROMIUM_PATH is ${given}, but no file is there; correct it or unset it`);
  }
  const found = USUAL_PLACES.find((path) => existsSync(path));
  if (found) return found;
  if (isDebian() && process.getuid?.() === 0) {
    console.log('installing Chromium (once, apt-get) …');
    const env = { DEBIAN_FRONTEND: 'noninteractive' };
    run('apt-get', ['update', '-qq'], { env });
    run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'chromium'], { env });
    if (existsSync('/usr/bin/chromium')) return '/usr/bin/chromium';
  }
  console.log('installing Chromium (once, playwright) …');
  run(bin('playwright'), ['install', 'chromium']);
  const where = run(process.execPath, [
    '-e',
    "process.stdout.write(require('playwright').chromium.executablePath())",
  ]);
  const path = where.output.trim();
  if (where.ok && existsSync(path)) return path;
  return undefined;
}

function isDebian() {
  try {
    return /^ID(_LIKE)?=.*(debian|ubuntu)/m.test(readFileSync('/etc/os-release', 'utf8'));
  } catch {
    return false;
  }
}
