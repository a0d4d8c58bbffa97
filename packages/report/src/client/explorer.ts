/** The part of the page where latents are looked at: run, search, list or forest, and the chosen latent beside it. */
import type { PageData } from '../pageData.ts';
import { el } from './dom.ts';
import { latentDetail } from './latentDetail.ts';
import { latentForest } from './latentForest.ts';
import { latentList } from './latentList.ts';
import { swatch } from './overview.ts';
import type { RunModel } from './runModel.ts';
import type { Store } from './store.ts';

export function explorer(data: PageData, store: Store, modelOf: (run: number) => RunModel): HTMLElement {
  const list = latentList(store, modelOf);
  const forest = latentForest(store, modelOf);
  const search = el('input', {
    type: 'search',
    id: 'search',
    placeholder: 'word, label or number',
    'aria-label': 'Search latents by the words they fire on or promote, by label or by number',
    autocomplete: 'off',
    spellcheck: 'false',
  });
  let timer: ReturnType<typeof setTimeout> | undefined;
  search.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(() => store.set({ query: search.value }), 120);
  });
  const views = choice(
    'View',
    [
      ['list', 'List'],
      ['forest', 'Forest'],
    ],
    () => store.choice.view,
    (view) => store.set({ view: view as 'list' | 'forest' }),
  );
  const runs = choice(
    'Run',
    data.runs.map((run, r) => [String(r), run.name]),
    () => String(store.choice.run),
    // A latent's number means nothing in another run.
    (run) => store.set({ run: Number(run), latent: null }),
    (run) => swatch(Number(run)),
  );
  const show = () => {
    list.hidden = store.choice.view !== 'list';
    forest.hidden = store.choice.view !== 'forest';
    views.mark();
    runs.mark();
  };
  store.subscribe(show);
  show();
  return el(
    'section',
    { id: 'latents', 'aria-labelledby': 'latents-title' },
    el('h2', { id: 'latents-title' }, 'Latents'),
    el('div', { class: 'toolbar' }, data.runs.length > 1 && runs.element, views.element, search),
    el('div', { class: 'panes' }, el('div', { class: 'left' }, list, forest), latentDetail(store, modelOf)),
  );
}

/** A group of buttons of which one is pressed. */
function choice(
  label: string,
  options: [string, string][],
  current: () => string,
  choose: (value: string) => void,
  before?: (value: string) => Node,
): { element: HTMLElement; mark: () => void } {
  const buttons = options.map(([value, text]) =>
    el('button', { type: 'button', value, onclick: () => choose(value) }, before?.(value), text),
  );
  return {
    element: el('div', { class: 'segments', role: 'group', 'aria-label': label }, ...buttons),
    mark: () => {
      for (const button of buttons) button.setAttribute('aria-pressed', String(button.value === current()));
    },
  };
}
