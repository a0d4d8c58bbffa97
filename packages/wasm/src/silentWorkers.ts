/**
 * tfjs's threaded wasm glue starts eight Web Workers for XNNPACK's thread pool as soon as it is loaded: that is what
 * hangs a bundled page and what Node cannot do at all. This package runs threads of its own (`threadPool.ts`), so the
 * glue is given workers that only say "loaded": its initialisation completes, XNNPACK keeps to the calling thread, and
 * nothing is started, downloaded or written.
 */
class SilentWorker {
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onerror: ((event: unknown) => void) | null = null;

  postMessage(message: unknown): void {
    if ((message as { cmd?: string } | null)?.cmd === 'load') {
      queueMicrotask(() => this.onmessage?.({ data: { cmd: 'loaded' } }));
    }
  }

  on(): void {}
  unref(): void {}
  ref(): void {}
  terminate(): void {}
}

/** Runs `start` while `new Worker` makes silent workers; everything is put back before this returns. */
export function withSilentWorkers<T>(start: () => T): T {
  const before = Object.getOwnPropertyDescriptor(globalThis, 'Worker');
  // The glue assigns `global.Worker` in Node; a setter that does nothing keeps ours in place.
  Object.defineProperty(globalThis, 'Worker', {
    configurable: true,
    get: () => SilentWorker,
    set: () => {},
  });
  try {
    return start();
  } finally {
    if (before === undefined) Reflect.deleteProperty(globalThis, 'Worker');
    else Object.defineProperty(globalThis, 'Worker', before);
  }
}

const PROCESS_EVENTS = ['uncaughtException', 'unhandledRejection'] as const;

/** Emscripten's glue installs process-wide handlers that rethrow; remembers what was there and returns a function that removes the rest. */
export function guardProcessHandlers(): () => void {
  if (typeof process === 'undefined' || typeof process.listeners !== 'function') return () => {};
  const before = PROCESS_EVENTS.map((event) => new Set(process.listeners(event as 'uncaughtException')));
  return () => {
    PROCESS_EVENTS.forEach((event, i) => {
      for (const listener of process.listeners(event as 'uncaughtException')) {
        if (!before[i]!.has(listener)) process.removeListener(event, listener);
      }
    });
  };
}
