/** The backends a test runs on: cpu and wasm always, tensorflow where it is installed (a visible skip elsewhere). */
import { type BackendName, useNode } from '@msae/node';

const found = new Map<BackendName, boolean>();

/** Makes `name` the current backend; false when this machine does not have it. */
export async function useBackend(name: BackendName): Promise<boolean> {
  if (name !== 'tensorflow') {
    await useNode({ backend: name, threads: 1 });
    return true;
  }
  const usable =
    found.get(name) ??
    (await useNode({ backend: name, threads: 1 }).then(
      () => true,
      () => false,
    ));
  found.set(name, usable);
  return usable;
}
