import { getKernelsForBackend } from '@tensorflow/tfjs-core';

/** Names of the fast kernels of this project registered for a backend. */
export function ownKernels(backendName: string): string[] {
  return getKernelsForBackend(backendName)
    .map((kernel) => kernel.kernelName)
    .filter((name) => name.startsWith('Msae'));
}
