/** One run as the page uses it: arrays unpacked when first asked for. */
import { unpack } from '../pack.ts';
import type { PageData, PageRun } from '../pageData.ts';
import { visible } from './format.ts';

export interface TokenWindow {
  readonly tokens: string[];
  /** 0 to 255. */
  readonly shades: Uint8Array;
  /** 1 where the activation is below 0. */
  readonly negative: Uint8Array | undefined;
  readonly focus: number;
}

export interface Hierarchy {
  readonly parent: Int32Array;
  readonly conditional: Float32Array;
  readonly lift: Float32Array;
  /** Latents below, at any depth. */
  readonly descendants: Int32Array;
  /** Roots that have children, most descendants first. */
  readonly roots: number[];
  children(latent: number): number[];
}

export interface RunModel {
  readonly page: PageRun;
  readonly densities: Float32Array;
  readonly means: Float32Array;
  readonly maxima: Float32Array;
  readonly hierarchy: Hierarchy | null;
  windows(latent: number): TokenWindow[];
  /** Distinct tokens the latent fires most strongly on, at most `count`. */
  topTokens(latent: number, count: number): string[];
  labels(latent: number): { name: string; share: number; base: number }[];
  histogram(latent: number): { upper: number; counts: Uint32Array } | null;
  logits(latent: number): { promoted: [string, number][]; suppressed: [string, number][] } | null;
  /** Lower-case text that a search looks through: what the latent fires on, promotes and is labelled. */
  searchText(latent: number): string;
}

export function runModel(data: PageData, index: number): RunModel {
  const page = data.runs[index]!;
  const token = (id: number) => visible(data.vocabulary ? (data.vocabulary[id] ?? `⟨${id}⟩`) : `⟨${id}⟩`);
  const contexts = lazy(() => (page.contexts ? unpackContexts(page.contexts) : null));
  const labels = lazy(
    () => page.labels && { label: unpack(page.labels.label), share: unpack(page.labels.share) },
  );
  const histograms = lazy(
    () =>
      page.histograms && { uppers: unpack(page.histograms.uppers), counts: unpack(page.histograms.counts) },
  );
  const logits = lazy(
    () =>
      page.logits && {
        promoted: [unpack(page.logits.promoted), unpack(page.logits.promotedBy)] as const,
        suppressed: [unpack(page.logits.suppressed), unpack(page.logits.suppressedBy)] as const,
      },
  );
  const densities = lazy(() => unpack(page.densities) as Float32Array);
  const hierarchy = lazy(() => (page.forest ? unpackHierarchy(page, densities()) : null));
  const search: string[] = [];

  const windows = (latent: number): TokenWindow[] => {
    const all = contexts();
    if (!all) return [];
    return Array.from({ length: all.counts[latent]! }, (_, k) => {
      const c = all.first[latent]! + k;
      const [from, to] = [all.start[c]!, all.start[c + 1]!];
      return {
        tokens: Array.from(all.tokens.subarray(from, to), token),
        shades: all.shades.subarray(from, to),
        negative: all.negative?.subarray(from, to),
        focus: all.focus[c]!,
      };
    });
  };
  const topTokens = (latent: number, count: number): string[] => {
    const all = contexts();
    const found = new Set<string>();
    for (let k = 0; all && k < all.counts[latent]! && found.size < count; k++) {
      const c = all.first[latent]! + k;
      found.add(token(all.tokens[all.start[c]! + all.focus[c]!]!).trim() || '␣');
    }
    return [...found];
  };
  const labelsOf = (latent: number) => {
    const packed = labels();
    if (!packed || !page.labels) return [];
    const { top, names, base } = page.labels;
    return Array.from({ length: top }, (_, k) => ({
      id: packed.label[latent * top + k]!,
      share: packed.share[latent * top + k]!,
    }))
      .filter(({ share }) => share > 0)
      .map(({ id, share }) => ({ name: names[id] ?? `label ${id}`, share, base: base[id] ?? 0 }));
  };
  const logitsOf = (latent: number) => {
    const packed = logits();
    if (!packed || !page.logits) return null;
    const { top } = page.logits;
    const side = ([ids, effects]: readonly [ArrayLike<number>, ArrayLike<number>]): [string, number][] =>
      Array.from({ length: top }, (_, k): [string, number] => [
        token(ids[latent * top + k]!),
        effects[latent * top + k]!,
      ]).filter(([, effect]) => Number.isFinite(effect));
    return { promoted: side(packed.promoted), suppressed: side(packed.suppressed) };
  };
  const means = lazy(() => unpack(page.means) as Float32Array);
  const maxima = lazy(() => unpack(page.maxima) as Float32Array);
  return {
    page,
    get densities() {
      return densities();
    },
    get means() {
      return means();
    },
    get maxima() {
      return maxima();
    },
    get hierarchy() {
      return hierarchy();
    },
    windows,
    topTokens,
    labels: labelsOf,
    histogram: (latent) => {
      const packed = histograms();
      if (!packed || !page.histograms) return null;
      const { bins } = page.histograms;
      const counts = packed.counts.subarray(latent * bins, (latent + 1) * bins) as Uint32Array;
      return { upper: packed.uppers[latent]!, counts };
    },
    logits: logitsOf,
    searchText: (latent) => {
      search[latent] ??= [
        ...topTokens(latent, 255),
        ...labelsOf(latent).map((l) => l.name),
        ...(logitsOf(latent)
          ?.promoted.slice(0, 5)
          .map(([text]) => text.trim()) ?? []),
      ]
        .join('\n')
        .toLowerCase();
      return search[latent]!;
    },
  };
}

function unpackContexts(packed: NonNullable<PageRun['contexts']>) {
  const counts = unpack(packed.counts);
  const lengths = unpack(packed.lengths);
  const first = new Uint32Array(counts.length + 1); // of a latent's contexts
  for (let i = 0; i < counts.length; i++) first[i + 1] = first[i]! + counts[i]!;
  const start = new Uint32Array(lengths.length + 1); // of a context's tokens
  for (let c = 0; c < lengths.length; c++) start[c + 1] = start[c]! + lengths[c]!;
  return {
    counts,
    first,
    start,
    focus: unpack(packed.focus),
    tokens: unpack(packed.tokens) as Uint16Array | Uint32Array,
    shades: unpack(packed.shades) as Uint8Array,
    negative: packed.negative && (unpack(packed.negative) as Uint8Array),
  };
}

function unpackHierarchy(page: PageRun, densities: Float32Array): Hierarchy {
  const parent = unpack(page.forest!.parent) as Int32Array;
  const children = new Map<number, number[]>();
  const descendants = new Int32Array(parent.length);
  parent.forEach((p, latent) => {
    if (p >= 0) children.set(p, [...(children.get(p) ?? []), latent]);
    for (let at = p, steps = 0; at >= 0 && steps < parent.length; at = parent[at]!, steps++)
      descendants[at]! += 1;
  });
  for (const list of children.values()) list.sort((a, b) => densities[b]! - densities[a]!);
  const roots = [...children.keys()].filter((latent) => parent[latent] === -1);
  return {
    parent,
    conditional: unpack(page.forest!.conditional) as Float32Array,
    lift: unpack(page.forest!.lift) as Float32Array,
    descendants,
    roots: roots.sort((a, b) => descendants[b]! - descendants[a]! || a - b),
    children: (latent) => children.get(latent) ?? [],
  };
}

function lazy<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
