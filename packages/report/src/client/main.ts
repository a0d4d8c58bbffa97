/** Starts the page: reads the data it carries and draws everything. */
import type { PageData } from '../pageData.ts';
import { charts } from './charts.ts';
import { el } from './dom.ts';
import { explorer } from './explorer.ts';
import { overview } from './overview.ts';
import { type RunModel, runModel } from './runModel.ts';
import { choiceFromHash, createStore, hashFromChoice } from './store.ts';

const data = JSON.parse(document.getElementById('data')!.textContent!) as PageData;
const sizes = data.runs.map((run) => run.nLatents);
const models: RunModel[] = [];
const modelOf = (run: number): RunModel => {
  models[run] ??= runModel(data, run);
  return models[run]!;
};
const store = createStore({
  view: 'list',
  query: '',
  sort: 'latent',
  descending: false,
  ...choiceFromHash(location.hash, sizes),
});
addEventListener('hashchange', () => store.set(choiceFromHash(location.hash, sizes)));

document.getElementById('theme')!.addEventListener('click', () => {
  const dark = getComputedStyle(document.documentElement).getPropertyValue('--theme').trim() === 'dark';
  document.documentElement.dataset.theme = dark ? 'light' : 'dark';
});

document
  .getElementById('page')!
  .replaceChildren(
    el(
      'nav',
      { 'aria-label': 'Parts of this report' },
      el('a', { href: '#overview', onclick: jump('overview') }, 'Overview'),
      el('a', { href: '#charts', onclick: jump('charts') }, 'Plots'),
      el('a', { href: '#latents', onclick: jump('latents', 'list') }, 'Latents'),
      el('a', { href: '#latents', onclick: jump('latents', 'forest') }, 'Forest'),
    ),
    overview(data),
    charts(data),
    explorer(data, store, modelOf),
  );
if (store.choice.latent !== null) document.getElementById('latents')!.scrollIntoView();
// Where the latent has a pane of its own beside the list, it need not start empty.
else if (matchMedia('(min-width: 861px)').matches) store.set({ latent: 0 });
store.subscribe((now, before) => {
  if (now.latent !== before.latent || now.run !== before.run)
    history.replaceState(null, '', hashFromChoice(now));
});
document.documentElement.dataset.ready = 'true';

/** Scrolls without touching the address, which belongs to the chosen latent. */
function jump(id: string, view?: 'list' | 'forest'): (event: Event) => void {
  return (event) => {
    event.preventDefault();
    if (view) store.set({ view });
    document.getElementById(id)!.scrollIntoView({ behavior: 'smooth' });
  };
}
