/** What a build needs of the machine, checked before anything is downloaded or written. */
import { existsSync, readFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { lastWords, runProgram } from './runProgram.ts';

export interface Check {
  readonly name: string;
  readonly ok: boolean;
  /** What was found; for a failed check also what to do. */
  readonly detail: string;
}

export interface MachineNeeds {
  /** The program that compiles C++. */
  compiler: string;
  /** Set when pip is to be used. */
  python?: string | undefined;
  /** True when tfjs-node must come through npm. */
  npm: boolean;
  directory: string;
  /** Bytes needed at the worst moment. */
  diskBytes: number;
}

/** All checks, in the order in which they are worth reading. Never throws. */
export async function checkMachine(needs: MachineNeeds): Promise<Check[]> {
  return [
    checkPlatform(),
    checkCpu(),
    checkNodeApi(),
    await checkCompiler(needs.compiler),
    ...(needs.python ? [await checkPip(needs.python)] : []),
    ...(needs.npm ? [await checkNpm()] : []),
    await checkDisk(needs.directory, needs.diskBytes),
  ];
}

/** Version of the C library as `[major, minor]`, or `undefined` on musl. */
export function glibcVersion(): [number, number] | undefined {
  const report: { header?: { glibcVersionRuntime?: string } } = process.report.getReport();
  const match = /^(\d+)\.(\d+)/.exec(report.header?.glibcVersionRuntime ?? '');
  return match ? [Number(match[1]), Number(match[2])] : undefined;
}

function checkPlatform(): Check {
  const { platform, arch } = process;
  const glibc = glibcVersion();
  const supported = platform === 'linux' && (arch === 'x64' || arch === 'arm64') && glibc !== undefined;
  return {
    name: 'platform',
    ok: supported,
    detail: supported
      ? `${platform}-${arch}, glibc ${glibc.join('.')}`
      : `${platform}-${arch}${platform === 'linux' && !glibc ? ' with musl' : ''}: this works on Linux with glibc on x64 and arm64 only; elsewhere npm install @tensorflow/tfjs-node@4.22.0, or stay with wasm`,
  };
}

function checkCpu(): Check {
  if (process.arch !== 'x64' || !existsSync('/proc/cpuinfo'))
    return { name: 'processor', ok: true, detail: process.arch };
  const avx = /\bavx\b/.test(readFileSync('/proc/cpuinfo', 'utf8'));
  return {
    name: 'processor',
    ok: avx,
    detail: avx
      ? 'has AVX'
      : 'has no AVX, which TensorFlow wheels are compiled for: they would crash here; stay with wasm',
  };
}

function checkNodeApi(): Check {
  const version = Number(process.versions['napi'] ?? 0);
  const ok = version >= 8;
  return {
    name: 'Node-API',
    ok,
    detail: ok
      ? `version ${version} (Node ${process.versions.node})`
      : `version ${version}, 8 is needed: use Node 20 or later`,
  };
}

async function checkCompiler(compiler: string): Promise<Check> {
  const result = await runProgram(compiler, ['--version'], { timeout: 20_000 });
  const ok = result.code === 0;
  return {
    name: 'C++ compiler',
    ok,
    detail: ok
      ? (result.stdout.split('\n')[0] ?? compiler)
      : `${compiler} does not run (${lastWords(result, 1)}): install one (Debian: apt-get install g++) or name it in CXX`,
  };
}

async function checkPip(python: string): Promise<Check> {
  const result = await runProgram(python, ['-m', 'pip', '--version'], { timeout: 60_000 });
  const ok = result.code === 0;
  return {
    name: 'pip',
    ok,
    detail: ok
      ? result.stdout.trim().replace(/ from .* \(/, ' (')
      : `${python} -m pip does not run (${lastWords(result, 1)}): install python3-pip, name another interpreter with --python, or bring a wheel with --from-wheel`,
  };
}

async function checkNpm(): Promise<Check> {
  const result = await runProgram('npm', ['--version'], { timeout: 60_000 });
  const ok = result.code === 0;
  return {
    name: 'npm',
    ok,
    detail: ok
      ? `npm ${result.stdout.trim()}`
      : `npm does not run (${lastWords(result, 1)}): it is needed for tfjs-node's JavaScript, or add @tensorflow/tfjs-node@4.22.0 to the project with --ignore-scripts`,
  };
}

async function checkDisk(directory: string, needed: number): Promise<Check> {
  let folder = directory;
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder);
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  const gb = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;
  const ok = free >= needed;
  return {
    name: 'disk',
    ok,
    detail: ok
      ? `${gb(free)} free, ${gb(needed)} needed`
      : `${gb(free)} free in ${folder}, ${gb(needed)} needed: make room or choose another folder with --dir`,
  };
}
