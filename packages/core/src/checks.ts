/** One clear error for each kind of bad input: wrong shape, wrong dtype, not finite, too large for the device. */
import { msaeError } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';

/**
 * Checks that a tensor is float32 and has the shape expected; `null` in a shape stands for any size of at least 1.
 *
 * @throws MsaeError `shape`
 */
export function checkTensor(
  name: string,
  tensor: tf.Tensor,
  shape: readonly (number | null)[],
  says: string,
): void {
  if (!(tensor instanceof tf.Tensor)) {
    throw msaeError(
      'shape',
      `${name}: expected a tensor of shape ${says}, got ${tensor === null ? 'null' : typeof tensor}`,
    );
  }
  if (tensor.isDisposed) throw msaeError('shape', `${name}: the tensor is already disposed`);
  const fits =
    tensor.shape.length === shape.length &&
    shape.every((size, axis) => (size === null ? tensor.shape[axis]! >= 1 : tensor.shape[axis] === size));
  if (!fits) throw msaeError('shape', `${name}: expected shape ${says}, got [${tensor.shape.join(', ')}]`);
  if (tensor.dtype !== 'float32') {
    throw msaeError('shape', `${name}: expected float32, got ${tensor.dtype}; cast it first`);
  }
}

/**
 * Checks an array of weights or activations: its length, and that every value is finite.
 *
 * @throws MsaeError that names the first offending value and its index.
 */
export function checkFiniteArray(name: string, values: ArrayLike<number>, length: number): void {
  if (values.length !== length) {
    throw msaeError('shape', `${name}: expected ${length} values, got ${values.length}`);
  }
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i]))
      throw msaeError('value', `${name}: value ${i} is ${values[i]}; all must be finite`);
  }
}

/**
 * Checks that every value of a tensor is finite. Reads it back, so keep it out of a training loop: a step's own metrics
 * turn NaN when anything in it does, and `readMetrics` says which tensor it was.
 *
 * @throws MsaeError that names the tensor and the index of its first value that is not finite.
 */
export async function checkFinite(name: string, tensor: tf.Tensor): Promise<void> {
  const values = await tensor.data();
  const at = values.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  const index: number[] = [];
  let rest = at;
  for (const size of [...tensor.shape].reverse()) {
    index.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  throw msaeError(
    'value',
    `${name}: the value at [${index.join(', ')}] is ${values[at]}; all must be finite`,
  );
}

/** The largest tensor the current backend can hold, in bytes; `undefined` where no limit is known. */
export function maxTensorBytes(): number | undefined {
  const limits = (tf.backend() as { device?: { limits?: GPUSupportedLimits } }).device?.limits;
  return limits && Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
}

/**
 * Checks that a float32 tensor of this shape fits the current device. tfjs does not: beyond the limit a WebGPU device
 * drops the work and reads give zeros.
 *
 * @throws MsaeError `device` with the size asked for, the limit, and what to lower.
 */
export function checkFits(name: string, shape: readonly number[]): void {
  const limit = maxTensorBytes();
  const bytes = 4 * shape.reduce((product, size) => product * size, 1);
  if (limit !== undefined && bytes > limit) {
    throw msaeError(
      'device',
      `${name}: a [${shape.join(', ')}] float32 tensor takes ${bytes} bytes, but the ${tf.getBackend()} device's largest ` +
        `buffer is ${limit}; use fewer latents or a smaller batch, or the sparse path`,
    );
  }
}
