/** `pip download` of TensorFlow's wheel, and for CUDA of the nvidia wheels that its metadata names. */
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { lastWords, type ProgramResult, runProgram } from './runProgram.ts';
import { readWheel } from './wheel.ts';

export interface DownloadOptions {
  python: string;
  /** `tensorflow-cpu`, or `tensorflow` whose Linux x64 wheel has CUDA. */
  project: string;
  /** A pip version specifier such as `==2.21.*`. */
  version: string;
  gpu: boolean;
  folder: string;
  signal?: AbortSignal | undefined;
}

/** Downloads into `folder` and returns the path of TensorFlow's wheel. @throws when pip finds no wheel. */
export async function downloadWheels(options: DownloadOptions): Promise<string> {
  const { project, version, gpu, folder } = options;
  await mkdir(folder, { recursive: true });
  await pipDownload(options, [`${project}${version}`]);
  const name = (await readdir(folder)).find((file) => file.endsWith('.whl'));
  if (!name) throw new Error(`pip: it downloaded no wheel for ${project}${version}.`);
  const path = join(folder, name);
  const cuda = gpu ? cudaRequirements((await readWheel(path)).metadata) : [];
  if (cuda.length > 0) await pipDownload(options, cuda);
  return path;
}

/** The requirements of the extra `and-cuda`, without their markers. */
export function cudaRequirements(metadata: string): string[] {
  return [...metadata.matchAll(/^Requires-Dist: ([^;\n]+);[^\n]*extra == ["']and-cuda["']/gm)].map((match) =>
    match[1]!.replace(/[()\s]/g, ''),
  );
}

async function pipDownload(options: DownloadOptions, requirements: string[]): Promise<void> {
  const { python, folder, signal } = options;
  const args = ['-m', 'pip', 'download', '--no-deps', '--only-binary=:all:', '--no-input', '--quiet'];
  args.push('--disable-pip-version-check', '--timeout', '30', '--retries', '2', '--dest', folder);
  let result = await runProgram(python, [...args, ...requirements], { signal });
  if (result.code !== 0 && /no matching distribution/i.test(result.stderr)) {
    // The library does not depend on Python: where this interpreter has no wheel yet, take the one for another.
    result = await runProgram(python, [...args, ...otherPython(), ...requirements], { signal });
  }
  if (result.code !== 0) throw new Error(noWheel(requirements, result));
}

function otherPython(): string[] {
  const arch = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
  const platforms = ['manylinux_2_27', 'manylinux_2_17', 'manylinux2014'].flatMap((tag) => [
    '--platform',
    `${tag}_${arch}`,
  ]);
  return ['--implementation', 'cp', '--python-version', '3.12', ...platforms];
}

function noWheel(requirements: string[], result: ProgramResult): string {
  return `pip: no wheel for ${requirements.join(', ')}: ${lastWords(result)}. Check the index with "pip download ${requirements[0]} --no-deps", or bring a wheel from another machine with --from-wheel.`;
}
