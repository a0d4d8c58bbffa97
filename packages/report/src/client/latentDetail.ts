/** Everything about one latent. */
import { bars, el } from './dom.ts';
import { number, percent } from './format.ts';
import type { RunModel, TokenWindow } from './runModel.ts';
import type { Store } from './store.ts';

export function latentDetail(store: Store, modelOf: (run: number) => RunModel): HTMLElement {
  const panel = el('article', { class: 'detail', tabindex: -1, 'aria-label': 'The chosen latent' });
  const draw = () => {
    const { run, latent } = store.choice;
    panel.classList.toggle('open', latent !== null);
    document.body.classList.toggle('detail-open', latent !== null);
    if (latent === null) {
      panel.replaceChildren(el('p', { class: 'muted' }, 'Choose a latent to see what it fires on.'));
      return;
    }
    panel.replaceChildren(...parts(store, modelOf(run), latent));
    panel.scrollTop = 0;
  };
  store.subscribe((now, before) => {
    if (now.latent !== before.latent || now.run !== before.run) draw();
  });
  panel.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') store.set({ latent: null });
  });
  draw();
  return panel;
}

function parts(store: Store, model: RunModel, latent: number): HTMLElement[] {
  const windows = model.windows(latent);
  const density = model.densities[latent]!;
  const prefix = model.page.prefixes.find((p) => p.length > latent)?.length;
  return [
    el(
      'div',
      { class: 'detail-head' },
      el('h3', {}, `Latent ${latent}`, el('span', { class: 'muted' }, ` ${model.page.name}`)),
      el(
        'button',
        { type: 'button', class: 'quiet close', onclick: () => store.set({ latent: null }) },
        '✕ Close',
      ),
    ),
    el(
      'dl',
      { class: 'numbers' },
      stat('Fires on', `${percent(density)} of tokens`),
      stat('Mean when it fires', number(model.means[latent]!)),
      stat('Greatest', number(model.maxima[latent]!)),
      ...(prefix !== undefined && model.page.prefixes.length > 1
        ? [stat('Smallest prefix with it', number(prefix))]
        : []),
    ),
    ...family(store, model, latent),
    el('h4', {}, 'Where it fires most'),
    windows.length > 0
      ? el('ol', { class: 'contexts' }, ...windows.map(context))
      : el(
          'p',
          { class: 'muted' },
          density === 0 ? 'It never fired on these tokens.' : 'The activations came without token ids.',
        ),
    ...histogram(model, latent),
    ...labels(model, latent),
    ...logits(model, latent),
  ];
}

function stat(label: string, value: string): HTMLElement {
  return el('div', {}, el('dt', {}, label), el('dd', {}, value));
}

/** The chain from the root to the latent, then its children. */
function family(store: Store, model: RunModel, latent: number): HTMLElement[] {
  const { hierarchy } = model;
  if (!hierarchy) return [];
  const chain = [latent];
  while (hierarchy.parent[chain[0]!]! >= 0 && chain.length <= model.page.nLatents)
    chain.unshift(hierarchy.parent[chain[0]!]!);
  const children = hierarchy.children(latent);
  if (chain.length === 1 && children.length === 0) return [];
  const link = (other: number, note: string) =>
    el(
      'button',
      {
        type: 'button',
        class: other === latent ? 'latent-link selected' : 'latent-link',
        onclick: () => store.set({ latent: other }),
      },
      el('span', { class: 'number' }, `#${other}`),
      ...model.topTokens(other, 3).map((token) => el('span', { class: 'tok' }, token)),
      note !== '' && el('span', { class: 'muted' }, note),
    );
  const blocks: HTMLElement[] = [el('h4', {}, 'From general to specific')];
  if (chain.length > 1) {
    blocks.push(
      el(
        'ol',
        { class: 'chain' },
        ...chain.map((member, depth) =>
          el(
            'li',
            { style: `margin-left:${Math.min(depth, 6) * 0.9}rem` },
            link(
              member,
              depth > 0
                ? `${percent(hierarchy.conditional[member]!)} · lift ${hierarchy.lift[member]!.toFixed(1)}`
                : '',
            ),
          ),
        ),
      ),
    );
  }
  if (children.length > 0) {
    blocks.push(
      el(
        'details',
        children.length <= 12 ? { open: true } : {},
        el('summary', {}, `${children.length} more specific`),
        el(
          'ul',
          { class: 'children' },
          ...children.map((child) => el('li', {}, link(child, percent(hierarchy.conditional[child]!)))),
        ),
      ),
    );
  }
  return blocks;
}

function context({ tokens, shades, negative, focus }: TokenWindow): HTMLElement {
  return el(
    'li',
    {},
    ...tokens.map((token, k) => {
      const shade = shades[k]!;
      const name = k === focus ? 'focus' : '';
      if (shade === 0) return el('span', name ? { class: name } : {}, token);
      const below = negative?.[k] === 1;
      const strength = `${below ? '−' : ''}${Math.round((100 * shade) / 255)}`;
      return el(
        'mark',
        {
          class: below ? `${name} negative` : name,
          style: `--a:${(shade / 255).toFixed(2)}`,
          title: `${strength} % of its greatest`,
        },
        token,
      );
    }),
  );
}

function histogram(model: RunModel, latent: number): HTMLElement[] {
  const found = model.histogram(latent);
  if (!found || found.upper === 0) return [];
  const { upper, counts } = found;
  let last = counts.length;
  while (last > 1 && counts[last - 1] === 0) last -= 1;
  const shown = Array.from(counts.subarray(0, last));
  const end = (upper * last) / counts.length;
  // Heights on a square-root scale: the rare strong firings are what one looks for.
  const chart = bars(shown.map(Math.sqrt), `Histogram of the sizes of activations from 0 to ${number(end)}`);
  return [
    el('h4', {}, 'Activations'),
    el(
      'div',
      { class: 'histogram' },
      chart,
      el(
        'div',
        { class: 'axis muted' },
        el('span', {}, '0'),
        el('span', {}, `${number(end)} (heights: square root of counts)`),
      ),
    ),
  ];
}

function labels(model: RunModel, latent: number): HTMLElement[] {
  const shares = model.labels(latent);
  if (shares.length === 0) return [];
  return [
    el('h4', {}, `What it fires on: ${model.page.labels!.name}`),
    el(
      'ul',
      { class: 'shares' },
      ...shares.map(({ name, share, base }) =>
        el(
          'li',
          {},
          el('span', {}, name),
          el(
            'span',
            { class: 'bar', 'aria-hidden': 'true' },
            el('span', { style: `width:${(100 * share).toFixed(1)}%` }),
          ),
          el('span', {}, `${percent(share)} `, el('span', { class: 'muted' }, `(${percent(base)} of all)`)),
        ),
      ),
    ),
  ];
}

function logits(model: RunModel, latent: number): HTMLElement[] {
  const effects = model.logits(latent);
  if (!effects) return [];
  const side = (title: string, entries: [string, number][]) =>
    el(
      'div',
      {},
      el('h5', {}, title),
      el(
        'ul',
        {},
        ...entries.map(([token, effect]) =>
          el(
            'li',
            {},
            el('span', { class: 'tok' }, token),
            el('span', { class: 'muted' }, `${effect > 0 ? '+' : ''}${effect.toFixed(2)}`),
          ),
        ),
      ),
    );
  return [
    el('h4', {}, 'Direct effect on the next token'),
    el(
      'div',
      { class: 'logits' },
      side('Promotes', effects.promoted),
      side('Suppresses', effects.suppressed),
    ),
  ];
}
