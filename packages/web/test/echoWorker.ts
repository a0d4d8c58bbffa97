import { exposeInWorker, moved } from '../src/workerLink.ts';

const api = {
  doubled(values: Float32Array): Float32Array {
    return moved(values.map((value) => 2 * value));
  },
  fails(): never {
    throw new RangeError('no such thing');
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
