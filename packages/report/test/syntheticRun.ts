/** Made-up but plausible data: Zipfian words in sentences, latents that follow words, and a hierarchy among them. */
import {
  type ActiveRows,
  type EvaluationBatch,
  evaluateLatents,
  logitEffects,
  type Metric,
  matrix,
  standardMetrics,
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

/** A metric of the test's own: the mean token id. */
const meanToken: Metric<'meanToken', { sum: number; rows: number }, number> = {
  name: 'meanToken',
  start: () => ({ sum: 0, rows: 0 }),
  add(state, { tokens, x }) {
    state.sum += tokens.tokenIds?.reduce((sum, id) => sum + id, 0) ?? 0;
    state.rows += x.rows;
  },
  result: ({ sum, rows }) => sum / rows,
  table: (value) => [{ label: 'Mean token', value, better: 'higher', help: 'A metric of the test’s own' }],
};

const LABELS = ['NOUN', 'VERB', 'ADJ', 'ADV', 'DET', 'PRON', 'ADP', 'CONJ', 'NUM', '.'];
const WIDTH = 8;
const BATCH = 1000;

export async function syntheticRun(options: {
  name: string;
  nLatents: number;
  tokens?: number;
  seed?: number;
  tree?: boolean;
  withTokens?: boolean;
  /** Every third latent fires below 0. */
  signed?: boolean;
}): Promise<ReportRun> {
  const {
    name,
    nLatents,
    tokens = 30_000,
    seed = 1,
    tree = true,
    withTokens = true,
    signed = false,
  } = options;
  const next = random(seed);
  const noise = (length: number) => Float32Array.from({ length }, () => next() - 0.5);
  const decoder = matrix(noise(nLatents * WIDTH), WIDTH);
  const parentOf = (latent: number) => (tree && latent >= 8 ? Math.floor(latent / 5) : -1);
  const encoded = new Map<EvaluationBatch, ActiveRows>();
  function* stream(): Generator<EvaluationBatch> {
    for (let from = 0; from < tokens; from += BATCH) {
      const ids = Int32Array.from({ length: BATCH }, () => Math.floor(4096 * next() ** 4));
      const sets = Array.from(ids, (id) => {
        const on = new Map<number, number>();
        for (let k = 0; k < 8; k++) {
          const latent = Math.floor(nLatents * 0.97 * Math.abs(Math.sin(id * 12.9898 + k * 78.233)) ** 1.5);
          for (let at = latent; at >= 0; at = parentOf(at)) {
            on.set(at, (0.2 + 3 * next() ** 3) * (signed && at % 3 === 0 ? -1 : 1));
          }
        }
        return [...on].sort((a, b) => a[0] - b[0]);
      });
      const offsets = new Int32Array(BATCH + 1);
      sets.forEach((set, r) => {
        offsets[r + 1] = offsets[r]! + set.length;
      });
      // x is what the latents give, and noise
      const data = noise(BATCH * WIDTH);
      sets.forEach((set, r) => {
        for (const [latent, value] of set)
          for (let k = 0; k < WIDTH; k++)
            data[r * WIDTH + k]! += value * (decoder.data[latent * WIDTH + k] as number);
      });
      const batch: EvaluationBatch = {
        data,
        rows: BATCH,
        width: WIDTH,
        ...(withTokens && { tokenIds: ids, positions: ids.map((_, r) => r % 100) }),
      };
      encoded.set(batch, {
        rows: BATCH,
        nLatents,
        offsets,
        indices: Int32Array.from(sets.flatMap((set) => set.map(([latent]) => latent))),
        values: Float32Array.from(sets.flatMap((set) => set.map(([, value]) => value))),
      });
      yield batch;
    }
  }
  const lengths = [nLatents / 16, nLatents / 8, nLatents / 4, nLatents / 2, nLatents].map(Math.round);
  const labelSets = [
    {
      name: 'part of speech',
      names: LABELS,
      labelsOf: ({ tokenIds, rows }: EvaluationBatch) =>
        tokenIds?.map((id) => id % LABELS.length) ?? new Int32Array(rows),
    },
  ];
  const evaluation = await evaluateLatents(
    {
      nLatents,
      width: WIDTH,
      decoder,
      bias: new Float32Array(WIDTH),
      encode: (batch) => encoded.get(batch)!,
    },
    stream(),
    { metrics: [...standardMetrics({ labelSets, probeTokens: 2000 }), meanToken], prefixes: lengths },
  );
  return {
    name,
    evaluation,
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
    logitEffects: logitEffects({ decoder, unembedding: matrix(noise(4096 * WIDTH), WIDTH) }),
    facts: [
      { label: 'Prefixes', value: tree ? '10 a step, truncated Pareto' : 'the whole only' },
      { label: 'Activation', value: 'BatchTopK 24' },
    ],
  };
}

export async function syntheticReport(nLatents: number): Promise<ReportInput> {
  return {
    title: 'Matryoshka SAE on layer 2 of brown-lm & friends <2,048 latents>',
    subtitle: 'Made-up data to look at the page with.',
    facts: [{ label: 'Tokens', value: '30,000 of Brown, held out' }],
    runs: [
      await syntheticRun({ name: 'Matryoshka', nLatents }),
      await syntheticRun({ name: 'Vanilla', nLatents, seed: 2, tree: false }),
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
