/** Turns of the event loop for long computations: by time, because a turn costs more than a small step. */

/** Resolves in the next turn of the event loop, after pending input, timers and network. */
export function nextTurn(): Promise<void> {
  if (typeof setImmediate === 'function') return new Promise((resolve) => setImmediate(() => resolve()));
  return new Promise((resolve) => {
    // Not setTimeout: browsers clamp nested timeouts to 4 ms.
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

/** A function to await often: it takes a turn only when `everyMs` have passed since the last one. */
export function breather(everyMs: number): () => Promise<void> | undefined {
  let last = performance.now();
  return () => {
    if (performance.now() - last < everyMs) return undefined;
    return nextTurn().then(() => {
      last = performance.now();
    });
  };
}
