/** Several small tensors in one readback: on a GPU every readback waits for all work before it. */
import * as tf from '@tensorflow/tfjs-core';

/** Values by name; null where there is no tensor. Nothing is read when there is none at all. */
export async function readTogether<Name extends string>(
  tensors: Readonly<Record<Name, tf.Tensor | null | undefined>>,
): Promise<Record<Name, Float32Array | null>> {
  const names = Object.keys(tensors) as Name[];
  const out = {} as Record<Name, Float32Array | null>;
  const present: Name[] = [];
  for (const name of names) {
    out[name] = null;
    if (tensors[name]) present.push(name);
  }
  if (present.length === 0) return out;
  const parts = present.map((name) => tensors[name] as tf.Tensor);
  const [only] = parts;
  if (parts.length === 1 && only !== undefined) {
    out[present[0] as Name] = (await only.data()) as Float32Array;
    return out;
  }
  const joined = tf.tidy(() =>
    tf.concat1d(parts.map((part) => tf.reshape(part, [part.size]) as tf.Tensor1D)),
  );
  const values = (await joined.data()) as Float32Array;
  joined.dispose();
  let at = 0;
  present.forEach((name, i) => {
    const { size } = parts[i] as tf.Tensor;
    out[name] = values.subarray(at, at + size);
    at += size;
  });
  return out;
}
