/** Brings tfjs-node's JavaScript and C++ sources into a folder without running its install script, which downloads. */
import { existsSync, readFileSync } from 'node:fs';
import { cp, mkdir, readdir, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { findPackage } from '../findPackage.ts';
import { lastWords, runProgram } from './runProgram.ts';

export const TFJS_NODE_VERSION = '4.22.0';
const NODE_API_HEADERS = 'node-api-headers@1.9.0';

export interface TfjsNodeSource {
  readonly name: string;
  /** Folder of a copy in the user's project (needs no network), or `undefined`: npm brings it. */
  readonly installed: string | undefined;
}

/** The right package for the variant, and whether the project already has it. */
export function findTfjsNode(gpu: boolean): TfjsNodeSource {
  const name = gpu ? '@tensorflow/tfjs-node-gpu' : '@tensorflow/tfjs-node';
  const folder = findPackage(name);
  const fits =
    folder && (readJson(join(folder, 'package.json')) as { version?: string }).version === TFJS_NODE_VERSION;
  return { name, installed: fits ? folder : undefined };
}

/** Creates `stage/node_modules/<name>` and returns that folder. */
export async function bringTfjsNode(
  source: TfjsNodeSource,
  stage: string,
  signal?: AbortSignal,
): Promise<string> {
  await mkdir(join(stage, 'node_modules'), { recursive: true });
  await writeFile(join(stage, 'package.json'), '{"private":true}\n');
  const packageDir = join(stage, 'node_modules', source.name);
  if (source.installed) await copyInstalled(await realpath(source.installed), stage, packageDir);
  else await npmInstall(source.name, stage, signal);
  await dropSourceMaps(join(stage, 'node_modules'));
  return packageDir;
}

/** Folder with node_api.h. @throws when there is none. */
export function findNodeHeaders(stage: string): string {
  const npmHeaders = findPackage('node-api-headers', [stage, process.cwd()]);
  const candidates = [
    ...(npmHeaders ? [join(npmHeaders, 'include')] : []),
    ...(process.env['npm_config_nodedir']
      ? [join(process.env['npm_config_nodedir'], 'include', 'node')]
      : []),
    join(dirname(dirname(process.execPath)), 'include', 'node'),
    '/usr/include/node',
    '/usr/local/include/node',
  ];
  const found = candidates.find((folder) => existsSync(join(folder, 'node_api.h')));
  if (!found) {
    throw new Error(
      'Node headers: node_api.h was not found; add the npm package node-api-headers to the project, or point npm_config_nodedir at a Node installation.',
    );
  }
  return found;
}

async function npmInstall(name: string, stage: string, signal?: AbortSignal): Promise<void> {
  const args = [
    'install',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--no-package-lock',
    '--loglevel=error',
  ];
  const result = await runProgram('npm', [...args, `${name}@${TFJS_NODE_VERSION}`, NODE_API_HEADERS], {
    cwd: stage,
    signal,
  });
  if (result.code !== 0) {
    throw new Error(
      `npm: ${name}@${TFJS_NODE_VERSION} could not be installed: ${lastWords(result)}. On a machine without a registry, have it in the project (installed with --ignore-scripts).`,
    );
  }
}

/** Copies the package and links what it requires, from wherever the project's package manager put it. */
async function copyInstalled(from: string, stage: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await cp(from, to, {
    recursive: true,
    filter: (path) => dirname(path) !== from || !['deps', 'lib', 'node_modules'].includes(basename(path)),
  });
  const require = createRequire(join(from, 'package.json'));
  const manifest = readJson(join(from, 'package.json')) as { dependencies?: Record<string, string> };
  for (const name of Object.keys(manifest.dependencies ?? {})) {
    const folder = findPackage(name, [from]) ?? dirname(require.resolve(`${name}/package.json`));
    const link = join(stage, 'node_modules', name);
    await mkdir(dirname(link), { recursive: true });
    await symlink(await realpath(folder), link);
  }
}

/** Two thirds of the installed bytes are source maps. Links into the project are left alone. */
async function dropSourceMaps(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await dropSourceMaps(path);
    else if (entry.isFile() && entry.name.endsWith('.map')) await rm(path);
  }
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'));
}
