/** libtensorflow as a tfjs backend: CUDA through a gpu build or tfjs-node-gpu, CPU through a cpu build or tfjs-node. */
import { availableParallelism } from 'node:os';
import { type BackendDescription, ownKernels } from '@msae/core/backend';
import { msaeError } from '@msae/schema';
import { backend, findBackend, getBackend, setBackend } from '@tensorflow/tfjs-core';
import { findPackage } from './findPackage.ts';
import { loadTfjsNode } from './loadTfjsNode.ts';
import { findNativeBuild, type NativeVariant } from './nativeBuild.ts';
import { registerTensorflowKernels } from './registerTensorflowKernels.ts';
import { type TensorflowBackend, tensorflowOf } from './tensorflowOps.ts';

export interface TensorflowOptions {
  /** `gpu` insists on a CUDA device; `cpu` takes whatever build of libtensorflow works. */
  device: 'gpu' | 'cpu';
  /** Threads of one operation on the CPU. libtensorflow reads this once, when it is loaded. */
  threads?: number | undefined;
}

interface Candidate {
  readonly packageDir: string;
  readonly label: string;
}

let loadedThreads: number | undefined;

/**
 * Registers the `tensorflow` backend and makes it current. The build made by `msae setup-native` comes before
 * an installed tfjs-node, because it is newer and was asked for.
 *
 * @throws one error that lists every place tried, why it failed, and how to get one that works.
 */
export async function useTensorflow(options: TensorflowOptions): Promise<BackendDescription> {
  const { device, threads } = options;
  const previous = currentBackend();
  if (findBackend('tensorflow')) {
    if (threads !== undefined && loadedThreads !== undefined && threads !== loadedThreads) {
      throw msaeError(
        'state',
        `threads: libtensorflow already runs with ${loadedThreads} in this process and reads the number only once; ask for ${threads} before its first use.`,
      );
    }
  } else {
    loadFirst(device, threads);
  }
  await setBackend('tensorflow');
  const instance = tensorflowOf(backend());
  if (device === 'gpu' && !instance.isUsingGpuDevice) {
    if (previous) await setBackend(previous);
    throw msaeError(
      'device',
      `cuda: libtensorflow ${instance.binding.TF_Version} is loaded but sees no CUDA device; check nvidia-smi, that this build has CUDA (msae setup-native --pip --gpu), and its log with TF_CPP_MIN_LOG_LEVEL=0.`,
    );
  }
  return {
    name: 'tensorflow',
    device: `${instance.isUsingGpuDevice ? 'CUDA' : 'CPU'}, libtensorflow ${instance.binding.TF_Version}`,
    precision: 'float32',
    threads: loadedThreads ?? availableParallelism(),
    limits: {},
    kernels: ownKernels(),
  };
}

function loadFirst(device: 'gpu' | 'cpu', threads: number | undefined): void {
  const reasons: string[] = [];
  if (threads !== undefined) process.env['TF_NUM_INTRAOP_THREADS'] = String(threads);
  for (const candidate of candidates(device)) {
    try {
      loadTfjsNode(candidate.packageDir);
      registerTensorflowKernels();
      loadedThreads = Number(process.env['TF_NUM_INTRAOP_THREADS']) || undefined;
      return;
    } catch (error) {
      reasons.push(`${candidate.label}: ${firstLine(error)}`);
    }
  }
  throw msaeError('device', missing(device, reasons));
}

/** A gpu build also computes on the CPU, so it is the last resort there. */
function candidates(device: 'gpu' | 'cpu'): Candidate[] {
  const variants: NativeVariant[] = device === 'gpu' ? ['gpu'] : ['cpu', 'gpu'];
  return variants.flatMap((variant) => {
    const found: Candidate[] = [];
    const build = findNativeBuild(variant);
    if (build) found.push({ packageDir: build.packageDir, label: `the build in ${build.packageDir}` });
    const name = variant === 'gpu' ? '@tensorflow/tfjs-node-gpu' : '@tensorflow/tfjs-node';
    const packageDir = findPackage(name);
    if (packageDir) found.push({ packageDir, label: `${name} in ${packageDir}` });
    return found;
  });
}

function missing(device: 'gpu' | 'cpu', reasons: string[]): string {
  const why =
    reasons.length > 0
      ? reasons.join('; ')
      : `no libtensorflow${device === 'gpu' ? ' with CUDA' : ''} is installed`;
  return device === 'gpu'
    ? `cuda: ${why}. Get it with: msae setup-native --pip --gpu (current CUDA), or npm install @tensorflow/tfjs-node-gpu@4.22.0 (CUDA 11.2).`
    : `tensorflow: ${why}. Get it with: msae setup-native --pip (current TensorFlow), or npm install @tensorflow/tfjs-node@4.22.0.`;
}

function currentBackend(): string | undefined {
  try {
    return getBackend() || undefined;
  } catch {
    return undefined;
  }
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n', 1)[0]!.trim();
}
