/** One run packed for the page. */
import { densityHistogram, type LogitEffects, type Numbers } from '@msae/eval/metrics';
import { pack, tokenArray } from './pack.ts';
import type {
  PageContexts,
  PageForest,
  PageHistograms,
  PageLabels,
  PageLogits,
  PagePoint,
  PageRun,
} from './pageData.ts';
import { finite } from './pageMetrics.ts';
import type { CurvePoint, LatentInput, ReportRun } from './reportInput.ts';

/** Points of a training curve that the page keeps. */
const CURVE_POINTS = 400;

/** Packs a run. Throws a RangeError that names the run when its parts do not belong to the same number of latents. */
export function pageRun(run: ReportRun): PageRun {
  const { evaluation } = run;
  const n = evaluation.nLatents;
  const sizes: Record<string, number> = {
    'evaluation.latents': evaluation.latents.length,
    'evaluation.sparsity.densities': evaluation.sparsity.densities.length,
    'evaluation.forest.parent': evaluation.forest?.parent.length ?? n,
    logitEffects: run.logitEffects?.length ?? n,
  };
  for (const [name, size] of Object.entries(sizes)) {
    if (size !== n) {
      throw new RangeError(
        `report: run "${run.name}": ${name} has ${size} entries, but the SAE has ${n} latents`,
      );
    }
  }
  const recovered = new Map(run.recovered?.prefixes?.map((p) => [p.length, p.ceRecovered]));
  return {
    name: run.name,
    facts: run.facts ?? [],
    nLatents: n,
    tokens: evaluation.tokens,
    curves: pageCurves(run.curves ?? []),
    prefixes: evaluation.prefixes.map(({ length, fvu, l0 }) => ({
      length,
      fvu: finite(fvu),
      l0: finite(l0),
      ceRecovered: finite(recovered.get(length) ?? (length === n ? run.recovered?.ceRecovered : null)),
    })),
    density: densityHistogram(evaluation.sparsity.densities),
    densities: packFloats(evaluation.sparsity.densities),
    means: packFloats(evaluation.sparsity.meanActivation),
    maxima: packFloats(evaluation.sparsity.maxActivation),
    forest: evaluation.forest && evaluation.forest.edges > 0 ? pageForest(evaluation.forest) : null,
    histograms: pageHistograms(evaluation.latents),
    contexts: pageContexts(evaluation.latents),
    labels: pageLabels(evaluation),
    logits: run.logitEffects ? pageLogits(run.logitEffects) : null,
  };
}

function packFloats(values: Numbers): ReturnType<typeof pack> {
  return pack(Float32Array.from({ length: values.length }, (_, i) => finite(values[i]) ?? 0));
}

function pageForest(forest: NonNullable<ReportRun['evaluation']['forest']>): PageForest {
  return {
    parent: pack(Int32Array.from(forest.parent)),
    conditional: packFloats(forest.conditional),
    lift: packFloats(forest.lift),
  };
}

function pageCurves(rows: readonly CurvePoint[]): PagePoint[] {
  const points = rows
    .filter((row) => finite(row.step) !== null)
    .map((row) => ({
      step: row.step!,
      loss: finite(row.loss),
      fvu: finite(row.fvu),
      l0: finite(row.l0),
      dead: finite(row.deadFraction),
    }));
  if (points.length <= CURVE_POINTS) return points;
  return Array.from(
    { length: CURVE_POINTS },
    (_, k) => points[Math.round((k * (points.length - 1)) / (CURVE_POINTS - 1))]!,
  );
}

function pageHistograms(latents: readonly LatentInput[]): PageHistograms | null {
  const bins = latents.find((latent) => latent.histogram)?.histogram?.counts.length;
  if (!bins) return null;
  const counts = new Uint32Array(latents.length * bins);
  latents.forEach(({ histogram }, i) => {
    for (let k = 0; histogram && k < bins; k++) counts[i * bins + k] = histogram.counts[k] ?? 0;
  });
  return {
    bins,
    uppers: packFloats(latents.map(({ histogram }) => histogram?.upper ?? 0)),
    counts: pack(counts),
  };
}

function pageContexts(latents: readonly LatentInput[]): PageContexts | null {
  const [lengths, focus, tokens, shades]: [number[], number[], number[], number[]] = [[], [], [], []];
  const counts = new Uint8Array(latents.length);
  latents.forEach(({ contexts = [] }, i) => {
    counts[i] = Math.min(255, contexts.length);
    const most = contexts.reduce((max, c) => Math.max(max, c.activation), 0);
    for (const context of contexts.slice(0, 255)) {
      lengths.push(Math.min(255, context.tokens.length));
      focus.push(context.focus);
      for (let k = 0; k < Math.min(255, context.tokens.length); k++) {
        tokens.push(context.tokens[k]!);
        const share = most > 0 ? context.activations[k]! / most : 0;
        // A token that fires at all is shaded at least faintly.
        shades.push(share > 0 ? Math.max(1, Math.min(255, Math.round(255 * share))) : 0);
      }
    }
  });
  if (lengths.length === 0) return null;
  return {
    counts: pack(counts),
    lengths: pack(Uint8Array.from(lengths)),
    focus: pack(Uint8Array.from(focus)),
    tokens: pack(tokenArray(tokens)),
    shades: pack(Uint8Array.from(shades)),
  };
}

function pageLabels({ labels, latents }: ReportRun['evaluation']): PageLabels | null {
  if (!labels) return null;
  const top = latents.reduce((most, { profile = [] }) => Math.max(most, profile.length), 1);
  const label = new Uint16Array(latents.length * top);
  const share = new Float32Array(latents.length * top);
  latents.forEach(({ profile = [] }, i) => {
    profile.forEach((entry, k) => {
      label[i * top + k] = entry.label;
      share[i * top + k] = entry.share;
    });
  });
  return {
    name: labels.name,
    names: labels.names,
    base: Array.from(labels.base, (value) => finite(value) ?? 0),
    top,
    label: pack(label),
    share: pack(share),
  };
}

function pageLogits(effects: readonly LogitEffects[]): PageLogits {
  const top = effects.reduce((most, e) => Math.max(most, e.promoted.length), 0);
  const side = (of: 'promoted' | 'suppressed') => {
    const entries = effects.flatMap((e) =>
      Array.from({ length: top }, (_, k) => e[of][k] ?? { token: 0, effect: Number.NaN }),
    );
    return {
      tokens: pack(tokenArray(entries.map((e) => e.token))),
      by: pack(Float32Array.from(entries, (e) => e.effect)),
    };
  };
  const [promoted, suppressed] = [side('promoted'), side('suppressed')];
  return {
    top,
    promoted: promoted.tokens,
    promotedBy: promoted.by,
    suppressed: suppressed.tokens,
    suppressedBy: suppressed.by,
  };
}
