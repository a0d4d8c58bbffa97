/** Made-up but plausible data: Zipfian words in sentences, latents that follow words, and a hierarchy among them. */
import {
  activationHistograms,
  activeRows,
  contextCollector,
  cooccurrenceAccumulator,
  labelProfiles,
  latentForest,
  logitEffects,
  matrix,
  sparsityAccumulator,
} from '@msae/eval/metrics';
import type { ReportInput, ReportRun } from '../src/index.ts';

const WORDS =
  'the of and to a in that is was he for it with as his on be at by had not are but from or have an they which one you were her all she there would their we him been has when who will more no if out so said what up its about into than them can only other new some could time these two may then do first any my now such like our over man me even most made after also did many before must through years back where much your way well down should because each just those people Mr. how too little state good very make world still own see men work long get here between both life being under never day same another know while last might us great old year off come since against go came right used take three'.split(
    ' ',
  );
const ODD = [
  '</script><img src=x onerror=alert(1)>',
  '&amp;',
  '\u0000',
  '\n',
  '\t',
  '\ufffd',
  ' ',
  '',
  'naïve',
  '日本',
  '"',
  '\u2028',
  '‮x',
];

export function vocabulary(): string[] {
  return Array.from({ length: 4096 }, (_, id) =>
    id < ODD.length
      ? ODD[id]!
      : ` ${WORDS[id % WORDS.length]}${id < 130 ? '' : `_${Math.floor(id / WORDS.length)}`}`,
  );
}

/** mulberry32 */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function syntheticRun(options: {
  name: string;
  nLatents: number;
  tokens?: number;
  seed?: number;
  tree?: boolean;
  withTokens?: boolean;
}): ReportRun {
  const { name, nLatents, tokens = 30_000, seed = 1, tree = true, withTokens = true } = options;
  const next = random(seed);
  const labelNames = ['NOUN', 'VERB', 'ADJ', 'ADV', 'DET', 'PRON', 'ADP', 'CONJ', 'NUM', '.'];
  const sparsity = sparsityAccumulator(nLatents);
  const histograms = activationHistograms({ nLatents });
  const pairs = cooccurrenceAccumulator({ nLatents });
  const contexts = contextCollector({ nLatents });
  const labels = labelProfiles({ nLatents, nLabels: labelNames.length });
  const parentOf = (latent: number) => (tree && latent >= 8 ? Math.floor(latent / 5) : -1);
  const size = 1000;
  for (let from = 0; from < tokens; from += size) {
    const ids = Int32Array.from({ length: size }, () => Math.floor(4096 * next() ** 4));
    const sets = Array.from(ids, (id) => {
      const on = new Map<number, number>();
      for (let k = 0; k < 8; k++) {
        const latent = Math.floor(nLatents * 0.97 * Math.abs(Math.sin(id * 12.9898 + k * 78.233)) ** 1.5);
        for (let at = latent; at >= 0; at = parentOf(at)) on.set(at, 0.2 + 3 * next() ** 3);
      }
      return [...on].sort((a, b) => a[0] - b[0]);
    });
    const offsets = new Int32Array(size + 1);
    sets.forEach((set, r) => {
      offsets[r + 1] = offsets[r]! + set.length;
    });
    const active = {
      ...activeRows(matrix([0], 1)),
      rows: size,
      nLatents,
      offsets,
      indices: Int32Array.from(sets.flatMap((set) => set.map(([latent]) => latent))),
      values: Float32Array.from(sets.flatMap((set) => set.map(([, value]) => value))),
    };
    sparsity.add(active);
    histograms.add(active);
    pairs.add(active);
    if (withTokens) contexts.add({ active, tokens: ids, positions: ids.map((_, r) => r % 100) });
    labels.add(
      active,
      ids.map((id) => id % labelNames.length),
    );
  }
  const d = 8;
  const noise = (length: number) => Float32Array.from({ length }, () => next() - 0.5);
  const lengths = [nLatents / 16, nLatents / 8, nLatents / 4, nLatents / 2, nLatents].map(Math.round);
  return {
    name,
    evaluation: {
      nLatents,
      dModel: 128,
      tokens,
      reconstruction: { fvu: 0.041 + seed / 100, cosine: 0.98, l2Ratio: 0.99, relativeBias: 1.0 },
      sparsity: sparsity.result(),
      prefixes: lengths.map((length, p) => ({
        length,
        l0: 4 + 5 * p,
        fvu: (tree ? 0.3 : 0.8) / (p + 1) ** 1.2,
      })),
      decoderSimilarity: { mean: 0.41 },
      forest: latentForest(pairs.result()),
      latents: Array.from({ length: nLatents }, (_, i) => ({
        histogram: histograms.histogram(i),
        contexts: contexts.contexts(i),
        profile: labels.profile(i, 4),
      })),
      labels: { name: 'part of speech', names: labelNames, base: labels.base() },
      probes: [
        {
          name: 'part of speech',
          absorption: { full: 0.012 * seed, fraction: 0.05 * seed, splitLatents: 2.2, labels: [] },
          sparseProbing: {
            accuracy: [
              { k: 1, mean: 0.81 },
              { k: 5, mean: 0.89 },
            ],
            denseAccuracy: 0.96,
          },
        },
      ],
    },
    recovered: {
      ceRecovered: 0.991,
      ceClean: 4.61,
      ceReconstructed: 4.66,
      prefixes: lengths.map((length, p) => ({ length, ceRecovered: 1 - 0.3 / (p + 1) ** 2 })),
    },
    curves: Array.from({ length: 1000 }, (_, s) => ({
      step: (s + 1) * 3,
      loss: 30 / (1 + s / 20) + next(),
      fvu: 0.9 / (1 + s / 15) + 0.04 + 0.005 * next(),
      l0: 24 + 30 * Math.exp(-s / 50) + next(),
      deadFraction: s < 200 ? 0 : 0.05 * (1 - Math.exp(-(s - 200) / 200)),
    })),
    logitEffects: logitEffects({
      decoder: matrix(noise(nLatents * d), d),
      unembedding: matrix(noise(4096 * d), d),
    }),
    facts: [
      { label: 'Prefixes', value: tree ? '10 a step, truncated Pareto' : 'the whole only' },
      { label: 'Activation', value: 'BatchTopK 24' },
    ],
  };
}

export function syntheticReport(nLatents: number): ReportInput {
  return {
    title: 'Matryoshka SAE on layer 2 of brown-lm & friends <2,048 latents>',
    subtitle: 'Made-up data to look at the page with.',
    facts: [{ label: 'Tokens', value: '30,000 of Brown, held out' }],
    runs: [
      syntheticRun({ name: 'Matryoshka', nLatents }),
      syntheticRun({ name: 'Vanilla', nLatents, seed: 2, tree: false }),
    ],
    vocabulary: vocabulary(),
    tables: [
      {
        title: 'Over 3 seeds',
        note: 'Mean ± standard deviation.',
        columns: ['Metric', 'Matryoshka', 'Vanilla'],
        rows: [
          ['FVU', '.041 ± .001', '.036 ± .001'],
          ['Absorption', '.012 ± .002', '.034 ± .009'],
        ],
      },
    ],
  };
}
