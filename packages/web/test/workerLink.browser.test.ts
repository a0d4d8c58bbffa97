import { afterEach, describe, expect, it } from 'vitest';
import { callback, isWorkerGone, linkWorker, moved, type WorkerLink } from '../src/index.ts';
import type { EchoApi } from './echoWorker.ts';

let link: WorkerLink<EchoApi> | undefined;

function start(): WorkerLink<EchoApi> {
  link = linkWorker<EchoApi>(new Worker(new URL('./echoWorker.ts', import.meta.url), { type: 'module' }));
  return link;
}

describe('linkWorker', () => {
  afterEach(() => link?.close());

  it('calls over, moving memory instead of copying it', async () => {
    const values = Float32Array.of(1, 2, 3);
    expect(await start().api.doubled(moved(values))).toEqual(Float32Array.of(2, 4, 6));
    expect(values.length).toBe(0);
  });

  it('passes callbacks and errors', async () => {
    const seen: number[] = [];
    await start().api.reports(
      3,
      callback((i: number) => {
        seen.push(i);
      }),
    );
    expect(seen).toEqual([0, 1, 2]);
    await expect(link!.api.fails()).rejects.toThrow('no such thing');
  });

  it('a worker that dies rejects the calls that wait, and every later one', async () => {
    const error = await start()
      .api.dies()
      .then(
        () => undefined,
        (reason: unknown) => reason,
      );
    expect(isWorkerGone(error)).toBe(true);
    expect((error as Error).message).toMatch(/the worker is gone, it failed: .*out of luck/);
    await expect(link!.api.never()).rejects.toThrow('the worker is gone');
  });

  it('closing rejects the calls that wait', async () => {
    const waiting = start().api.never();
    link!.close();
    await expect(waiting).rejects.toThrow('it was closed');
  });

  it('a script that cannot be loaded is an error too', async () => {
    link = linkWorker<EchoApi>(new Worker('/no-such-worker.js', { type: 'module' }));
    await expect(link.api.never()).rejects.toThrow('the worker is gone');
  });
});
