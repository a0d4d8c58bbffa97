/** The training worker: owns the backend, the SAE and the trainer, and sends the page what it draws. */
import { createSae, encode, fold, l1, type Sae } from '@msae/core';
import type { BackendDescription } from '@msae/core/backend';
import { type ToyTree, toyTree } from '@msae/data';
import { groundTruthMetrics, type LatentMatch, matchLatents, matrix } from '@msae/eval';
import { fullPrefix } from '@msae/sampler';
import { type MetricsEvent, referencePreset, Trainer } from '@msae/train';
import { exposeInWorker, moved, useWebGpu } from '@msae/web';
import simdUrl from '@tensorflow/tfjs-backend-wasm/wasm-out/tfjs-backend-wasm-simd.wasm?url';
import threadedUrl from '@tensorflow/tfjs-backend-wasm/wasm-out/tfjs-backend-wasm-threaded-simd.wasm?url';
import * as tf from '@tensorflow/tfjs-core';

/** What the page asks for. */
export interface Settings {
  backend: 'webgpu' | 'wasm' | 'cpu';
  scheme: 'matryoshka' | 'vanilla';
  seed: number;
  steps: number;
}

/** What the page draws. */
export interface Update {
  metrics: Pick<MetricsEvent, 'step' | 'loss' | 'fvu' | 'l0' | 'stepsPerSecond'>;
  /** [samples, features], each latent in its feature's column */
  latents: Float32Array;
  /** [features, features]: cosine of each true direction with the matched latents' decoder rows */
  cosines: Float32Array;
  cosine: number;
  absorption: number;
}

export interface Started {
  backend: BackendDescription;
  /** Why the backend asked for was passed over */
  notice: string;
  /** [samples, features] */
  truth: Float32Array;
  samples: number;
  features: number;
}

const SAMPLES = 100;
/** Rows for the numbers; the first SAMPLES of them are drawn. */
const HELD_OUT = 2000;

let running: AbortController | undefined;
let paused: Promise<void> | undefined;
let goOn: () => void = () => {};

const api = {
  /** Starts from scratch and trains until `steps`, calling back about ten times a second. */
  async start(settings: Settings, started: (s: Started) => void, update: (u: Update) => void): Promise<void> {
    running?.abort();
    goOn();
    const control = new AbortController();
    running = control;
    const { backend, notice } = await useBackend(settings.backend);
    const source = toyTree({ seed: settings.seed });
    const heldOut = toyTree({ seed: settings.seed });
    heldOut.sample(10_000); // the same directions, other rows than the first batches
    const { x, activations } = heldOut.sample(HELD_OUT);
    const features = source.nFeatures;
    started(
      moved({ backend, notice, samples: SAMPLES, features, truth: activations.slice(0, SAMPLES * features) }),
    );
    const sae = createSae({ dModel: source.width, nLatents: features, penalty: l1(), seed: settings.seed });
    const trainer = new Trainer(sae, {
      ...referencePreset({ totalSteps: settings.steps, targetL0: 1.12, seed: settings.seed }),
      ...(settings.scheme === 'vanilla' && { prefixes: fullPrefix() }),
      batchSize: 200,
      reportEvery: 1,
    });
    let last = 0;
    try {
      for await (const event of trainer.run(source, { signal: control.signal })) {
        if (event.type !== 'metrics') continue;
        await paused;
        const due = performance.now() - last > 100 || event.step === event.totalSteps;
        if (!due || control.signal.aborted) continue;
        last = performance.now();
        const picture = await look(trainer.sae, source, { x, activations });
        const { step, loss, fvu, l0, stepsPerSecond } = event;
        update(moved({ metrics: { step, loss, fvu, l0, stepsPerSecond }, ...picture }));
      }
    } finally {
      trainer.dispose();
      sae.dispose();
    }
  },
  pause(): void {
    if (paused) return;
    paused = new Promise((resolve) => {
      goOn = () => {
        paused = undefined;
        resolve();
      };
    });
  },
  resume(): void {
    goOn();
  },
  /** Ends the run; `start` begins a new one. */
  stop(): void {
    running?.abort();
    goOn();
  },
};

export type TrainingApi = typeof api;

async function useBackend(
  name: Settings['backend'],
): Promise<{ backend: BackendDescription; notice: string }> {
  if (name === 'cpu') {
    await import('@tensorflow/tfjs-backend-cpu');
    await tf.setBackend('cpu');
    const backend = {
      name,
      device: 'JavaScript',
      precision: 'float32',
      threads: 1,
      limits: {},
      kernels: [],
    } as const;
    return { backend, notice: '' };
  }
  let notice = '';
  const backend = await useWebGpu({
    ...(name === 'wasm' && { gpu: undefined }),
    fallback: 'wasm',
    wasm: {
      wasmPaths: {
        'tfjs-backend-wasm-simd.wasm': new URL(simdUrl, import.meta.url).href,
        'tfjs-backend-wasm-threaded-simd.wasm': new URL(threadedUrl, import.meta.url).href,
      },
    },
    allowFallback: true,
    onFallback: (why) => {
      if (name === 'webgpu') notice = `Running on wasm instead: ${why.message}`;
    },
  });
  return { backend, notice };
}

/** Latents on the held-out rows, matched with the true features by direction. */
async function look(
  sae: Sae,
  truth: ToyTree,
  { x, activations }: { x: Float32Array; activations: Float32Array },
): Promise<Omit<Update, 'metrics'>> {
  const { nFeatures: n, width } = truth;
  const input = tf.tensor2d(x, [HELD_OUT, width]);
  const f = encode(sae, input);
  const latents = (await f.data()) as Float32Array;
  const decoder = await (await fold(sae)).W_dec(); // in the units of x
  tf.dispose([input, f]);
  const directions = matrix(decoder, width);
  const true_ = matrix(truth.features, width);
  const match: LatentMatch = matchLatents({ decoder: directions, truth: true_ });
  const scores = groundTruthMetrics({
    match,
    latents: matrix(latents, n),
    features: matrix(activations, n),
    parentOfFeature: truth.parentOf,
  });
  const ordered = new Float32Array(SAMPLES * n);
  const cosines = new Float32Array(n * n);
  for (let feature = 0; feature < n; feature++) {
    const latent = match.latentOfFeature[feature]!;
    // how far the latent's decoder row reaches
    const reach = Math.hypot(...decoder.subarray(latent * width, (latent + 1) * width));
    for (let row = 0; row < SAMPLES; row++) ordered[row * n + feature] = latents[row * n + latent]! * reach;
    for (let other = 0; other < n; other++) {
      cosines[feature * n + other] = match.cosines[match.latentOfFeature[other]! * n + feature]!;
    }
  }
  const mean = match.cosine.reduce((sum, value) => sum + value, 0) / n;
  return { latents: ordered, cosines, cosine: mean, absorption: scores.tree?.absorption ?? Number.NaN };
}

exposeInWorker(api);
