/** 1,000,000 draws of 10 prefixes from N = 1,000,000: seconds and heap growth. `npx tsx tools/bench/sampler.ts` */
import { createRng, truncatedPareto } from '@msae/sampler';

const [draws, N] = [1_000_000, 1_000_000];
const scheme = truncatedPareto({ count: 10 });
const rng = createRng(0);
let sum = 0;
const start = performance.now();
for (let i = 0; i < draws; i++) sum += scheme.sample(N, rng).lengths[0]!;
const seconds = (performance.now() - start) / 1000;
console.log(
  `${draws.toLocaleString('en')} draws of 10 prefixes from N = ${N.toLocaleString('en')}: ${seconds.toFixed(2)} s (mean shortest ${(sum / draws).toFixed(0)})`,
);
