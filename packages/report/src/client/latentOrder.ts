/** Which latents the list shows, and in what order. */
import type { RunModel } from './runModel.ts';
import type { SortKey } from './store.ts';

/** Latents that match every word of `query` (`#12` or `12`: the number), sorted. */
export function latentOrder(model: RunModel, query: string, sort: SortKey, descending: boolean): Uint32Array {
  const order = matching(model, query);
  const value = sortValue(model, sort);
  const sign = descending ? -1 : 1;
  return order.sort((a, b) => sign * (value(a) - value(b)) || a - b);
}

export function matching(model: RunModel, query: string): Uint32Array {
  const all = Uint32Array.from({ length: model.page.nLatents }, (_, i) => i);
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return all;
  if (words.length === 1 && /^#?\d+$/.test(words[0]!)) {
    const wanted = words[0]!.replace('#', '');
    return all.filter(
      (i) => String(i) === wanted || (!words[0]!.startsWith('#') && model.searchText(i).includes(wanted)),
    );
  }
  return all.filter((i) => words.every((word) => model.searchText(i).includes(word)));
}

function sortValue(model: RunModel, sort: SortKey): (latent: number) => number {
  switch (sort) {
    case 'latent':
      return (i) => i;
    case 'density':
      return (i) => model.densities[i]!;
    case 'max':
      return (i) => model.maxima[i]!;
    case 'label':
      return (i) => model.labels(i)[0]?.share ?? 0;
    case 'children':
      return (i) => model.hierarchy?.descendants[i] ?? 0;
  }
}
