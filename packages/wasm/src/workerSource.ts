/**
 * The whole script of a worker thread. A string, so that no bundler renames or moves it; slots as in CONTROL of
 * `threadPool.ts`. A worker looks for a new generation for a few microseconds (the kernels of one step follow each other
 * closely) and then sleeps.
 */
export const workerSource: string = `
'use strict';
const start = ({ control, module, memory, names, thread }, ready) => {
  const kernels = new WebAssembly.Instance(module, { env: { memory } }).exports;
  let generation = Atomics.load(control, 0);
  ready();
  for (;;) {
    let spins = 0;
    while (Atomics.load(control, 0) === generation) {
      if (++spins > 20000) Atomics.wait(control, 0, generation);
    }
    generation = Atomics.load(control, 0);
    for (;;) {
      const ticket = Atomics.load(control, 4);
      if (ticket >>> 16 !== (generation & 0xffff)) break;
      const name = names[Atomics.load(control, 1)];
      const args = Atomics.load(control, 2);
      const task = ticket & 0xffff;
      if (task >= Atomics.load(control, 3)) break;
      if (Atomics.compareExchange(control, 4, ticket, ticket + 1) !== ticket) continue;
      try {
        kernels[name](args, task, thread);
      } catch (error) {
        Atomics.store(control, 6, 1);
      }
      Atomics.add(control, 5, 1);
    }
  }
};
if (typeof process === 'object' && typeof require === 'function') {
  const { parentPort } = require('node:worker_threads');
  parentPort.once('message', (message) => start(message, () => parentPort.postMessage('ready')));
} else {
  self.onmessage = (event) => start(event.data, () => self.postMessage('ready'));
}
`;
