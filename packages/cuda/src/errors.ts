/** The errors of this package: all of the family, with what CUDA said in `details`. */
import { type ErrorDetails, type MsaeError, msaeError } from '@msae/schema';

/** What the driver, cuBLAS, NVRTC or the device refused; `details.cuda` is the library's own code where there is one. */
export function deviceError(message: string, details: ErrorDetails = {}): MsaeError {
  return msaeError('device', `cuda: ${message}`, details);
}

/** What has no operation here. */
export function unsupported(message: string): MsaeError {
  return msaeError('unsupported', `cuda: ${message}`);
}

/** A tensor or a scratch buffer does not fit on the device. Nothing was allocated or changed. */
export function memoryError(
  what: string,
  sizes: { readonly requestedBytes: number; readonly usedBytes: number; readonly limitBytes: number },
): MsaeError {
  const { requestedBytes, usedBytes, limitBytes } = sizes;
  return deviceError(
    `${what} needs ${mebibytes(requestedBytes)}, but ${mebibytes(usedBytes)} of ${mebibytes(limitBytes)} are in use; ` +
      'lower the batch size or nLatents, dispose tensors, raise memoryLimit, or free the device of other processes',
    { cuda: 'CUDA_ERROR_OUT_OF_MEMORY', ...sizes },
  );
}

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
