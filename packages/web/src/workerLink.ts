/**
 * A typed link to a worker, so that training never blocks the page: comlink, plus what comlink leaves out. A worker that
 * dies rejects every call that waits for it (comlink's promises would hang for ever), and every call after it; an error of the
 * family arrives as one.
 */
import { check, givenBy, msaeError, type Schema } from '@msae/schema';
import { type Endpoint, expose, proxy, type Remote, releaseProxy, transfer, wrap } from 'comlink';
import { packError, unpackError } from './carriedErrors.ts';

/** The other side's methods, each returning a promise, and what ends the link. */
export interface WorkerLink<Api> {
  /** Calls go to the worker. Functions among the arguments must be wrapped by {@link callback}. */
  readonly api: Remote<Api>;
  /** Rejects when the worker dies; never resolves. */
  readonly died: Promise<never>;
  /** Terminates the worker. Calls that wait are rejected. */
  close(): void;
}

const workerSchema: Schema<Worker> = givenBy<Worker>(
  'a Worker',
  (value) => typeof Worker !== 'undefined' && value instanceof Worker,
);

/**
 * Links to a worker that calls {@link exposeInWorker}.
 *
 * @throws MsaeError `option` for anything but a Worker; from calls, as rejections, what the method threw, or MsaeError `device`
 *   with `details.lost` = `worker` that says why the worker is gone.
 *
 * @example
 * ```ts
 * const { api } = linkWorker<TrainingApi>(new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' }));
 * await api.start({ nLatents: 512 }, callback((event) => draw(event)));
 * ```
 */
export function linkWorker<Api>(worker: Worker): WorkerLink<Api> {
  check(workerSchema, worker, 'linkWorker');
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
        const answer = (method as (...given: unknown[]) => Promise<unknown>)(...args).catch(
          (thrown: unknown) => {
            throw unpackError(thrown);
          },
        );
        return Promise.race([answer, died]);
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
  expose(
    new Proxy(api, {
      get(target, name, receiver) {
        const method = Reflect.get(target, name, receiver) as unknown;
        if (typeof method !== 'function') return method;
        return async (...args: unknown[]): Promise<unknown> => {
          try {
            return await (method.apply(target, args) as unknown);
          } catch (error) {
            throw packError(error);
          }
        };
      },
    }),
  );
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
  return msaeError(
    'device',
    `worker: the worker is gone, ${why}. What it held is lost; start a new one and go on from a checkpoint.`,
    { lost: 'worker' },
  );
}
