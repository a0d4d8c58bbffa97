import { isMsaeError } from '@msae/schema';
import { afterEach, describe, expect, it } from 'vitest';
import { callback, linkWorker, moved, type WorkerLink } from '../src/index.ts';
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

  it('an error of the family arrives as one, with its class, code and details', async () => {
    const caught = async (call: Promise<unknown>): Promise<unknown> =>
      call.then(
        () => undefined,
        (reason: unknown) => reason,
      );
    const { api } = start();
    const refused = await caught(api.refuses('k', 0));
    expect(refused).toBeInstanceOf(RangeError);
    expect(isMsaeError(refused, 'option') && refused.details).toEqual({ options: ['k'] });
    expect((refused as Error).message).toBe('worker: k: expected a whole number ≥ 1, got 0');
    expect((refused as Error).stack).toContain('echoWorker');
    const plain = await caught(api.fails());
    expect([isMsaeError(plain), (plain as Error).name]).toEqual([false, 'RangeError']);
    // details that cannot be copied are left behind, the rest arrives
    const odd = await caught(api.failsOddly());
    expect(isMsaeError(odd, 'state') && odd.details).toEqual({});
  });

  it('anything but a Worker is refused', () => {
    expect(() => linkWorker('worker.ts' as never)).toThrow('linkWorker: expected a Worker, got "worker.ts"');
  });

  it('a worker that dies rejects the calls that wait, and every later one', async () => {
    const error = await start()
      .api.dies()
      .then(
        () => undefined,
        (reason: unknown) => reason,
      );
    expect(isMsaeError(error, 'device') && error.details).toEqual({ lost: 'worker' });
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
