/**
 * Builds tfjs-node's addon against a current libtensorflow: tfjs-node 4.22 itself downloads TensorFlow 2.9 (CUDA 11.2) from
 * one host. The C library comes out of a Python wheel of tensorflow or tensorflow-cpu; no Python code of it is used.
 *
 * Everything happens in a staging folder beside the final one; a rename makes a build visible, after it has passed a test in
 * a process of its own. A staging folder whose process is gone is removed by the next run.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import {
  findNativeBuild,
  MANIFEST_NAME,
  type NativeManifest,
  type NativeVariant,
  nativeDirectory,
} from '../nativeBuild.ts';
import { probeNative } from '../probeBackends.ts';
import { compileAddon } from './compileAddon.ts';
import { downloadWheels } from './downloadWheels.ts';
import { type Check, checkMachine } from './machine.ts';
import {
  findTensorflow,
  placeFolder,
  placeWheel,
  readTensorflowWheel,
  unpackedBytes,
} from './tensorflowFiles.ts';
import { bringTfjsNode, findNodeHeaders, findTfjsNode, TFJS_NODE_VERSION } from './tfjsNodePackage.ts';

/** Where libtensorflow comes from. */
export type NativeSource =
  /** `pip download`; `version` is a specifier such as `==2.21.*` (the default). */
  | { readonly kind: 'pip'; readonly version?: string | undefined; readonly python?: string | undefined }
  /** A wheel file; with `gpu`, nvidia wheels beside it are used too. */
  | { readonly kind: 'wheel'; readonly path: string }
  /** An installed tensorflow (site-packages/tensorflow) or unpacked libtensorflow, linked, not copied. */
  | { readonly kind: 'dir'; readonly path: string };

export interface SetupNativeOptions {
  /** Default: pip. */
  source?: NativeSource;
  /** Build on tfjs-node-gpu with a CUDA libtensorflow. Default `false`. */
  gpu?: boolean;
  /** Default: {@link nativeDirectory}. Another folder has to be named in `MSAE_NATIVE_DIR` when it is used. */
  directory?: string;
  /** Check and plan only. */
  dryRun?: boolean;
  signal?: AbortSignal;
  /** Told what is about to happen, step by step. */
  onStep?: (step: string) => void;
}

export interface SetupNativeResult {
  readonly status: 'built' | 'already built' | 'planned';
  /** Folder of the build. */
  readonly folder: string;
  readonly checks: readonly Check[];
  /** What was, or would be, done. */
  readonly steps: readonly string[];
  readonly manifest?: NativeManifest;
}

/** What pip is asked for by default: the version that this was last verified with. */
const DEFAULT_VERSION = '==2.21.*';
const TFJS_BYTES = 320e6;
const WHEEL_BYTES = { cpu: 0.3e9, gpu: 3.5e9 };
const UNPACKED_BYTES = { cpu: 0.9e9, gpu: 6e9 };

/**
 * Sets up a native backend for `useNode`. A second call with the same source does nothing but test the build.
 *
 * @throws one error for all checks that fail, or for the step that failed; nothing is left behind then.
 */
export async function setupNative(options: SetupNativeOptions = {}): Promise<SetupNativeResult> {
  const {
    source = { kind: 'pip' },
    gpu = false,
    directory = nativeDirectory(),
    dryRun = false,
    signal,
    onStep,
  } = options;
  const variant: NativeVariant = gpu ? 'gpu' : 'cpu';
  const root = resolve(directory);
  const folder = join(root, variant);
  const compiler = process.env['CXX'] || 'c++';
  const python = source.kind === 'pip' ? source.python || process.env['PYTHON'] || 'python3' : undefined;
  const tfjsNode = findTfjsNode(gpu);
  const plan = await planSource(source, gpu);
  const steps = [
    tfjsNode.installed
      ? `copy ${tfjsNode.name} from ${tfjsNode.installed}`
      : `npm install ${tfjsNode.name}@${TFJS_NODE_VERSION} --ignore-scripts`,
    ...plan.steps,
    `compile its addon with ${compiler}`,
    'test it in a process of its own',
    `move it to ${folder}`,
  ];

  const existing = findNativeBuild(variant, root);
  if (existing?.manifest.source === plan.identity) {
    onStep?.(`test the build in ${folder}`);
    const probe = await probeNative(existing.packageDir, signal);
    if (probe.usable)
      return { status: 'already built', folder, checks: [], steps: [], manifest: existing.manifest };
    onStep?.(`it is broken (${probe.reason}); build it anew`);
  }
  const diskBytes = plan.bytes + (tfjsNode.installed ? 10e6 : TFJS_BYTES);
  const checks = await checkMachine({
    compiler,
    python,
    npm: !tfjsNode.installed,
    directory: root,
    diskBytes,
  });
  if (dryRun) return { status: 'planned', folder, checks, steps };
  const failed = checks.filter((check) => !check.ok);
  if (failed.length > 0) {
    throw new Error(`setup-native: ${failed.map((check) => `${check.name}: ${check.detail}`).join('; ')}.`);
  }

  await mkdir(root, { recursive: true });
  await removeAbandoned(root);
  const stage = join(root, `.staging-${process.pid}-${Date.now()}`);
  try {
    onStep?.(steps[0]!);
    const packageDir = await bringTfjsNode(tfjsNode, stage, signal);
    const nodeHeaders = findNodeHeaders(stage);
    await plan.place({ packageDir, stage, python, gpu, signal, onStep });
    onStep?.(steps.at(-3)!);
    await compileAddon({ packageDir, compiler, nodeHeaders, signal });
    onStep?.(steps.at(-2)!);
    const probe = await probeNative(packageDir, signal);
    if (!probe.usable)
      throw new Error(`setup-native: the build was made but does not work: ${probe.reason}.`);
    const manifest: NativeManifest = {
      format: 1,
      variant,
      package: relative(stage, packageDir),
      tfjsNode: TFJS_NODE_VERSION,
      tensorflow: probe.version ?? 'unknown',
      platform: process.platform,
      arch: process.arch,
      source: plan.identity,
    };
    onStep?.(steps.at(-1)!);
    await publish(stage, folder, manifest);
    return { status: 'built', folder, checks, steps, manifest };
  } finally {
    await rm(stage, { recursive: true, force: true });
  }
}

