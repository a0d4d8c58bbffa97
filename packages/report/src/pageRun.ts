/** One run packed for the page. */
import { densityHistogram, type LogitEffects, type Numbers } from '@msae/eval/metrics';
import { msaeError } from '@msae/schema';
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
import type { CurvePoint, EvaluationInput, LabelsInput, ReportRun } from './reportInput.ts';

/** Points of a training curve that the page keeps. */
const CURVE_POINTS = 400;

/** Packs a run. @throws MsaeError `shape` that names the run when its parts do not belong to the same number of latents */
export function pageRun(run: ReportRun): PageRun {
  const { evaluation } = run;
  const n = evaluation.nLatents;
  for (const part of ['table', 'sparsity', 'prefixes'] as const) {
    if (evaluation[part] === undefined) {
      throw msaeError(
        'missing',
        `report: run "${run.name}": the evaluation has no ${part}; evaluate with standardMetrics() of @msae/eval among the metrics`,
      );
    }
  }
  const sizes: Record<string, number> = {
    'evaluation.sparsity.densities': evaluation.sparsity.densities.length,
    'evaluation.forest.parent': evaluation.forest?.parent.length ?? n,
    'evaluation.histograms': evaluation.histograms?.length ?? n,
    'evaluation.contexts': evaluation.contexts?.length ?? n,
    'evaluation.labels.profiles': evaluation.labels?.profiles.length ?? n,
    logitEffects: run.logitEffects?.length ?? n,
  };
  for (const [name, size] of Object.entries(sizes)) {
    if (size !== n) {
      throw msaeError(
        'shape',
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
    histograms: evaluation.histograms?.length ? pageHistograms(evaluation.histograms) : null,
    contexts: pageContexts(evaluation.contexts ?? []),
    labels: evaluation.labels ? pageLabels(evaluation.labels) : null,
    logits: run.logitEffects ? pageLogits(run.logitEffects) : null,
  };
}

function packFloats(values: Numbers): ReturnType<typeof pack> {
  return pack(Float32Array.from({ length: values.length }, (_, i) => finite(values[i]) ?? 0));
}

function pageForest(forest: NonNullable<EvaluationInput['forest']>): PageForest {
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

function pageHistograms(histograms: NonNullable<EvaluationInput['histograms']>): PageHistograms {
  const bins = histograms[0]!.counts.length;
  const counts = new Uint32Array(histograms.length * bins);
  histograms.forEach((histogram, i) => {
    for (let k = 0; k < bins; k++) counts[i * bins + k] = histogram.counts[k] ?? 0;
  });
  return { bins, uppers: packFloats(histograms.map(({ upper }) => upper)), counts: pack(counts) };
}

function pageContexts(latents: NonNullable<EvaluationInput['contexts']>): PageContexts | null {
  const [lengths, focus, tokens, shades]: [number[], number[], number[], number[]] = [[], [], [], []];
  const negative: number[] = [];
  const counts = new Uint8Array(latents.length);
  latents.forEach((contexts, i) => {
    counts[i] = Math.min(255, contexts.length);
    const most = contexts.reduce((max, c) => Math.max(max, Math.abs(c.activation)), 0);
    for (const context of contexts.slice(0, 255)) {
      lengths.push(Math.min(255, context.tokens.length));
      focus.push(context.focus);
      for (let k = 0; k < Math.min(255, context.tokens.length); k++) {
        tokens.push(context.tokens[k]!);
        const activation = context.activations[k]!;
        const share = most > 0 ? Math.abs(activation) / most : 0;
        // A token that fires at all is shaded at least faintly.
        shades.push(share > 0 ? Math.max(1, Math.min(255, Math.round(255 * share))) : 0);
        negative.push(activation < 0 ? 1 : 0);
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
    negative: negative.includes(1) ? pack(Uint8Array.from(negative)) : null,
  };
}

function pageLabels({ name, names, base, profiles }: LabelsInput): PageLabels {
  const top = profiles.reduce((most, profile) => Math.max(most, profile.length), 1);
  const label = new Uint16Array(profiles.length * top);
  const share = new Float32Array(profiles.length * top);
  profiles.forEach((profile, i) => {
    profile.forEach((entry, k) => {
      label[i * top + k] = entry.label;
      share[i * top + k] = entry.share;
    });
  });
  return {
    name,
    names,
    base: Array.from(base, (value) => finite(value) ?? 0),
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
