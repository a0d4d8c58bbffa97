/**
 * A typed link to a worker, so that training never blocks the page: comlink, plus what comlink leaves out. A worker that
 * dies rejects every call that waits for it (comlink's promises would hang for ever), and every call after it.
 */
import { type Endpoint, expose, proxy, type Remote, releaseProxy, transfer, wrap } from 'comlink';

/** The other side's methods, each returning a promise, and what ends the link. */
export interface WorkerLink<Api> {
  /** Calls go to the worker. Functions among the arguments must be wrapped by {@link callback}. */
  readonly api: Remote<Api>;
  /** Rejects when the worker dies; never resolves. */
  readonly died: Promise<never>;
  /** Terminates the worker. Calls that wait are rejected. */
  close(): void;
}

/** Thrown by calls to a worker that has died or was closed. Narrow it with {@link isWorkerGone}. */
export const WORKER_GONE = 'WorkerGoneError';

/** True for the error that a dead or closed worker causes (works across two copies of this package). */
export function isWorkerGone(error: unknown): boolean {
  return error instanceof Error && error.name === WORKER_GONE;
}

/**
 * Links to a worker that calls {@link exposeInWorker}.
 *
 * @throws (from calls, as rejections) what the method threw, or a {@link WORKER_GONE} error that says why the worker is gone.
 *
 * @example
 * ```ts
 * const { api } = linkWorker<TrainingApi>(new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' }));
 * await api.start({ nLatents: 512 }, callback((event) => draw(event)));
 * ```
 */
export function linkWorker<Api>(worker: Worker): WorkerLink<Api> {
  let gone: Error | undefined;
  let closed = false;
  let die!: (reason: Error) => void;
  const died = new Promise<never>((_resolve, reject) => {
    die = (reason) => {
      gone ??= reason;
      reject(gone);
    };
  });
  died.catch(() => {});
  worker.addEventListener('error', (event) => {
    const where = event.filename ? ` (${event.filename}:${event.lineno})` : '';
    die(workerGone(`it failed: ${event.message || 'its script could not be loaded'}${where}`));
    worker.terminate();
  });
  worker.addEventListener('messageerror', () => die(workerGone('it sent a message that cannot be read')));
  const remote = wrap<Api>(worker as Endpoint);
  const api = new Proxy(remote as object, {
    get(_target, name) {
      const method = Reflect.get(remote as object, name) as unknown;
      if (typeof name === 'symbol' || name === 'then') return method;
      return (...args: unknown[]): Promise<unknown> => {
        if (gone) return Promise.reject(gone);
        return Promise.race([(method as (...given: unknown[]) => Promise<unknown>)(...args), died]);
      };
    },
  }) as Remote<Api>;
  return {
    api,
    died,
    close() {
      if (closed) return;
      closed = true;
      die(workerGone('it was closed'));
      (remote as unknown as { [releaseProxy](): void })[releaseProxy]();
      worker.terminate();
    },
  };
}

/** Called once in the worker: what the page may call. */
export function exposeInWorker<Api extends object>(api: Api): void {
  expose(api);
}

/** Wraps a function that the other side may call back. */
export function callback<F extends (...args: never[]) => unknown>(run: F): F {
  return proxy(run) as unknown as F;
}

/**
 * Marks values to be moved, not copied: every typed array in it (one level deep, or in an array) gives its memory away and
 * is empty here afterwards. Shared memory is passed as it is.
 */
export function moved<T extends object>(value: T): T {
  const buffers = new Set<ArrayBuffer>();
  const collect = (entry: unknown): void => {
    if (ArrayBuffer.isView(entry) && entry.buffer instanceof ArrayBuffer) buffers.add(entry.buffer);
  };
  collect(value);
  if (!ArrayBuffer.isView(value)) for (const entry of Object.values(value)) collect(entry);
  return transfer(value, [...buffers]);
}

function workerGone(why: string): Error {
  const error = new Error(
    `worker: the worker is gone, ${why}. What it held is lost; start a new one and go on from a checkpoint.`,
  );
  error.name = WORKER_GONE;
  return error;
}