interface PlaceContext {
  packageDir: string;
  stage: string;
  python: string | undefined;
  gpu: boolean;
  signal: AbortSignal | undefined;
  onStep: ((step: string) => void) | undefined;
}

interface SourcePlan {
  /** Same identity, same build. */
  readonly identity: string;
  readonly bytes: number;
  readonly steps: readonly string[];
  place(context: PlaceContext): Promise<void>;
}

async function planSource(source: NativeSource, gpu: boolean): Promise<SourcePlan> {
  const variant: NativeVariant = gpu ? 'gpu' : 'cpu';
  if (source.kind === 'pip') {
    const project = gpu || process.arch !== 'x64' ? 'tensorflow' : 'tensorflow-cpu';
    const version = source.version || DEFAULT_VERSION;
    const steps = [
      `pip download ${project}${version}${gpu ? ' and its nvidia wheels' : ''}`,
      'unpack libtensorflow and its headers',
    ];
    return {
      identity: `pip ${project}${version}`,
      bytes: WHEEL_BYTES[variant] + UNPACKED_BYTES[variant],
      steps,
      async place({ packageDir, stage, python, signal, onStep }) {
        onStep?.(steps[0]!);
        const folder = join(stage, 'wheels');
        const path = await downloadWheels({ python: python!, project, version, gpu, folder, signal });
        onStep?.(steps[1]!);
        await placeWheel(await readTensorflowWheel(path), packageDir, gpu, signal);
        await rm(folder, { recursive: true });
      },
    };
  }
  const path = resolve(source.path);
  if (source.kind === 'wheel') {
    const wheel = await readTensorflowWheel(path);
    const steps = [`unpack libtensorflow ${wheel.version} and its headers from ${path}`];
    return {
      identity: `wheel sha256:${await sha256(path)}`,
      bytes: unpackedBytes(wheel) + (gpu ? UNPACKED_BYTES.gpu : 0),
      steps,
      async place({ packageDir, signal, onStep }) {
        onStep?.(steps[0]!);
        await placeWheel(wheel, packageDir, gpu, signal);
      },
    };
  }
  const found = await findTensorflow(path);
  const { size, mtimeMs } = await stat(found.lib);
  const steps = [`link libtensorflow in ${found.lib}`];
  return {
    identity: `dir ${found.lib} ${size} ${Math.round(mtimeMs)}`,
    bytes: 10e6,
    steps: [`link libtensorflow in ${found.lib}`],
    async place({ packageDir, onStep }) {
      onStep?.(steps[0]!);
      await placeFolder(path, packageDir);
    },
  };
}

/** Writes the manifest and renames the finished folder into place; an older build makes way at the last moment. */
async function publish(stage: string, folder: string, manifest: NativeManifest): Promise<void> {
  const file = await open(join(stage, MANIFEST_NAME), 'w');
  await file.writeFile(`${JSON.stringify(manifest, null, 2)}\n`);
  await file.sync();
  await file.close();
  const old = `${stage}-old`;
  await rename(folder, old).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
  await rename(stage, folder);
  await rm(old, { recursive: true, force: true });
}

async function removeAbandoned(root: string): Promise<void> {
  for (const name of await readdir(root)) {
    const match = /^\.staging-(\d+)-/.exec(name);
    if (match && !isRunning(Number(match[1]))) await rm(join(root, name), { recursive: true, force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return pid !== process.pid;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
