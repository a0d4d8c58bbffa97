/**
 * Loads a tfjs-node package from any folder into this process so that it shares our engine.
 *
 * Works around, see https://github.com/tensorflow/tfjs/issues/8609: tfjs-node 4.22 calls `util.isNullOrUndefined`, which Node 23
 * removed. TensorFlow's own chatter is turned down unless the caller's environment says otherwise.
 */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const TFJS_VERSION = '4.22.0';
const ours = createRequire(import.meta.url);

/** Packages that must exist once in the process: the engine, and the kernels that would register twice. */
const SHARED = ['@tensorflow/tfjs-core', '@tensorflow/tfjs-backend-cpu'];

/**
 * Requires the tfjs-node package in `packageDir`; afterwards its backend `tensorflow` is registered and current.
 *
 * @throws what its loading throws: no addon, a missing shared library, another version than 4.22.0.
 */
export function loadTfjsNode(packageDir: string): void {
  const { name, version } = readManifest(packageDir);
  if (version !== TFJS_VERSION) {
    throw new Error(`${name} ${version} is installed in ${packageDir}, but ${TFJS_VERSION} is needed.`);
  }
  restoreUtil();
  process.env['TF_FORCE_GPU_ALLOW_GROWTH'] ??= 'true'; // TensorFlow otherwise takes the whole GPU at once
  const theirs = createRequire(join(packageDir, 'package.json'));
  shareModules(theirs);
  quietly(packageDir, () => theirs(packageDir));
}

function readManifest(packageDir: string): { name: string; version: string } {
  return JSON.parse(readFileSync(join(packageDir, 'package.json'), 'utf8')) as {
    name: string;
    version: string;
  };
}

/** Puts our instances where theirs would be loaded, for tfjs-node itself and for the union package it requires. */
function shareModules(theirs: NodeJS.Require): void {
  const union = createRequire(theirs.resolve('@tensorflow/tfjs/package.json'));
  for (const name of SHARED) {
    const path = ours.resolve(name);
    ours(path);
    for (const require of [theirs, union]) {
      const other = tryResolve(require, name);
      if (other && other !== path) ours.cache[other] = ours.cache[path];
    }
  }
}

function tryResolve(require: NodeJS.Require, name: string): string | undefined {
  try {
    return require.resolve(name);
  } catch {
    return undefined;
  }
}

function restoreUtil(): void {
  const util = ours('node:util') as Record<string, unknown>;
  // also where they still exist, because there they warn on the console
  util['isNullOrUndefined'] = (value: unknown): boolean => value === null || value === undefined;
  util['isArray'] = Array.isArray;
}

/**
 * Runs `load` without TensorFlow's greetings. Log level 2 keeps its errors, but oneDNN announces itself before any level
 * applies; our own builds have a switch for stderr for that moment. `TF_CPP_MIN_LOG_LEVEL=0` shows everything.
 */
function quietly(packageDir: string, load: () => void): void {
  const wanted = process.env['TF_CPP_MIN_LOG_LEVEL'];
  process.env['TF_CPP_MIN_LOG_LEVEL'] ??= '2';
  const path = stderrSwitchPath(packageDir);
  const stderr = wanted === '0' || !existsSync(path) ? undefined : (ours(path) as StderrSwitch);
  stderr?.off();
  try {
    load();
  } finally {
    stderr?.on();
  }
}

interface StderrSwitch {
  off(): void;
  on(): void;
}

/** The addon of stderrSwitch.ts beside tfjs-node's own. */
export function stderrSwitchPath(packageDir: string): string {
  return join(packageDir, 'lib', 'napi-v8', 'stderr_switch.node');
}
