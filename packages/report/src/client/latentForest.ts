/** The forest of latents as nested lists: from general to specific, opened level by level. */
import { el } from './dom.ts';
import { percent } from './format.ts';
import { matching } from './latentOrder.ts';
import type { RunModel } from './runModel.ts';
import type { Store } from './store.ts';

/** Roots drawn at once. */
const PAGE = 150;

export function latentForest(store: Store, modelOf: (run: number) => RunModel): HTMLElement {
  const box = el('div', { class: 'forest' });
  const draw = () => {
    const { run, query, view } = store.choice;
    if (view !== 'forest') return;
    const model = modelOf(run);
    const { hierarchy } = model;
    if (!hierarchy) {
      box.replaceChildren(
        el(
          'p',
          { class: 'notes' },
          'No latent of this run fires mainly where another does: there are no trees to show.',
        ),
      );
      return;
    }
    const shown = query.trim() === '' ? null : withAncestors(model, query);
    const roots = shown ? hierarchy.roots.filter((latent) => shown.has(latent)) : hierarchy.roots;
    const trees = el('ul', {}, ...roots.slice(0, PAGE).map((latent) => node(store, model, latent, shown)));
    box.replaceChildren(
      el(
        'p',
        { class: 'muted count', role: 'status' },
        `${roots.length} trees. A child fires (nearly) only where its parent does; the percentage is P(parent fires | child fires).`,
      ),
      trees,
    );
    if (roots.length > PAGE) {
      const more = el(
        'button',
        {
          type: 'button',
          class: 'quiet',
          onclick: () => {
            trees.append(...roots.slice(PAGE).map((latent) => node(store, model, latent, shown)));
            more.remove();
          },
        },
        `Show ${roots.length - PAGE} more`,
      );
      box.append(more);
    }
    mark();
  };
  const mark = () => {
    for (const button of box.querySelectorAll<HTMLElement>('button[data-latent]')) {
      const on = Number(button.dataset.latent) === store.choice.latent;
      button.classList.toggle('selected', on);
      if (on) button.setAttribute('aria-current', 'true');
      else button.removeAttribute('aria-current');
    }
  };
  store.subscribe((now, before) => {
    if (now.run !== before.run || now.query !== before.query || now.view !== before.view) draw();
    else if (now.latent !== before.latent) mark();
  });
  draw();
  return box;
}

/** Matching latents and everything above them. */
function withAncestors(model: RunModel, query: string): Set<number> {
  const { parent } = model.hierarchy!;
  const shown = new Set<number>();
  for (const latent of matching(model, query)) {
    for (let at = latent; at >= 0 && !shown.has(at); at = parent[at]!) shown.add(at);
  }
  return shown;
}

function node(store: Store, model: RunModel, latent: number, shown: Set<number> | null): HTMLElement {
  const hierarchy = model.hierarchy!;
  const children = hierarchy.children(latent).filter((child) => !shown || shown.has(child));
  const name = el(
    'button',
    { type: 'button', class: 'latent-link', 'data-latent': latent, onclick: () => store.set({ latent }) },
    el('span', { class: 'number' }, `#${latent}`),
    ...model.topTokens(latent, 5).map((token) => el('span', { class: 'tok' }, token)),
    el('span', { class: 'muted' }, model.labels(latent)[0]?.name ?? ''),
  );
  const edge =
    hierarchy.parent[latent]! >= 0 &&
    el(
      'span',
      { class: 'edge muted', title: `lift ${hierarchy.lift[latent]!.toFixed(1)}` },
      percent(hierarchy.conditional[latent]!),
    );
  if (children.length === 0) return el('li', { class: 'leaf' }, name, edge);
  const below = el('ul', { hidden: true });
  const toggle = el(
    'button',
    {
      type: 'button',
      class: 'toggle',
      'aria-label': `${hierarchy.descendants[latent]} latents below latent ${latent}`,
      onclick: () => open(below.hidden !== false),
    },
    String(hierarchy.descendants[latent]),
  );
  const open = (wide: boolean) => {
    if (wide && below.childElementCount === 0) {
      below.append(...children.map((child) => node(store, model, child, shown)));
    }
    below.hidden = !wide;
    toggle.setAttribute('aria-expanded', String(wide));
  };
  open(shown !== null);
  return el('li', {}, name, edge, toggle, below);
}
