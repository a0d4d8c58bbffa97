import { msaeError } from '@msae/schema';
import { exposeInWorker, moved } from '../src/workerLink.ts';

const api = {
  doubled(values: Float32Array): Float32Array {
    return moved(values.map((value) => 2 * value));
  },
  fails(): never {
    throw new RangeError('no such thing');
  },
  refuses(option: string, given: number): never {
    throw msaeError('option', `worker: ${option}: expected a whole number ≥ 1, got ${given}`, {
      options: [option],
    });
  },
  async failsOddly(): Promise<void> {
    throw msaeError('state', 'worker: not now', { how: () => 1 });
  },
  async reports(times: number, report: (i: number) => void): Promise<void> {
    for (let i = 0; i < times; i++) await report(i);
  },
  never(): Promise<void> {
    return new Promise(() => {});
  },
  dies(): Promise<void> {
    setTimeout(() => {
      throw new Error('out of luck');
    });
    return new Promise(() => {});
  },
};

export type EchoApi = typeof api;

exposeInWorker(api);
