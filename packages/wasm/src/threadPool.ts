/**
 * Worker threads that run tasks of the kernel module on the backend's shared memory.
 *
 * A job is one exported function, a block of arguments in memory and a number of tasks; each thread, the caller
 * included, takes the next task number until none is left. A task writes only what no other task of its job writes, so
 * the result does not depend on who ran it: the same bits with 1 thread and with 16.
 */
import { msaeError } from '@msae/schema';
import { workerSource } from './workerSource.ts';

/** Slots of the control block (int32). */
export const CONTROL = {
  generation: 0,
  func: 1,
  args: 2,
  tasks: 3,
  next: 4,
  finished: 5,
  failed: 6,
} as const;
const CONTROL_SLOTS = 16;
/** A ticket is (generation mod 2^16) · 2^16 + task number: a worker that wakes late can never take one of another job. */
const MAX_TASKS = 0xffff;

export type Task = (args: number, task: number, thread: number) => void;

export interface ThreadPool {
  /** Threads that work on a job, the caller included. */
  readonly threads: number;
  /** Runs tasks 0 … tasks−1 of kernel `name`; returns when all are done. @throws if a worker died or a task trapped */
  run(name: string, args: number, tasks: number): void;
  dispose(): void;
}

export interface ThreadPoolOptions {
  readonly kernels: Readonly<Record<string, Task>>;
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  /** Workers besides the caller; 0 runs everything on the calling thread. */
  readonly workers: number;
}

interface WorkerLike {
  post(message: unknown): void;
  onMessage(listener: (message: unknown) => void): void;
  onExit(listener: (reason: string) => void): void;
  unref(): void;
  terminate(): void;
}

/** How long the caller waits for a worker that has a task before it says that the worker died. */
const DEAD_AFTER_MS = 120_000;

export async function createThreadPool(options: ThreadPoolOptions): Promise<ThreadPool> {
  const { kernels, module, memory } = options;
  const names = Object.keys(kernels).sort();
  const control = new Int32Array(
    options.workers > 0 ? new SharedArrayBuffer(CONTROL_SLOTS * 4) : new ArrayBuffer(CONTROL_SLOTS * 4),
  );
  let broken: string | undefined;
  const workers: WorkerLike[] = [];
  for (let i = 0; i < options.workers; i++) workers.push(startWorker());
  await Promise.all(
    workers.map(
      (worker, i) =>
        new Promise<void>((resolve, reject) => {
          worker.onMessage(() => {
            worker.unref();
            resolve();
          });
          worker.onExit((reason) => {
            broken ??= `wasm: worker thread ${i + 1} stopped (${reason}); call useWasm() again for a new backend`;
            reject(msaeError('device', broken));
          });
          worker.post({ control, module, memory, names, thread: i + 1 });
        }),
    ),
  );

  const runAlone = (task: Task, args: number, tasks: number): void => {
    for (let t = 0; t < tasks; t++) task(args, t, 0);
  };

  const waitForWorkers = (tasks: number): void => {
    let spins = 0;
    let deadline = 0;
    for (;;) {
      const finished = Atomics.load(control, CONTROL.finished);
      if (finished >= tasks) return;
      if (++spins % 4096 !== 0) continue;
      const now = performance.now();
      if (deadline === 0) deadline = now + DEAD_AFTER_MS;
      if (now > deadline) {
        broken = 'wasm: a worker thread does not answer; call useWasm() again for a new backend';
        throw msaeError('device', broken);
      }
    }
  };

  return {
    threads: workers.length + 1,
    run(name, args, tasks) {
      if (broken !== undefined) throw msaeError('device', broken);
      const task = kernels[name];
      if (task === undefined) throw msaeError('state', `wasm: no kernel is called ${name}`);
      if (workers.length === 0 || tasks <= 1) return runAlone(task, args, tasks);
      if (tasks > MAX_TASKS)
        throw msaeError('shape', `wasm: ${tasks} tasks; at most ${MAX_TASKS} fit in one job`);
      const generation = (control[CONTROL.generation]! + 1) | 0;
      const tag = (generation & 0xffff) << 16;
      Atomics.store(control, CONTROL.next, tag | MAX_TASKS); // no ticket while the job is being described
      Atomics.store(control, CONTROL.func, names.indexOf(name));
      Atomics.store(control, CONTROL.args, args);
      Atomics.store(control, CONTROL.tasks, tasks);
      Atomics.store(control, CONTROL.failed, 0);
      Atomics.store(control, CONTROL.finished, 0);
      Atomics.store(control, CONTROL.next, tag);
      Atomics.store(control, CONTROL.generation, generation);
      Atomics.notify(control, CONTROL.generation);
      for (;;) {
        const ticket = Atomics.load(control, CONTROL.next);
        if ((ticket & 0xffff) >= tasks) break;
        if (Atomics.compareExchange(control, CONTROL.next, ticket, ticket + 1) !== ticket) continue;
        try {
          task(args, ticket & 0xffff, 0);
        } catch {
          Atomics.store(control, CONTROL.failed, 1);
        }
        Atomics.add(control, CONTROL.finished, 1);
      }
      waitForWorkers(tasks);
      if (Atomics.load(control, CONTROL.failed) !== 0)
        throw msaeError(
          'device',
          `wasm: kernel ${name} failed; the backend's memory may be damaged, call useWasm() again`,
        );
    },
    dispose() {
      broken ??= 'wasm: the backend was disposed';
      for (const worker of workers) worker.terminate();
    },
  };
}

/** A worker from a string: the same in a checkout, a built package and a bundle, and no file of its own. */
function startWorker(): WorkerLike {
  if (typeof process !== 'undefined' && typeof process.getBuiltinModule === 'function') {
    const { Worker: NodeWorker } = process.getBuiltinModule('node:worker_threads');
    const worker = new NodeWorker(workerSource, { eval: true, execArgv: [], env: {}, name: 'msae-wasm' });
    return {
      post: (message) => worker.postMessage(message),
      onMessage: (listener) => worker.on('message', listener),
      onExit: (listener) => {
        worker.on('error', (error) => listener(String(error)));
        worker.on('exit', (code) => listener(`exit code ${code}`));
      },
      unref: () => worker.unref(),
      terminate: () => void worker.terminate(),
    };
  }
  const url = URL.createObjectURL(new Blob([workerSource], { type: 'text/javascript' }));
  const worker = new Worker(url, { name: 'msae-wasm' });
  return {
    post: (message) => worker.postMessage(message),
    onMessage: (listener) =>
      worker.addEventListener('message', (event) => {
        URL.revokeObjectURL(url);
        listener(event.data);
      }),
    onExit: (listener) =>
      worker.addEventListener('error', (event) => listener(event.message || 'script error')),
    unref: () => {},
    terminate: () => worker.terminate(),
  };
}
